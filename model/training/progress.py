"""Shows how a training goes: a bar in a terminal, lines elsewhere; known steps, rate, time left.

Keras' own bar takes the steps before a run was resumed for steps done since. Resumed after 900 of
1,000 steps, it showed 0.5 ms a step where one took 10, and the loss of the first step as the mean.
"""

from __future__ import annotations

import math
import shutil
import sys
import time
from collections.abc import Mapping

import keras

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 60.0
_BAR_WIDTH = 20
_BY_CHANCE = "_by_chance"


class ProgressDisplay(keras.callbacks.Callback):
    """Prints a line per epoch, and how far it is meanwhile: a bar, or a line every minute.

    The loss shown within an epoch is the mean over the steps done since it began or was resumed,
    the rate that of these steps alone, without validation.

    Args:
        bar: whether to redraw one line in place, as fits a terminal.
        seconds: between two lines within an epoch; a tenth for a bar and 60 otherwise, if None.
    """

    def __init__(self, *, bar: bool, seconds: float | None = None):
        super().__init__()
        self._bar = bar
        self._seconds = (_REDRAW_SECONDS if bar else _LINE_SECONDS) if seconds is None else seconds
        self._open_width = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts to count."""
        self._epoch, self._began = epoch, time.monotonic()
        self._done = 0
        self._sums: dict[str, float] = {}

    def on_train_batch_begin(self, batch, logs=None):
        """Notes when the first step began."""
        if not self._done:
            self._started = self._shown = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Shows how far the epoch is, if it is time."""
        self._done, self._ended = self._done + 1, time.monotonic()
        for name, value in (logs or {}).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        if self._ended - self._shown >= self._seconds:
            self._shown = self._ended
            self._show(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        """Shows what the epoch has come to."""
        seconds = time.monotonic() - self._began
        parts = [f"{self.params['steps']:,} steps in {format_seconds(seconds)}"]
        if self._done:
            parts.append(format_rate(self._done, self._ended - self._started))
        self._print(self._line([*parts, format_metrics(logs or {})]))

    def on_train_end(self, logs=None):
        """Leaves the line of a bar that was cut short."""
        if self._open_width:
            print(flush=True)
            self._open_width = 0

    def _show(self, step: int) -> None:
        steps, seconds = self.params["steps"], self._ended - self._started
        left = (steps - step) * seconds / self._done
        means = {name: total / self._done for name, total in self._sums.items()}
        place = f"step {step:,} of {steps:,}"
        if self._bar:
            place = f"{draw_bar(step / steps)} {step:,}/{steps:,}"
        rate = format_rate(self._done, seconds)
        line = self._line([place, rate, f"{format_seconds(left)} left", format_metrics(means)])
        self._redraw(line) if self._bar else self._print(line)

    def _line(self, parts: list[str]) -> str:
        return f"epoch {self._epoch + 1}/{self.params['epochs']}: {', '.join(filter(None, parts))}"

    def _redraw(self, line: str) -> None:
        # One column is left free: a full line would make the terminal go on to the next.
        line = line[: shutil.get_terminal_size().columns - 1]
        sys.stdout.write(f"\r{line:<{self._open_width}}")
        sys.stdout.flush()
        self._open_width = len(line)

    def _print(self, line: str) -> None:
        start = "\r" if self._open_width else ""
        print(f"{start}{line:<{self._open_width}}", flush=True)
        self._open_width = 0


def draw_bar(share: float) -> str:
    """Draws a bar of 20 characters.

    Example:
        >>> draw_bar(0.25)
        '━━━━━───────────────'
    """
    filled = int(_BAR_WIDTH * share)
    return "━" * filled + "─" * (_BAR_WIDTH - filled)


def format_seconds(seconds: float) -> str:
    """Writes a time with the unit that fits.

    Example:
        >>> format_seconds(0.25), format_seconds(59), format_seconds(125), format_seconds(7325)
        ('0.2 s', '59 s', '2:05 min', '2:02:05 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def format_rate(steps: int, seconds: float) -> str:
    """Writes a rate as steps per second, or where that is below 1 as seconds per step.

    Example:
        >>> format_rate(100, 4.0), format_rate(9, 4.0), format_rate(1, 2.5), format_rate(1, 0.0)
        ('25 steps/s', '2.2 steps/s', '2.5 s/step', '1,000,000 steps/s')
    """
    # A clock may not have moved between the begin and the end of a step.
    rate = steps / max(seconds, 1e-6)
    if rate < 1:
        return f"{1 / rate:.1f} s/step"
    return f"{rate:,.0f} steps/s" if rate >= 10 else f"{rate:.1f} steps/s"


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Writes metrics in a row: losses first, and none that is not defined.

    Example:
        >>> format_metrics({"drift": 0.02, "drift_by_chance": 0.1, "loss": 0.25, "val_loss": 3e-5})
        'loss 0.2500, val_loss 3.0e-05, drift 0.02 (chance ±0.10)'
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
            parts.append(f"{name} {value:.2f} (chance ±{chance:.2f})")
    return ", ".join(parts)


def _format_number(value: float) -> str:
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
