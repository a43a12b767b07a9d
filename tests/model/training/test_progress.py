"""What a training tells while it runs, and what it logs."""

import csv
import logging
import re

import pytest

from padless.model.training import progress as module
from padless.model.training.progress import EpochProgress
from padless.pipeline import Progress


class Clock:
    """A clock that moves only while a test sleeps by it."""

    def __init__(self):
        self._now = 0.0

    def monotonic(self):
        return self._now

    def sleep(self, seconds):
        self._now += seconds


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    monkeypatch.setattr(module, "time", Clock())


@pytest.fixture
def logged(caplog):
    """The messages of padless, details too."""
    caplog.set_level(logging.DEBUG, "padless")
    return caplog


def play(callback, *, epoch=0, steps=range(100), seconds=0.0, of=100):
    """Calls a callback as the loop does, each step taking so many seconds."""
    callback.set_params({"steps": of, "epochs": 3})
    callback.on_epoch_begin(epoch)
    for step in steps:
        callback.on_train_batch_begin(step)
        module.time.sleep(seconds)
        callback.on_train_batch_end(step, {"loss": float(step)})


def test_each_step_is_told_with_the_mean_loss():
    told = []
    play(EpochProgress(told.append), steps=range(4), of=50)
    notes = ["", "loss 0.0000", "loss 0.5000", "loss 1.0000", "loss 1.5000"]
    assert told == [
        Progress("epoch 1/3", done, 50, "steps", note) for done, note in enumerate(notes)
    ]


def test_a_resumed_epoch_begins_with_what_was_done_before():
    told = []
    play(EpochProgress(told.append), steps=range(90, 93))
    assert [progress.done for progress in told] == [90, 91, 92, 93]
    assert told[-1].note == "loss 91.0000"


def test_validation_is_told_as_work_of_its_own():
    told = []
    callback = EpochProgress(told.append, validation_steps=2)
    play(callback, epoch=1, steps=())
    for step in range(2):
        callback.on_test_batch_end(step)
    assert told == [Progress("epoch 2/3, validation", done, 2, "steps") for done in (1, 2)]
    assert told[-1].is_over


def test_an_epoch_ends_with_a_line_of_its_losses(logged):
    callback = EpochProgress()
    play(callback, epoch=1)
    assert logged.messages == []
    callback.on_epoch_end(1, {"loss": 0.5, "val_loss": 2e-5})
    (line,) = logged.messages
    assert re.fullmatch(
        r"epoch 2/3: 100 steps in 0.\d s, [\d,]+ steps/s, loss 0.5000, val_loss 2.0e-05", line
    )


def test_the_rate_of_a_resumed_epoch_counts_only_what_was_done_since(logged):
    callback = EpochProgress()
    play(callback, steps=range(90, 93), seconds=0.05)
    callback.on_epoch_end(0, {"loss": 0.5})
    assert float(re.search(r"([\d.]+) steps/s", logged.messages[0])[1]) <= 20


def test_an_epoch_that_was_resumed_after_its_last_step_has_no_rate(logged):
    callback = EpochProgress()
    play(callback, steps=())
    callback.on_epoch_end(0, {"loss": 0.5})
    assert re.fullmatch(r"epoch 1/3: 100 steps in 0.\d s, loss 0.5000", logged.messages[0])


def test_what_only_an_expert_reads_is_a_detail(logged):
    callback = EpochProgress()
    play(callback)
    order = {"length_drift": -0.2, "length_drift_by_chance": 0.3, "length_correlation": 0.01}
    callback.on_epoch_end(0, {"loss": 0.5} | order)
    message, details = logged.records
    assert (message.levelname, details.levelname) == ("INFO", "DEBUG")
    assert "length" not in message.getMessage()
    assert details.getMessage().endswith(
        ": length_correlation 0.0100, length_drift -0.20 (random order: ±0.30)"
    )


def test_train_tells_and_logs_and_prints_nothing(train_small, validated_dataset, logged, capsys):
    told = []
    run, _ = train_small(validated_dataset, progress=told.append)
    lines = [r.getMessage() for r in logged.records if r.levelname == "INFO"]
    epochs = [line for line in lines if line.startswith("epoch")]
    with (run / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    for i, (line, row) in enumerate(zip(epochs, history, strict=True)):
        losses = f"loss {float(row['loss']):.4f}, val_loss {float(row['val_loss']):.4f}"
        assert re.match(rf"epoch {i + 1}/2: 4 steps in .*, {re.escape(losses)}$", line)
    assert len(epochs) == 2
    assert any("length_correlation" in message for message in logged.messages)
    works = list(dict.fromkeys(progress.work for progress in told))
    assert works == [
        *(f"epoch {i}/2{part}" for i in (1, 2) for part in ("", ", validation")),
        "anomaly score, train",
        "anomaly score, validation",
    ]
    for work in works:
        assert [progress for progress in told if progress.work == work][-1].is_over
    assert capsys.readouterr() == ("", "")
