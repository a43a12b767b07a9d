"""Bad usage answers with exit code 2 and the usage; help answers with 0."""

import pytest

from padless.cli.main import COMMANDS


def test_help_names_every_command(call):
    shown = call("--help")
    assert shown.code == 0
    assert all(command in shown.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(call, command):
    shown = call(command, "--help")
    assert shown.code == 0
    assert shown.out.startswith(f"usage: padless {command}")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["plan", "data", "--bach-size", "3"], "unrecognized arguments: --bach-size 3"),
        (["plan", "data", "--batch-size", "x"], "invalid int value: 'x'"),
        (["plan", "d", "--batch-size=1", "--batch-timesteps=1"], "not allowed with argument"),
        (["train", "data"], "required: --run"),
        (["train", "data", "--run", "r", "--cell", "rnn"], "invalid choice: 'rnn'"),
        (["preprocess", "a.csv"], "required: --output"),
        (["preprocess", "a.csv", "--output=o", "--splits=train"], "NAME=SHARE,..., got 'train'"),
        (["preprocess", "a.csv", "--output=o", "--splits=a=.5,a=.5"], "each split must be named"),
        (["preprocess", "a.csv", "--output=o", "--lable-column=x"], "by padless and by Beam"),
        (["preprocess", "a.csv", "--output=o", "--splits=a=80,b=20"], "shares that sum to 1"),
        (["preprocess", "a.csv", "--output="], "`output`"),
        (["plan", "d", "--max-padding=-1"], "`max_padding` must be at least 0 and finite, got -1"),
        (["plan", "d", "--max-padding=nan"], "`max_padding` must be at least 0 and finite"),
        (["plan", "d", "--batch-cost=1,2"], "must be three numbers A,B,C, got '1,2'"),
        (["plan", "d", "--batch-cost=1,2,-3"], "`per_computed_timestep` must be at least 0"),
        (["plan", "d", "--replicas=0"], "`replicas` must be at least 1, got 0"),
        (["plan", "d", "--order=0"], "`order` must be at least 1, got 0"),
        (["plan", "d", "--order=1", "--seed=-1"], "`seed` must be at least 0, got -1"),
        (["train", "d", "--run=r", "--epochs=0"], "`epochs` must be at least 1, got 0"),
        (["train", "d", "--run=r", "--batch-size=0"], "`batch_size` must be at least 1, got 0"),
        (["train", "d", "--run=r", "--replicas=0"], "`replicas` must be at least 1, got 0"),
        (["train", "d", "--run=r", "--units=0"], "`units` must be at least 1, got 0"),
        (["train", "d", "--run=r", "--latent-size=-1"], "`latent_size` must be at least 1, got -1"),
        (
            ["train", "d", "--run=r", "--learning-rate=0"],
            "`learning_rate` must be above 0 and finite, got",
        ),
        (["train", "d", "--run=r", "--clip-norm=0"], "`clip_norm` must be above 0 and finite, got"),
        (["train", "d", "--run=r", "--patience=0"], "`patience` must be at least 1, got 0"),
        (["train", "d", "--run=r", "--seed=-1"], "`seed` must be at least 0 and below 2**32"),
        (["compare", "d", "--alignments=padded,mask"], "`alignment` must be one of"),
        (["compare", "d", "--alignment=padded"], "unrecognized arguments: --alignment=padded"),
        (["score", "r", "a.npz", "--output", "./a.npz"], "--output must not be an INPUT"),
        (["score", "r", "a.npz", "--split=x", "--output=o"], "--split goes with a dataset"),
        (["embed", "r", ".", "a.npz", "--output=o"], "must be one dataset directory or raw files"),
        (
            ["embed", "r", ".", "--label-column=x", "--output=o"],
            "--label-column goes with raw files",
        ),
        (["embed", "r", ".", "--skip-rejects", "--output=o"], "--skip-rejects goes with raw files"),
    ],
)
def test_bad_usage(call, argv, message):
    answered = call(*argv)
    assert answered.code == 2
    assert message in answered.err


def test_version(call):
    shown = call("--version")
    assert shown.code == 0
    assert shown.out.startswith("padless 0.")
