"""Reports how a training goes: known steps and the loss so far, and a line per epoch in the log.

Keras' own bar takes the steps before a run was resumed for steps done since. Resumed after 900 of
1,000 steps, it showed 0.5 ms a step where one took 10, and the loss of the first step as the mean.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

import keras

from padless.pipeline.progress import (
    Progress,
    ShowProgress,
    format_rate,
    format_seconds,
    ignore_progress,
)

_LOGGER = logging.getLogger(__name__)
_BY_CHANCE = "_by_chance"


class EpochProgress(keras.callbacks.Callback):
    """Reports after each step how far the epoch is, and logs a line per epoch.

    The loss shown within an epoch is the mean over the steps done since it was started or resumed.
    How mixed the order of the steps was is logged for those who want details, at level DEBUG.

    Args:
        progress: called after each step, see `padless.pipeline.Progress`.
        validation_steps: steps of validation after each epoch.
    """

    def __init__(self, progress: ShowProgress = ignore_progress, *, validation_steps: int = 0):
        super().__init__()
        self._progress, self._validation_steps = progress, validation_steps
        self._epoch = self._done = 0
        self._sums: dict[str, float] = {}
        self._began = self._started = self._ended = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts to count."""
        self._epoch, self._began = epoch, time.monotonic()
        self._done, self._sums = 0, {}

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Notes when the first step began, and which it is."""
        if not self._done:
            self._started = time.monotonic()
            self._tell(batch)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports how far the epoch is."""
        self._done, self._ended = self._done + 1, time.monotonic()
        for name, value in (logs or {}).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._tell(batch + 1)

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports how far the validation is."""
        work, total = f"{self._name()}, validation", self._validation_steps
        self._progress(Progress(work, batch + 1, total, "steps"))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Logs what the epoch has come to."""
        metrics = logs or {}
        losses = {name: value for name, value in metrics.items() if name.endswith("loss")}
        seconds = time.monotonic() - self._began
        parts = [f"{self.params['steps']:,} steps in {format_seconds(seconds)}"]
        if self._done:
            parts.append(format_rate(self._done, self._ended - self._started, "steps"))
        parts.append(format_metrics(losses))
        _LOGGER.info("%s: %s", self._name(), ", ".join(filter(None, parts)))
        order = {name: metrics[name] for name in metrics.keys() - losses.keys()}
        if described := format_metrics(dict(sorted(order.items()))):
            _LOGGER.debug("%s: lengths of its steps: %s", self._name(), described)

    def _tell(self, step: int) -> None:
        means = {name: total / self._done for name, total in self._sums.items()}
        note = format_metrics(means)
        self._progress(Progress(self._name(), step, self.params["steps"], "steps", note))

    def _name(self) -> str:
        return f"epoch {self._epoch + 1}/{self.params['epochs']}"


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Writes metrics in a row: losses first, and none that is not defined.

    Example:
        >>> format_metrics({"drift": 0.02, "drift_by_chance": 0.1, "loss": 0.25, "val_loss": 3e-5})
        'loss 0.2500, val_loss 3.0e-05, drift 0.02 (random order: ±0.10)'
    """
    names = [name for name in metrics if not name.endswith(_BY_CHANCE)]
    parts = []
    for name in sorted(names, key=lambda name: not name.endswith("loss")):
        value, chance = metrics[name], metrics.get(f"{name}{_BY_CHANCE}")
        if math.isnan(value):
            continue
        if chance is None:
            parts.append(f"{name} {_format_number(value)}")
        else:
            parts.append(f"{name} {value:.2f} (random order: ±{chance:.2f})")
    return ", ".join(parts)


def _format_number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
