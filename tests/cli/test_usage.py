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
    ],
)
def test_bad_usage(call, argv, message):
    answered = call(*argv)
    assert answered.code == 2
    assert message in answered.err
