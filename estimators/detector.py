"""Which sequences are anomalies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import OutlierMixin

from padless.estimators.base import SequenceEstimator
from padless.pipeline.dataset.names import VALIDATION_SPLIT

if TYPE_CHECKING:
    from padless.beam_jobs.fragments import Sequence as Accepted

# That of scikit-learn's EllipticEnvelope.
_DEFAULT_CONTAMINATION = 0.1


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class SequenceAnomalyDetector(OutlierMixin, SequenceEstimator):
    """Finds the sequences that are unlike those that it was fitted to, of any length.

    `X` and the other parameters and attributes are those of `SequenceEstimator`. Scores, p-values
    and errors are those of `padless score`, bit for bit.

    What is called an anomaly is said in one of two ways. `contamination` is the share of the
    sequences of the fit that are. `level` is the largest p-value of one, which compares a sequence
    with those of the validation split of about its length: as many of the normal ones are called
    anomalies, whatever their length.

    Args:
        contamination: above 0 and at most 0.5; 0.1 if `level` is None too.
        level: the largest p-value of an anomaly, instead.

    Attributes:
        threshold_: the score above which a sequence is an anomaly, in the units of `padless score`,
            where 1 is the average; if `level` is given, the level itself.
        offset_: what `decision_function` subtracts: from `score_samples`, or from `p_values`.
    """

    contamination: float | None = None
    level: float | None = None

    def score_samples(self, X: Any) -> np.ndarray:
        """Scores sequences: the higher, the more normal.

        Args:
            X: the sequences.

        Returns:
            The score of `padless score` with the other sign, `(sequences,)` float64.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        return self._score_samples(self._read(X))

    def p_values(self, X: Any) -> np.ndarray:
        """Computes how unusual sequences are among normal ones of about their length.

        Args:
            X: the sequences.

        Returns:
            The share of the validation sequences of about the same length that score as high,
            `(sequences,)` float64, above 0 and at most 1.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        return self._p_values(self._read(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Computes how far sequences are from being called anomalies.

        Args:
            X: the sequences.

        Returns:
            `score_samples`, or with `level` `p_values`, less `offset_`, `(sequences,)` float64:
            below 0 for anomalies.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        return self._normality(self._read(X)) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Tells anomalies from normal sequences.

        Args:
            X: the sequences.

        Returns:
            -1 for anomalies, and for sequences whose score is not a number; 1 for all others,
            `(sequences,)` integers.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def timestep_errors(self, X: Any) -> list[np.ndarray]:
        """Computes where sequences are unusual: how badly each value is reconstructed.

        Args:
            X: the sequences.

        Returns:
            An array `(timesteps, features)` float32 for each sequence, as the rules of the fit have
            left it: the squared error, in units of the feature's variance over what was trained on;
            NaN where a value is missing.

        Raises:
            NotFittedError: before `fit`.
            TypeError, ValueError: as `fit` does.
        """
        sequences = self._read(X)
        return list(self._trained.score(sequences, timesteps=True)["timestep_error"])

    def _score_samples(self, sequences: Sequence[Accepted]) -> np.ndarray:
        return -self._trained.score(sequences)["score"].astype(np.float64)

    def _p_values(self, sequences: Sequence[Accepted]) -> np.ndarray:
        return self._trained.p_values(self._trained.score(sequences)).astype(np.float64)

    def _normality(self, sequences: Sequence[Accepted]) -> np.ndarray:
        """Computes what `offset_` is subtracted from."""
        return self._p_values(sequences) if self._has_level else self._score_samples(sequences)

    def _check_splits(self, counts: Mapping[str, int]) -> None:
        from padless.model.scoring.calibration import check_level

        super()._check_splits(counts)
        if self.level is not None and self.contamination is not None:
            raise ValueError(
                "`contamination` and `level` must not both be given, got "
                f"{self.contamination} and {self.level}."
            )
        if self.level is not None:
            # With lengths that are all the same the most compare; the fit knows which they are.
            check_level(self.level, np.zeros(counts.get(VALIDATION_SPLIT, 0), np.int64))
        elif not 0 < self._share <= 0.5:
            raise ValueError(
                f"`contamination` must be above 0 and at most 0.5, got {self.contamination}."
            )

    @property
    def _share(self) -> float:
        return _DEFAULT_CONTAMINATION if self.contamination is None else self.contamination

    def _learn(self, sequences: Sequence[Accepted]) -> None:
        if self.level is None:
            offset = np.percentile(self._score_samples(sequences), 100 * self._share)
            self._set_learned({"offset": offset, "threshold": -offset, "has_level": False})
        else:
            from padless.model.scoring.calibration import check_level

            check_level(self.level, self._trained.run.calibration.length)
            # p-values are float32, and one that is equal to the level is that of an anomaly.
            offset = np.nextafter(np.float32(self.level), np.float32(2))
            self._set_learned({"offset": offset, "threshold": self.level, "has_level": True})

    def _learned(self) -> dict[str, float]:
        learned = {"offset": self.offset_, "threshold": self.threshold_}
        return learned | {"has_level": self._has_level}

    def _set_learned(self, learned: Mapping[str, float]) -> None:
        self.offset_ = float(learned["offset"])
        self.threshold_ = float(learned["threshold"])
        self._has_level = bool(learned["has_level"])
