"""What a run came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from padless.model.reporting.summary import Summary
from padless.model.training.state import RunProgress
from padless.model.training.timing import Times
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.wording import plural

# A loss that falls by more in the last fifth of the epochs is said to be falling still.
_STILL_FALLING = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run came to.

    Attributes:
        monitor: the loss that decided which epoch was best, `"val_loss"` or `"loss"`.
        best_epoch: its number, counted from 1.
        best: its metrics.
        epochs: number of epochs trained.
        steps: number of steps trained.
        seconds: wall time of the epochs.
        times: what the time was spent on, since the run was started or resumed.
        last_fall: share by which the lowest of that loss fell in the last fifth of the epochs; 0 if
            it did not, or there are fewer than 5.
        calibration_split: what p-values compare with; `"validation"`, or `"train"` without it.
        smallest_p_value: that it can give.
        summary: the errors of the best epoch's model, by feature and by length, beside baselines.
    """

    monitor: str
    best_epoch: int
    best: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    times: Times
    last_fall: float
    calibration_split: str
    smallest_p_value: float
    summary: Summary

    @classmethod
    def of(
        cls,
        progress: RunProgress,
        *,
        monitor: str,
        losses: Sequence[float],
        steps_per_epoch: int,
        times: Times,
        calibration_split: str,
        smallest_p_value: float,
        summary: Summary,
    ) -> TrainingReport:
        """Makes the report of a run that has come to its end.

        Args:
            progress: how far it has come.
            monitor: see the attributes.
            losses: that loss in each epoch.
            steps_per_epoch: number of steps in one.
            times: see the attributes.
            calibration_split: likewise.
            smallest_p_value: likewise.
            summary: likewise.

        Raises:
            ValueError: if no epoch is over.
        """
        if progress.best_epoch is None:
            raise ValueError("The run must have an epoch that is over, got none.")
        return cls(
            monitor=monitor,
            best_epoch=progress.best_epoch + 1,
            best=progress.best_logs,
            epochs=progress.epoch,
            steps=progress.epoch * steps_per_epoch,
            seconds=progress.seconds,
            times=times,
            last_fall=_last_fall(losses),
            calibration_split=calibration_split,
            smallest_p_value=smallest_p_value,
            summary=summary,
        )

    def __str__(self) -> str:
        """Shows the report as text."""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.best.items())
        lines = [
            f"best epoch {self.best_epoch} by {self.monitor}: {losses}",
            f"{plural(self.epochs, 'epoch')}, {self.steps:,} steps in {self.seconds:.1f} s",
        ]
        if self.last_fall > _STILL_FALLING and self.summary.has_shapes:
            lines.append(
                f"{self.monitor} still fell by {self.last_fall:.0%} in the last fifth of the "
                "epochs: more epochs may give a better model"
            )
        return "\n".join(
            [*lines, str(self.times), self._describe_p_values(), "", str(self.summary)]
        )

    def _describe_p_values(self) -> str:
        text = (
            f"p-values of `padless score` compare with the split {self.calibration_split!r}; the "
            f"smallest is {self.smallest_p_value:.2g}"
        )
        if self.calibration_split == TRAINING_SPLIT:
            text += (
                f". The model was trained on it: on new data they are too small; a split "
                f"{VALIDATION_SPLIT!r} mends that"
            )
        return text


def _last_fall(losses: Sequence[float]) -> float:
    """Returns the share by which the lowest loss fell in the last fifth of the epochs, or 0.

    A loss goes up and down from epoch to epoch, so that two of them tell nothing of the trend.
    """
    part = len(losses) // 5
    if not part:
        return 0.0
    before, last = min(losses[:-part]), min(losses[-part:])
    return max(0.0, 1 - last / before) if before > 0 else 0.0
