"""`padless train` as a process that is stopped and resumed."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from padless.cli.main import _parse
from padless.model import ALIGNMENTS, Architecture, TrainingOptions, open_run
from padless.model.network.architecture import POOLINGS
from padless.model.run_directory.training_options import PRECISIONS, SCHEDULES, WEIGHTINGS
from padless.pipeline.tensorflow_start import LOG_LEVEL

SMALL = ("--units", 4, "--latent-size", 3, "--batch-size", 8)


def test_defaults_in_the_help_are_those_of_the_options(call):
    parser = _parse(["train", "d", "--run", "r"]).parser
    helps = {action.dest: action.help for action in parser._actions}
    defaults = dataclasses.asdict(TrainingOptions()) | dataclasses.asdict(Architecture())
    del defaults["masks_missing"]  # the dataset decides it
    for name, value in defaults.items():
        shown = {True: "on", False: "off"}[value] if isinstance(value, bool) else value
        assert value is None or f"(default: {shown})" in helps[name], name


def test_choices_are_those_of_the_options(call, trained):
    text = " ".join(call("train", "--help").out.split())
    for choices in (WEIGHTINGS, SCHEDULES, PRECISIONS, POOLINGS):
        assert f"{{{','.join(choices)}}}" in text
    packed, *padding = ALIGNMENTS
    assert f"{packed} packs them, the others pad: {', '.join(padding)}" in text


def test_resume_takes_the_options_of_the_run_and_more_epochs(call, trained, reads, tmp_path):
    argv = ("train", trained.data, "--run", tmp_path / "run", "--resume")
    first = call(*argv, *SMALL, "--epochs", 1, "--seed", 3, "--schedule", "constant")
    assert first.code == 0
    assert reads == {}  # a new run has no configuration to read
    printed = call(*argv, "--epochs", 2)
    assert printed.code == 0
    assert "resumed after step 0 of epoch 2" in printed.err
    assert "epoch 2/2: " in printed.err
    assert "epoch 1/2: " not in printed.err
    run = open_run(tmp_path / "run")
    architecture, options = run.architecture, run.options
    assert (architecture.units, options.batch_size, options.seed) == (4, 8, 3)
    printed = call(*argv)
    assert printed.code == 0
    assert "the run has finished with 2 epochs; ask for more epochs to continue" in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", 3], "--epochs must be 2 .* got 3. The schedule 'one_cycle' runs along all"),
        (["--seed", 4], "--seed must be 0 as in the run that is resumed, got 4"),
        (["--batch-timesteps", 99], "--batch-size must be 8 as in the run that is resumed, got No"),
        (["--no-bidirectional"], "--bidirectional must be True as in the run .*, got False"),
    ],
)
def test_resume_rejects_other_options(call, trained, options, message):
    printed = call("train", trained.data, "--run", trained.run, "--resume", *options)
    assert printed.code == 1
    assert printed.err.startswith(f"padless train: error: {trained.run}: ")

    assert re.search(message, printed.err)


@pytest.fixture
def start():
    """Starts the command in a process of its own, which does not outlive the test."""
    processes = []

    def start_process(*argv):
        # Set by the commands that ran in this process; a user who sets it wants to see more.
        environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL}
        process = subprocess.Popen(
            [sys.executable, "-m", "padless.cli.main", *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        with process:
            process.kill()


@pytest.mark.parametrize(
    "signum", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_stopped_run_says_how_to_go_on(trained, tmp_path, signum, call, start):
    run = tmp_path / "run"
    process = start("train", trained.data, "--run", run, *SMALL, "--epochs", 9999, "--quiet")
    deadline = time.monotonic() + 600
    while not (run / "history.csv").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signum)
    output, errors = process.communicate(timeout=600)
    assert (process.returncode, output) == (128 + signum, "")
    (line,) = errors.splitlines()
    assert line.startswith("padless train: stopped after step ")
    assert line.endswith("; resume it with --resume")
    assert f"the state is in {run}/checkpoints/step-" in line
    printed = call("embed", run, trained.data, "--output", tmp_path / "e.parquet")
    assert printed.code == 1
    assert "the training of this run has not finished" in printed.err
    assert "`padless train --resume`" in printed.err
