"""What Keras' callbacks do for a run: keep the best weights, stop in time, log."""

from __future__ import annotations

import csv
from collections.abc import Mapping

import keras
from etils import epath

from padless.model import run_directory


class Best(keras.callbacks.Callback):
    """Remembers the best epoch, and stops training when none was better for a while.

    Attributes:
        monitor: name of the loss that decides.
        epoch: number of the best epoch, counted from 0.
        logs: its metrics.
    """

    def __init__(self, monitor: str, patience: int | None = None):
        """Takes how many epochs without a better one are too many; None for never."""
        super().__init__()
        self.monitor, self.patience = monitor, patience
        self.epoch, self.logs = 0, {monitor: float("inf")}

    def on_epoch_end(self, epoch, logs=None):
        """Compares."""
        if logs[self.monitor] < self.logs[self.monitor]:
            self.epoch, self.logs = epoch, dict(logs)
        elif self.patience is not None and epoch - self.epoch >= self.patience:
            self.model.stop_training = True


class MetricsLog(keras.callbacks.Callback):
    """Writes the metrics of each step and of each epoch into CSV files; both count from 1."""

    def __init__(self, run: epath.Path):
        super().__init__()
        self._run = run
        self._epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the epoch for its steps."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        """Writes one line."""
        row = {"epoch": self._epoch, "step": batch + 1, **logs}
        _append_row(self._run / run_directory.STEPS_FILE, row)

    def on_epoch_end(self, epoch, logs=None):
        """Writes one line."""
        _append_row(self._run / run_directory.HISTORY_FILE, {"epoch": epoch + 1, **logs})


def log_callbacks(run: epath.Path, monitor: str) -> list[keras.callbacks.Callback]:
    """Makes the callbacks that write into a run directory."""
    checkpoint = keras.callbacks.ModelCheckpoint(
        str(run / run_directory.CHECKPOINT_FILE),
        monitor=monitor,
        mode="min",
        save_best_only=True,
        save_weights_only=True,
    )
    logs = str(run / run_directory.TENSORBOARD_DIRECTORY)
    return [checkpoint, keras.callbacks.TensorBoard(logs, write_graph=False), MetricsLog(run)]


def _append_row(path: epath.Path, row: Mapping[str, float]) -> None:
    """Appends a row, behind a header if it is the first. The file is whole after every row."""
    is_new = not path.exists()
    with path.open("a") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
