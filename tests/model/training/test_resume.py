"""A run that was killed, stopped, damaged or moved ends as one that never was."""

import contextlib
import dataclasses
import io
import json
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
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(
    make_dataset, tmp_path, kills, epochs
):
    """Every third kill comes while a checkpoint is written, the others at any time in a step."""
    # 17 steps an epoch under the budget of `killed_training`.
    lengths = {"train": [3, 4, 5, 6, 7] * 20, "validation": [3, 5, 6]}
    folder = make_dataset(lengths, num_shards=2).split("train").files[0].parent
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
    """Sends a signal to this process after a step, counted from 0; with -1 before a validation.

    Once: a second signal would end the process.
    """

    def __init__(self, step, signum=signal.SIGTERM):
        super().__init__()
        self._left, self.signum = step, signum

    def on_train_batch_end(self, batch, logs=None):
        if self._left == 0:
            self._send()
        elif self._left is not None and self._left > 0:
            self._left -= 1

    def on_test_begin(self, logs=None):
        if self._left == -1:
            self._send()

    def _send(self):
        self._left = None
        os.kill(os.getpid(), self.signum)


# Of the run `finished`, with what leaves the result as it is.
SHORT = {"epochs": 6, "batch_size": 8, "patience": 3, "checkpoint_steps": 3}


@pytest.fixture(scope="module")
def folder(validated_dataset):
    return validated_dataset.split("train").files[0].parent


@pytest.fixture(scope="module")
def whole(finished):
    """What an uninterrupted run comes to."""
    return outcome(finished[0])


@pytest.fixture(scope="module")
def legs(train_small, validated_dataset, tmp_path_factory):
    """A run that is ended again and again: what it was after so many steps, and what it logged.

    Stopped in and between its epochs, and finished with one of them: every leg reads the state of
    the one before. It begins as a run to resume that is not there.
    """
    run, kept, log = tmp_path_factory.mktemp("again") / "run", {}, io.StringIO()

    def train_on(**options):
        with logged(log):
            return train_small(validated_dataset, run=run, resume=True, **SHORT | options)

    def stop(steps, place, interrupt):
        with pytest.raises(TrainingStopped, match=f"stopped after {place}; the state is in") as end:
            train_on(callbacks=[interrupt])
        assert end.value.signal == interrupt.signum
        handler = signal.getsignal(interrupt.signum)
        assert handler in (signal.SIG_DFL, signal.default_int_handler)
        kept[steps] = shutil.copytree(run, run.with_name(str(steps)))

    stop(4, "step 4 of epoch 1", Interrupt(3))  # in its validation
    train_on(epochs=1)
    kept["finished"] = shutil.copytree(run, run.with_name("finished"))
    stop(9, "step 1 of epoch 3", Interrupt(-1, signal.SIGINT))
    stop(12, "step 4 of epoch 3", Interrupt(1))  # before its validation
    return kept, log


@contextlib.contextmanager
def logged(stream):
    """Writes what padless logs into a stream."""
    logger, handler = logging.getLogger("padless"), logging.StreamHandler(stream)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def stopped(legs, tmp_path):
    """Gives a copy of a run that was stopped after so many steps."""
    return lambda steps: pathlib.Path(shutil.copytree(legs[0][steps], tmp_path / "run"))


@pytest.fixture(scope="module")
def resumed(legs, folder, tmp_path_factory):
    """The run that was ended again and again, resumed at last, with its data elsewhere.

    Run directory, report, dataset directory.
    """
    place = tmp_path_factory.mktemp("resumed")
    run = shutil.copytree(legs[0][12], place / "run")
    moved = shutil.copytree(folder, place / "moved")
    return run, train(moved, run, resume=True), moved


@pytest.mark.parametrize("steps", [4, 9, 12])
def test_a_signal_stops_a_run_behind_a_checkpoint_of_the_last_step(legs, steps):
    run = legs[0][steps]
    assert Checkpoints(run / "checkpoints").steps()[-1] == steps == killed_training.steps_done(run)
    assert not (run / "model.keras").exists()


def test_a_run_stopped_in_its_first_validation_has_no_history(legs):
    assert not (legs[0][4] / "history.csv").exists()


def test_a_run_stopped_anywhere_ends_as_one_that_never_was(resumed, whole):
    assert_same(resumed[0], whole)


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(stopped, folder, whole, caplog):
    run = stopped(9)
    checkpoints = Checkpoints(run / "checkpoints")
    assert checkpoints.steps() == [4, 6, 9]
    path = checkpoints.path(9)
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level(logging.INFO, "padless"):
        train(folder, run, resume=True)
    message = f"{path}: the checkpoint is damaged .*; trying the one before it"
    assert any(re.match(message, text) for text in caplog.messages)
    assert "resumed after step 2 of epoch 2" in caplog.messages
    assert_same(run, whole)


def test_a_run_without_a_whole_checkpoint_is_not_begun_again(stopped, folder, caplog):
    run = stopped(4)
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    match = r"checkpoints must hold a checkpoint that is not damaged"
    with pytest.raises(ValueError, match=match):
        train(folder, run, resume=True)
    assert "is damaged" in caplog.text


@pytest.mark.parametrize("replicas", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_goes_on_with_other_replicas(stopped, folder, whole, replicas):
    run = stopped(9)
    options = dataclasses.replace(open_run(run).options, replicas=replicas)
    train(folder, run, options=options, resume=True)
    arrays, _, files, _ = outcome(run)
    assert len(files["history.csv"].splitlines()) == len(whole[2]["history.csv"].splitlines())
    for name, expected in whole[0].items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(arrays[name], expected, rtol=1e-4, atol=1e-5 * scale)


def test_a_finished_run_is_left_as_it_is(legs, folder, tmp_path, caplog):
    run = pathlib.Path(shutil.copytree(legs[0]["finished"], tmp_path / "run"))
    before = (run / "model.keras").read_bytes()
    with caplog.at_level(logging.INFO, "padless"):
        train(folder, run, options=open_run(run).options, resume=True)
    assert "the run has finished with 1 epoch; ask for more" in caplog.text
    assert (run / "model.keras").read_bytes() == before


def test_a_finished_run_goes_on_with_more_epochs(legs, resumed):
    """It was finished with one of them, as the next leg found."""
    assert open_run(legs[0]["finished"]).options.epochs == 1
    assert "resumed after step 0 of epoch 2" in legs[1].getvalue().splitlines()
    run, report, _ = resumed
    assert report.epochs == 6
    assert open_run(run).options.epochs == 6


def test_log_of_a_resumed_run_goes_on_with_the_curves(resumed, read_events):
    logs = resumed[0] / "tensorboard"
    events = read_events(logs / "train")
    assert list(events["epoch_loss"]) == list(range(1, 7))
    assert list(events["batch_loss"]) == list(range(1, 25))
    assert list(read_events(logs / "validation")["reconstructions"]) == [1, 2, 4, 6]


def test_log_of_a_training_that_ends_within_an_epoch_has_no_picture_of_it(legs, read_events):
    logs = legs[0][4] / "tensorboard"
    assert not (logs / "validation").exists()
    assert list(read_events(logs / "train")["batch_loss"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "`seed` must be 0 as in the run that is resumed, got 1"),
        ({"batch_size": 6}, "`batch_size` must be 8 as in the run that is resumed, got 6"),
        ({"learning_rate": 0.1}, "`learning_rate` must be 0.02 as .*, got 0.1"),
        ({"clip_norm": None}, "`clip_norm` must be 1.0 as .*, got None"),
        ({"weighting": "timestep"}, "`weighting` must be 'sequence' as .*, got 'timestep'"),
        ({"schedule": "cosine"}, "`schedule` must be 'constant' as .*, got 'cosine'"),
    ],
)
def test_resume_rejects_what_would_change_the_result(stopped, folder, changes, message):
    run = stopped(9)
    options = dataclasses.replace(open_run(run).options, **changes)
    config = (run / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"{run}: {message}"):
        train(folder, run, options=options, resume=True)
    assert (run / "config.json").read_bytes() == config
    assert Checkpoints(run / "checkpoints").steps() == [4, 6, 9]


def test_resume_rejects_other_epochs_where_the_schedule_runs_along_them(stopped, folder):
    run = stopped(9)
    begun = (run / "config.json").read_text()
    (run / "config.json").write_text(begun.replace('"constant"', '"cosine"'))
    options = dataclasses.replace(open_run(run).options, epochs=9)
    assert options.schedule == "cosine"
    with pytest.raises(ValueError, match=r"`epochs` must be 6 .* 'cosine' runs along all epochs"):
        train(folder, run, options=options, resume=True)


def test_resume_rejects_another_model(stopped, folder):
    run = stopped(9)
    architecture = dataclasses.replace(open_run(run).architecture, units=5)
    with pytest.raises(ValueError, match="`units` must be 4 as in the run that is resumed, got 5"):
        train(folder, run, architecture=architecture, resume=True)


def test_resume_rejects_another_dataset(stopped, make_dataset):
    run = stopped(9)
    lengths = {"train": [3, 4, 4, 6, 7] * 5, "validation": [3, 5, 6, 7]}
    other = make_dataset(lengths, num_shards=2, seed=5)
    other = other.split("train").files[0].parent
    with pytest.raises(
        ValueError, match=f"was started on .*; {other} holds other .*statistics.json"
    ):
        train(other, run, resume=True)


def test_resume_rejects_a_dataset_that_has_changed(stopped, folder):
    run = stopped(9)
    file = sorted(folder.glob("*-train.tfrecord-*"))[1]
    before = file.read_bytes()
    file.write_bytes(before[:-1] + b"\x00")
    message = f"{folder}: the dataset has changed since the run .*differs: shards of train"
    try:
        with pytest.raises(ValueError, match=message):
            train(folder, run, resume=True)
    finally:
        file.write_bytes(before)


def test_resume_takes_a_dataset_that_was_moved(resumed):
    run, _, moved = resumed
    assert json.loads((run / "config.json").read_text())["dataset"] == str(moved)


def test_a_run_directory_in_use_is_rejected(stopped, folder):
    run = stopped(9)
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
    run = stopped(9)
    (run / "steps.csv").write_text("epoch,step,loss\n")
    with pytest.raises(ValueError, match=r"steps.csv must have at least the \d+ bytes .* got 16"):
        train(folder, run, resume=True)


def test_resume_rejects_the_checkpoint_of_another_model(
    stopped, folder, make_trainer, make_dataset
):
    run = stopped(9)
    other = RunState(make_trainer(make_dataset([4] * 9, num_features=3)).model)
    arrays, progress = other.capture()
    Checkpoints(run / "checkpoints").save(12, arrays, {"progress": progress, "files": {}})
    with pytest.raises(ValueError, match="must hold variables of the shapes"):
        train(folder, run, resume=True)


def test_options_of_a_run_are_read_back(stopped):
    options = open_run(stopped(9)).options
    assert options == TrainingOptions(learning_rate=0.02, schedule="constant", **SHORT)
