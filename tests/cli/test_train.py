"""`padless train` as a process that is stopped and resumed."""

import dataclasses
import functools
import os
import re
import shutil
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


def test_a_new_run_has_no_configuration_to_read(call, trained, reads, tmp_path):
    argv = ("train", trained.data, "--run", tmp_path / "run", "--resume")
    assert call(*argv, "--batch-timesteps", 1).code == 1
    assert reads == {}
    assert trained.reads == {}


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


@pytest.fixture(scope="module")
def stop(trained, tmp_path_factory):
    """Starts the command in a process of its own, and stops it after an epoch, by each signal once.

    Run directory, exit code, output and errors. It begins as a run to resume that is not there.
    """
    # Set by the commands that ran in this process; a user who sets it wants to see more.
    environment = {name: value for name, value in os.environ.items() if name != LOG_LEVEL}
    options = (*SMALL, "--epochs", 9999, "--seed", 3, "--schedule", "constant", "--quiet")

    @functools.cache
    def stop_by(signum):
        run = tmp_path_factory.mktemp("stopped") / "run"
        argv = ("-m", "padless.cli.main", "train", trained.data, "--run", run, "--resume", *options)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *map(str, argv)]
        with subprocess.Popen(command, **pipes, env=environment) as process:
            try:
                _wait_for(run / "history.csv", process)
                process.send_signal(signum)
                output, errors = process.communicate(timeout=600)
            finally:
                process.kill()
        return run, process.returncode, output, errors

    return stop_by


def _wait_for(path, process):
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize(
    "signum", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_stopped_run_says_how_to_go_on(trained, tmp_path, signum, call, stop):
    run, code, output, errors = stop(signum)
    assert (code, output) == (128 + signum, "")
    (line,) = errors.splitlines()
    assert line.startswith("padless train: stopped after step ")
    assert line.endswith("; resume it with --resume")
    assert f"the state is in {run}/checkpoints/step-" in line
    printed = call("embed", run, trained.data, "--output", tmp_path / "e.parquet")
    assert printed.code == 1
    assert "the training of this run has not finished" in printed.err
    assert "`padless train --resume`" in printed.err


def test_resume_takes_the_options_of_the_run_and_other_epochs(call, trained, stop, tmp_path):
    stopped, _, _, errors = stop(signal.SIGINT)
    place, epoch = re.search(r"stopped after (step \d+ of epoch (\d+));", errors).groups()
    assert int(epoch) > 1
    run = shutil.copytree(stopped, tmp_path / "run")
    argv = ("train", trained.data, "--run", run, "--resume")
    printed = call(*argv, "--epochs", epoch)
    assert printed.code == 0
    assert f"resumed after {place}" in printed.err
    assert f"epoch {epoch}/{epoch}: " in printed.err
    assert f"epoch 1/{epoch}: " not in printed.err
    opened = open_run(run)
    architecture, options = opened.architecture, opened.options
    assert (architecture.units, options.batch_size, options.seed) == (4, 8, 3)
    assert options.epochs == int(epoch)
    printed = call(*argv)
    assert printed.code == 0
    finished = f"the run has finished with {int(epoch):,} epochs; ask for more epochs to continue"
    assert finished in printed.err
    printed = call(*argv, "--epochs", int(epoch) + 1)
    assert printed.code == 0
    assert f"epoch {int(epoch) + 1}/{int(epoch) + 1}: " in printed.err
    assert f"epoch {epoch}/" not in printed.err
    assert open_run(run).options.epochs == int(epoch) + 1
