"""What a run came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from padless.model.reporting.summary import Summary
from padless.model.training.state import RunProgress
from padless.model.training.timing import Times
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT


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
        calibration_split: what p-values compare with; `"validation"`, or `"train"` without it.
        summary: the errors of the best epoch's model, by feature and by length, beside baselines.
    """

    monitor: str
    best_epoch: int
    best: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    times: Times
    calibration_split: str
    summary: Summary

    @classmethod
    def of(
        cls,
        progress: RunProgress,
        *,
        monitor: str,
        steps_per_epoch: int,
        times: Times,
        calibration_split: str,
        summary: Summary,
    ) -> TrainingReport:
        """Makes the report of a run that has come to its end.

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
            calibration_split=calibration_split,
            summary=summary,
        )

    def __str__(self) -> str:
        """Shows the report as text."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs:,} epochs"
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.best.items())
        return "\n".join(
            [
                f"best epoch {self.best_epoch} by {self.monitor}: {losses}",
                f"{epochs}, {self.steps:,} steps in {self.seconds:.1f} s",
                str(self.times),
                self._describe_p_values(),
                "",
                str(self.summary),
            ]
        )

    def _describe_p_values(self) -> str:
        text = f"p-values of `padless score` compare with the split {self.calibration_split!r}"
        if self.calibration_split == TRAINING_SPLIT:
            text += (
                f", which was trained on: on new data they are too small; a split "
                f"{VALIDATION_SPLIT!r} mends that"
            )
        return text
