"""How far scores and p-values go with the length of a sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from padless.model.scoring.calibration import Calibration


@dataclasses.dataclass(frozen=True, slots=True)
class LengthBias:
    """How far scores and p-values of a split go with the length; `print` shows it.

    Attributes:
        split: name of the split.
        score: rank correlation of length and score; NaN where there is none, as of equal lengths.
        p_value: the same of length and p-value.
        has_one_length: whether all lengths are equal.
        is_calibration: whether the p-values compare with the split itself.
    """

    split: str
    score: float
    p_value: float
    has_one_length: bool
    is_calibration: bool

    def __str__(self) -> str:
        """Shows both in one line."""
        if self.has_one_length:
            return f"score and length on {self.split}: all sequences have one length"
        itself = " (compared with this split itself)" if self.is_calibration else ""
        return (
            f"score and length on {self.split}: rank correlation {self.score:.2f}; "
            f"p-value and length: {self.p_value:.2f}{itself}"
        )


def measure_length_bias(
    calibration: Calibration,
    scored: Mapping[str, np.ndarray],
    split: str,
    *,
    is_trained_on: bool = True,
) -> LengthBias:
    """Measures how far scores and p-values of a split go with the length.

    Args:
        calibration: of the run.
        scored: `length` and `score` of the split, `(sequences,)` each.
        split: its name.
        is_trained_on: whether it is of the dataset that the run was trained on, or of another one
            whose splits may have the same names.
    """
    length, score = scored["length"], scored["score"]
    return LengthBias(
        split=split,
        score=rank_correlation(length, score),
        p_value=rank_correlation(length, calibration.p_values(length, score)),
        has_one_length=bool((length == length[0]).all()),
        is_calibration=is_trained_on and split == calibration.split,
    )


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Computes Spearman's correlation, ties at their average rank.

    Returns:
        From -1 to 1; NaN where all values of an array are the same, or one is NaN.

    Example:
        >>> rank_correlation(np.array([1, 2, 3]), np.array([1.0, 8.0, 27.0]))
        1.0
    """
    ranks = [_rank(np.asarray(values)) for values in (one, other)]
    spread = np.sqrt(np.prod([np.square(rank).sum() for rank in ranks]))
    return float(np.dot(*ranks) / spread) if spread > 0 else float("nan")


def _rank(values: np.ndarray) -> np.ndarray:
    """Ranks values, about 0; all NaN where a value is."""
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    average = np.cumsum(counts) - (counts - 1) / 2
    return average[inverse] - (len(values) + 1) / 2
