"""A run that was killed, stopped, damaged or moved ends as one that never was."""

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import re
import shutil
import signal
import sys

import keras
import numpy as np
import pytest

from padless.model import TrainingOptions, TrainingStopped, load_model, open_run, train
from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.lock import locked
from padless.model.training.state import RunState

sys.path.append(str(pathlib.Path(__file__).parent))
import killed_training


@pytest.fixture(scope="module")
def dataset(make_dataset):
    """17 steps an epoch under the budget of `killed_training`."""
    return make_dataset({"train": [3, 4, 5, 6, 7] * 20, "validation": [3, 5, 6]}, num_shards=2)


@pytest.fixture(scope="module")
def folder(dataset):
    return dataset.split("train").files[0].parent


def outcome(run):
    """Everything that must be the same: state, metrics and the model that is used."""
    _, arrays, state = Checkpoints(run / "checkpoints").restore()
    state["progress"].pop("seconds")
    files = {name: (run / name).read_bytes() for name in ("steps.csv", "history.csv")}
    return arrays, state["progress"], files, load_model(run).get_weights()


def assert_same(run, expected):
    (arrays, *rest, weights), (arrays_before, *rest_before, weights_before) = (
        outcome(run),
        expected,
    )
    assert rest == rest_before
    assert arrays.keys() == arrays_before.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, arrays_before[name], err_msg=name)
    for received, before in zip(weights, weights_before, strict=True):
        np.testing.assert_array_equal(received, before)


@pytest.mark.parametrize(
    ("kills", "epochs"), [(3, 3), pytest.param(24, 12, marks=pytest.mark.slow)]
)
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(folder, tmp_path, kills, epochs):
    """Every third kill comes while a checkpoint is written, the others at any time in a step."""
    options = {"epochs": epochs, "checkpoint_steps": 4, "schedule": "one_cycle", "dropout": 0.2}
    options |= {"group_size": 2}
    killed_training.run_to_the_end(folder, tmp_path / "whole", **options)
    rng = np.random.default_rng(kills)
    run = tmp_path / "killed"
    for kill in range(kills):
        if kill % 3 == 1:
            place = {"killed_writing": int(rng.integers(60))}
        else:
            place = {"killed_after": (int(rng.integers(1, 9)), rng.uniform(0, 0.01))}
        process = killed_training.start(folder, run, **place, **options)
        process.join(killed_training.PATIENCE)
        assert process.exitcode == -signal.SIGKILL
        assert not (run / "model.keras").exists()
    killed_training.run_to_the_end(folder, run, **options)
    assert_same(run, outcome(tmp_path / "whole"))
    assert {path.suffix for path in (run / "checkpoints").iterdir()} == {".npz"}


class Interrupt(keras.callbacks.Callback):
    """Sends a signal to this process after a step, counted from 0; before the first with -1.

    Once: a second signal would end the process.
    """

    def __init__(self, step, signum=signal.SIGTERM):
        super().__init__()
        self._left, self._signum = step, signum

    def on_epoch_begin(self, epoch, logs=None):
        if self._left == -1:
            self._send()

    def on_train_batch_end(self, batch, logs=None):
        if self._left == 0:
            self._send()
        elif self._left is not None:
            self._left -= 1

    def _send(self):
        self._left = None
        os.kill(os.getpid(), self._signum)


SHORT = {"epochs": 3, "batch_size": 24, "patience": 2}
STEPS = 5


@pytest.fixture(scope="module")
def whole(train_small, dataset):
    """What an uninterrupted run comes to."""
    run, _ = train_small(dataset, **SHORT)
    return outcome(run)


@pytest.fixture(scope="module")
def stop(train_small, dataset, tmp_path_factory):
    """Stops a run by a signal after so many steps; the same one only once."""

    @functools.cache
    def stop_after(steps, signum, **options):
        run = tmp_path_factory.mktemp("stopped") / "run"
        callbacks = [Interrupt(steps - 2, signum)]
        with pytest.raises(TrainingStopped) as stopped:
            train_small(dataset, run=run, callbacks=callbacks, **SHORT | options)
        assert stopped.value.signal == signum
        return run

    return stop_after


@pytest.fixture
def stopped(stop, tmp_path):
    """Gives a copy of a run that was stopped after so many steps."""

    def copy(steps, signum=signal.SIGTERM, **options):
        return pathlib.Path(shutil.copytree(stop(steps, signum, **options), tmp_path / "run"))

    return copy


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_run_behind_a_checkpoint_of_the_last_step(stopped, signum):
    run = stopped(7, signum)
    assert signal.getsignal(signum) in (signal.SIG_DFL, signal.default_int_handler)
    assert Checkpoints(run / "checkpoints").steps() == [7] == [killed_training.steps_done(run)]
    assert not (run / "model.keras").exists()


@pytest.fixture
def leg(dataset, train_small, tmp_path):
    """Begins a run, or resumes it, and stops it there: one that is stopped again and again."""
    run = tmp_path / "again"

    def train_until(place, steps, interrupt, **options):
        with pytest.raises(TrainingStopped, match=f"stopped after {place}; the state is in"):
            train_small(dataset, run=run, resume=True, callbacks=[interrupt], **SHORT | options)
        assert Checkpoints(run / "checkpoints").steps()[-1] == steps
        assert killed_training.steps_done(run) == steps
        assert not (run / "model.keras").exists()
        return run

    return train_until


def test_a_run_stopped_anywhere_ends_as_one_that_never_was(leg, folder, whole):
    """Stopped and resumed in and between its epochs: every leg reads the state of the one before.

    It begins as a run to resume that is not there.
    """
    leg("step 2 of epoch 1", 2, Interrupt(0))
    run = leg("step 5 of epoch 1", STEPS, Interrupt(2))  # in its validation
    assert not (run / "history.csv").exists()
    leg("step 1 of epoch 2", STEPS + 1, Interrupt(-1))
    leg("step 5 of epoch 2", 2 * STEPS, Interrupt(2))  # before its validation
    train(folder, run, resume=True)
    assert_same(run, whole)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(leg, folder, whole, caplog):
    every_third = {"checkpoint_steps": 3}
    run = leg("step 2 of epoch 2", 7, Interrupt(5), **every_third)
    with damaged(run, [3, 6, 7], lambda data: b"", caplog):
        leg("step 5 of epoch 2", 10, Interrupt(2), **every_third)
    with damaged(run, [6, 9, 10], lambda data: data[:-100], caplog):
        leg("step 3 of epoch 3", 13, Interrupt(2), **every_third)
    with damaged(run, [9, 12, 13], flip_a_bit, caplog):
        train(folder, run, resume=True)
    assert_same(run, whole)


def flip_a_bit(data):
    return data[:900] + bytes([data[900] ^ 1]) + data[901:]


@contextlib.contextmanager
def damaged(run, steps, damage, caplog):
    """Damages the newest of these checkpoints, of which a training warns."""
    checkpoints = Checkpoints(run / "checkpoints")
    assert checkpoints.steps() == steps
    path = checkpoints.path(steps[-1])
    path.write_bytes(damage(path.read_bytes()))
    caplog.clear()
    yield
    message = f"{path}: the checkpoint is damaged .*; trying the one before it"
    assert any(re.match(message, text) for text in caplog.messages)


def test_a_run_without_a_whole_checkpoint_is_not_begun_again(stopped, folder, caplog):
    run = stopped(7)
    Checkpoints(run / "checkpoints").path(7).write_bytes(b"")
    match = r"checkpoints must hold a checkpoint that is not damaged"
    with pytest.raises(ValueError, match=match):
        train(folder, run, resume=True)
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_goes_on_with_other_replicas(stopped, folder, whole, replicas):
    run = stopped(7)
    options = dataclasses.replace(open_run(run).options, replicas=replicas)
    train(folder, run, options=options, resume=True)
    arrays, _, files, _ = outcome(run)
    assert len(files["history.csv"].splitlines()) == len(whole[2]["history.csv"].splitlines())
    for name, expected in whole[0].items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(arrays[name], expected, rtol=1e-4, atol=1e-5 * scale)


def test_a_finished_run_goes_on_with_more_epochs(
    train_small, dataset, folder, whole, tmp_path, caplog
):
    run, _ = train_small(dataset, run=tmp_path / "run", **SHORT | {"epochs": 1})
    before = (run / "model.keras").read_bytes()
    options = open_run(run).options
    with caplog.at_level(logging.INFO, "padless"):
        train(folder, run, options=options, resume=True)
    assert "the run has finished with 1 epoch; ask for more" in caplog.text
    assert (run / "model.keras").read_bytes() == before
    report = train(folder, run, options=dataclasses.replace(options, epochs=3), resume=True)
    assert report.epochs == 3
    assert open_run(run).options.epochs == 3
    assert_same(run, whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "`seed` must be 0 as in the run that is resumed, got 1"),
        ({"batch_size": 8}, "`batch_size` must be 24 as in the run that is resumed, got 8"),
        ({"learning_rate": 0.1}, "`learning_rate` must be 0.02 as .*, got 0.1"),
        ({"clip_norm": None}, "`clip_norm` must be 1.0 as .*, got None"),
        ({"weighting": "timestep"}, "`weighting` must be 'sequence' as .*, got 'timestep'"),
        ({"schedule": "cosine"}, "`schedule` must be 'constant' as .*, got 'cosine'"),
    ],
)
def test_resume_rejects_what_would_change_the_result(stopped, folder, changes, message):
    run = stopped(7)
    options = dataclasses.replace(open_run(run).options, **changes)
    config = (run / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"{run}: {message}"):
        train(folder, run, options=options, resume=True)
    assert (run / "config.json").read_bytes() == config
    assert Checkpoints(run / "checkpoints").steps() == [7]


def test_resume_rejects_other_epochs_where_the_schedule_runs_along_them(stopped, folder):
    run = stopped(7)
    begun = (run / "config.json").read_text()
    (run / "config.json").write_text(begun.replace('"constant"', '"cosine"'))
    options = dataclasses.replace(open_run(run).options, epochs=9)
    assert options.schedule == "cosine"
    with pytest.raises(ValueError, match=r"`epochs` must be 3 .* 'cosine' runs along all epochs"):
        train(folder, run, options=options, resume=True)


def test_resume_rejects_another_model(stopped, folder):
    run = stopped(7)
    architecture = dataclasses.replace(open_run(run).architecture, units=5)
    with pytest.raises(ValueError, match="`units` must be 4 as in the run that is resumed, got 5"):
        train(folder, run, architecture=architecture, resume=True)


def test_resume_rejects_another_dataset(stopped, make_dataset):
    run = stopped(7)
    other = make_dataset({"train": [3, 4, 5, 6, 7] * 20, "validation": [3, 5, 6]}, seed=5)
    other = other.split("train").files[0].parent
    with pytest.raises(
        ValueError, match=f"was started on .*; {other} holds other .*statistics.json"
    ):
        train(other, run, resume=True)


def test_resume_rejects_a_dataset_that_has_changed(stopped, folder):
    run = stopped(7)
    file = sorted(folder.glob("*-train.tfrecord-*"))[1]
    before = file.read_bytes()
    file.write_bytes(before[:-1] + b"\x00")
    message = f"{folder}: the dataset has changed since the run .*differs: shards of train"
    try:
        with pytest.raises(ValueError, match=message):
            train(folder, run, resume=True)
    finally:
        file.write_bytes(before)


def test_resume_takes_a_dataset_that_was_moved(stopped, folder, whole, tmp_path, caplog):
    run = stopped(7)
    shutil.copytree(folder, tmp_path / "moved")
    with caplog.at_level(logging.INFO, "padless"):
        train(tmp_path / "moved", run, resume=True)
    assert "resumed after step 2 of epoch 2" in caplog.messages
    assert_same(run, whole)


def test_a_run_directory_in_use_is_rejected(stopped, folder):
    run = stopped(7)
    message = f"{run}: the run directory is written by process {os.getpid()} on"
    with locked(run), pytest.raises(RuntimeError, match=message):
        train(folder, run, resume=True)


def test_resume_rejects_a_directory_of_something_else(folder, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    message = r"config.json is missing: .* is not a run of `padless train`, and not empty"
    with pytest.raises(FileNotFoundError, match=message):
        train(folder, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_resume_rejects_metrics_that_have_lost_rows(stopped, folder):
    run = stopped(7)
    (run / "steps.csv").write_text("epoch,step,loss\n")
    with pytest.raises(ValueError, match=r"steps.csv must have at least the \d+ bytes .* got 16"):
        train(folder, run, resume=True)


def test_resume_rejects_the_checkpoint_of_another_model(
    stopped, folder, make_trainer, make_dataset
):
    run = stopped(7)
    other = RunState(make_trainer(make_dataset([4] * 9, num_features=3)).model)
    arrays, progress = other.capture()
    Checkpoints(run / "checkpoints").save(9, arrays, {"progress": progress, "files": {}})
    with pytest.raises(ValueError, match="must hold variables of the shapes"):
        train(folder, run, resume=True)


def test_options_of_a_run_are_read_back(stopped):
    options = open_run(stopped(7)).options
    assert options == TrainingOptions(learning_rate=0.02, schedule="constant", **SHORT)
