"""Bad usage answers with exit code 2 and the usage; help answers with 0."""

import os
import signal
import subprocess
import sys

import pytest

from padless.cli.main import COMMANDS, _make_parser


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
        (
            ["plan", "data", "--bach-size", "3"],
            "unrecognized arguments: --bach-size 3 (got --bach-size: did you mean",
        ),
        (["plan", "data", "--batch-size", "x"], "invalid int value: 'x'"),
        (["plan", "d", "--batch-size=1", "--batch-timesteps=1"], "not allowed with argument"),
        (["train", "data"], "required: --run"),
        (["report", "run", "--normal", "a"], "--normal goes with --html, got 'a' alone"),
        (["train", "data", "--run", "r", "--cell", "rnn"], "invalid choice: 'rnn'"),
        (["preprocess", "a.csv"], "required: --output"),
        (["preprocess", "a.csv", "--output=o", "--splits=train"], "NAME=SHARE,..., got 'train'"),
        (["preprocess", "a.csv", "--output=o", "--splits=a=.5,a=.5"], "each split must be named"),
        (
            ["preprocess", "a.csv", "--output=o", "--lable-column=x", "--runner=DirectRunner"],
            "unrecognized arguments, by padless and by Beam: --lable-column=x (got",
        ),
        (["preprocess", "a.csv", "--output=o", "--splits=a=80,b=20"], "shares that sum to 1"),
        (["preprocess", "a.csv", "--output=o", "--hold-out=a"], "NAME=SHARE,..., got 'a'"),
        (
            ["preprocess", "a.csv", "--output=o", "--hold-out=a=1"],
            "--hold-out must hold out a share above 0 and below 1, got a=1.0",
        ),
        (
            ["preprocess", "a.csv", "--output=o", "--hold-out=validation=0.1"],
            "'test'; what works is `--splits train=0.9,test=0.1 --hold-out validation=0.1`.",
        ),
        (
            ["preprocess", "a.csv", "--output=o", "--hold-out-by=person"],
            "--hold-out-by needs --hold-out, which holds groups out, got 'person' without it",
        ),
        (["preprocess", "a.csv", "--output=o", "--train-where=a"], "label=A,B,..., got 'a'"),
        (
            ["preprocess", "a.csv", "--output=o", "--train-where=label=a"],
            "--train-where needs a --label-column column, got 'a' alone",
        ),
        (
            ["preprocess", "a.csv", "--output=o", "--label-column=kind", "--train-where=sort=a,b"],
            "--train-where must choose by the label, as in label=A,B, got sort=...",
        ),
        (
            ["preprocess", "a.csv", "--output=o", "--drop-columns=x", "--feature-columns=x,y"],
            "--drop-columns must not hold 'x', which --feature-columns holds",
        ),
        (["preprocess", "a.csv", "--output="], "--output must name a directory"),
        (["plan", "d", "--group-size=0"], "--group-size must be at least 1, got 0"),
        (["plan", "d", "--order=0"], "--order must be at least 1, got 0"),
        (["plan", "d", "--order=1", "--seed=-1"], "--seed must be at least 0, got -1"),
        (["train", "d", "--run=r", "--epochs=0"], "--epochs must be at least 1, got 0"),
        (["train", "d", "--run=r", "--batch-size=0"], "--batch-size must be at least 1, got 0"),
        (["train", "d", "--run=r", "--replicas=0"], "--replicas must be at least 1, got 0"),
        (["train", "d", "--run=r", "--units=0"], "--units must be at least 1, got 0"),
        (["train", "d", "--run=r", "--latent-size=-1"], "--latent-size must be at least 1, got -1"),
        (
            ["train", "d", "--run=r", "--learning-rate=0"],
            "--learning-rate must be above 0 and finite, got",
        ),
        (["train", "d", "--run=r", "--clip-norm=0"], "--clip-norm must be above 0 and finite, got"),
        (["train", "d", "--run=r", "--patience=0"], "--patience must be at least 1, got 0"),
        (["train", "d", "--run=r", "--seed=-1"], "--seed must be at least 0 and below 2**32"),
        (["compare", "d", "--alignments=padded,mask"], "--alignments must be one of"),
        (["compare", "d", "--alignment=padded"], "unrecognized arguments: --alignment=padded"),
        (["score", "r", "a.npz", "--output", "./a.npz"], "--output must not be an INPUT"),
        (["score", "r", "a.npz", "--split=x", "--output=o"], "--split goes with a dataset"),
        (["embed", "r", ".", "a.npz", "--output=o"], "must be one dataset directory or raw files"),
        (
            ["embed", "r", ".", "--label-column=x", "--output=o"],
            "--label-column goes with raw files",
        ),
        (["embed", "r", ".", "--skip-rejects", "--output=o"], "--skip-rejects goes with raw files"),
        (
            ["score", "r", ".", "--wide", "--drop-columns=x", "--no-header", "--output=o"],
            "--drop-columns, --wide, --no-header goes with raw files",
        ),
        (
            ["preprocess", "a.csv", "--output=o", '--meta-columns="a'],
            "must be names with commas between them, got '\"a'",
        ),
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


@pytest.mark.parametrize(
    ("argv", "suggestion"),
    [
        (["tain", "d"], "did you mean train?"),
        (["plan", "d", "--bach-size", "3"], "got --bach-size: did you mean --batch-size?"),
        (["plan", "d", "--batch_size=3"], "got --batch_size: did you mean --batch-size?"),
        (["train", "d", "--rnu", "r"], "got --rnu: did you mean --run?"),
        (["preprocess", "a.csv", "--ouput=o"], "got --ouput: did you mean --output?"),
        (
            ["train", "d", "--run=r", "--no-bidirektional"],
            "got --no-bidirektional: did you mean --no-bidirectional?",
        ),
        (["train", "d", "--run=r", "--cell", "lsmt"], "did you mean lstm?"),
        (["compare", "d", "--epoch=1"], "got --epoch: did you mean --epochs?"),
        (["preprocess", "a.csv", "--output=o", "--format", "cvs"], "did you mean csv?"),
        (
            ["preprocess", "a.csv", "--output=o", "--lable-column=x"],
            "got --lable-column: did you mean --label-column?",
        ),
    ],
)
def test_what_is_mistyped_gets_a_suggestion(call, argv, suggestion):
    answered = call(*argv)
    assert answered.code == 2
    assert answered.err.endswith(f" ({suggestion})\n")


def test_an_error_of_another_option_gets_no_suggestion(call):
    answered = call("preprocess", "a.csv", "--output=o", "--seed=x", "--runnr=DirectRunner")
    assert answered.err.endswith("argument --seed: invalid int value: 'x'\n")


def test_what_is_like_nothing_gets_no_suggestion(call):
    assert "did you mean" not in call("fly").err
    assert "did you mean" not in call("plan", "d", "--colour=red").err


def test_options_of_beam_are_no_mistake(call, tmp_path):
    missing = tmp_path / "none.csv"
    answered = call("preprocess", missing, "--output", tmp_path / "o", "--direct_num_workers=1")
    assert answered.code == 1
    assert "the input file does not exist" in answered.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_default_and_two_examples(call, command):
    text = call(command, "--help").out
    listed, _, examples = text.partition("\nexamples:\n")
    assert [line.startswith(f"  padless {command} ") for line in examples.splitlines()] == [
        True
    ] * 2
    assert "SUPPRESS" not in listed
    assert "None" not in listed


@pytest.mark.parametrize(
    ("command", "option", "default"),
    [
        ("preprocess", "--seed N", "0"),
        ("preprocess", "--min-length N", "1"),
        ("preprocess", "--splits NAME=SHARE,...", "train=0.8,validation=0.1,test=0.1"),
        ("plan", "--group-size N", "8,"),
        ("train", "--seed N", "0"),
        ("train", "--bidirectional, --no-bidirectional", "on"),
        ("train", "--batch-size N", "16 to 64,"),
        ("compare", "--initial-state, --no-initial-state", "on"),
    ],
)
def test_help_shows_a_default(call, command, option, default):
    text = " ".join(call(command, "--help").out.split())
    of_option = text.split(f" {option} ")[1]
    assert of_option.split("(default: ")[1].startswith(default)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "verify"])
def test_every_option_is_in_a_group(command):
    (subparsers,) = [a for a in _make_parser()._actions if hasattr(a, "choices") and a.choices]
    parser = subparsers.choices[command]
    assert [a.dest for a in parser._optionals._group_actions] == ["help"]


def test_no_command_prints_the_help(call):
    answered = call()
    assert answered.code == 2
    assert all(command in answered.err for command in COMMANDS)


def run_process(argv, **options):
    command = [sys.executable, "-m", "padless.cli.main", *map(str, argv)]
    path = os.pathsep.join(p for p in sys.path if p)
    # Unbuffered, argparse would itself drop the error of a help that nobody reads.
    environment = os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": ""}
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, **options)


@pytest.mark.parametrize("argv", [["plan", "DATA", "--buckets"], ["--version"], ["--help"]])
def test_a_reader_that_goes_is_no_error(trained, argv):
    reading, writing = os.pipe()
    os.close(reading)
    argv = [trained.data if part == "DATA" else part for part in argv]
    process = run_process(argv, stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == (b"", 128 + signal.SIGPIPE)


@pytest.mark.parametrize("argv", [["plan", "DATA"], ["--version"]])
def test_no_standard_output_is_no_error(trained, argv):
    argv = [trained.data if part == "DATA" else part for part in argv]
    process = run_process(argv, preexec_fn=lambda: os.close(1))
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == (b"", 0)
