"""Fits the anomaly score to what is normal.

1. The training split tells the mean and the covariance of codes, and how the logarithm of the
   error goes with them (`fit_codes`).
2. A split that was not trained on tells how far codes usually are, and what that logarithm
   usually is: sequences that were trained on lie nearer, and their errors are smaller. Its scores
   are kept to compare with (`fit_anomaly_score`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from padless.model.network.anomaly_score import AnomalyScore, log_error
from padless.model.scoring.calibration import Calibration
from padless.pipeline.dataset.names import TRAINING_SPLIT

# What is smaller is taken for rounding: a variance among those of correlated values, the deviation
# of a value as a share of its mean, and the deviation of the logarithm of the error.
_SMALLEST_VARIANCE = 1e-4
_SMALLEST_SHARE = 1e-6
_SMALLEST_DEVIATION = 1e-4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class CodeFit:
    """What the codes of a split are like, and how the error goes with them, all float64.

    Attributes:
        mean: `(code_size,)`.
        whitening: `(code_size, code_size)`: times this, their covariance is about the unit
            matrix, and smaller the more it is shrunk.
        slope: `(code_size,)`: of the logarithm of the error.
        level: the mean of that logarithm.
    """

    mean: np.ndarray
    whitening: np.ndarray
    slope: np.ndarray
    level: float


def fit_codes(windows: Iterable[Mapping[str, np.ndarray]]) -> CodeFit:
    """Fits the codes of a split in one pass, of which only sums are kept.

    The correlations are shrunk towards 0 by as much as the number of sequences asks for (Chen et
    al., Shrinkage Algorithms for MMSE Covariance Estimation, 2010), so that it may be smaller than
    that of the values in a code.

    Args:
        windows: `code` `(window, code_size)` and `error` `(window,)`, as an `Inference`
            `WITH_BASELINES` yields.

    Raises:
        ValueError: if there is nothing, or a value is not finite.
    """
    count = 0
    shift = sums = products = np.zeros(())
    for window in windows:
        joint = np.column_stack([window["code"], log_error(window["error"])]).astype(np.float64)
        if not np.isfinite(joint).all():
            bad = int((~np.isfinite(joint)).any(axis=1).sum())
            raise ValueError(f"codes and errors must be finite, got {bad} that are not.")
        # About a value of their own the products lose no digits.
        shift = shift if count else joint[0]
        count += len(joint)
        sums = sums + (joint - shift).sum(axis=0)
        products = products + (joint - shift).T @ (joint - shift)
    if not count:
        raise ValueError("there must be at least one sequence to fit to, got none.")
    offset = sums / count
    covariance = products / count - np.outer(offset, offset)
    mean = shift + offset
    whitening = _whiten(mean[:-1], covariance[:-1, :-1], count)
    slope = whitening @ (whitening.T @ covariance[:-1, -1])
    return CodeFit(mean[:-1], whitening, slope, level=float(mean[-1]))


def _whiten(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    deviation = np.sqrt(np.diag(covariance).clip(min=0))
    deviation[deviation <= _SMALLEST_SHARE * np.abs(mean)] = 1
    correlation = covariance / np.outer(deviation, deviation)
    np.fill_diagonal(correlation, 1)
    shrinkage = choose_shrinkage(correlation, count)
    shrunk = (1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
    variances, directions = np.linalg.eigh(shrunk)
    return directions / np.sqrt(np.maximum(variances, _SMALLEST_VARIANCE)) / deviation[:, None]


def choose_shrinkage(correlation: np.ndarray, count: int) -> float:
    """Computes by how much to shrink a correlation matrix of `count` samples, from 0 to 1.

    As `sklearn.covariance.OAS` does, which leaves out of the paper's formula what divides by the
    size of the matrix.

    Example:
        >>> choose_shrinkage(np.eye(3), 10)
        1.0
        >>> round(choose_shrinkage(np.full((3, 3), 1.0), 1000), 6)
        0.002997
    """
    size = len(correlation)
    squares = float(np.square(correlation).sum())
    spread = (count + 1) * (squares - size)
    return min(1.0, (squares + size**2) / spread) if spread > 0 else 1.0


def fit_anomaly_score(
    layer: AnomalyScore,
    training: Iterable[Mapping[str, np.ndarray]],
    split: str,
    held_out: Iterable[Mapping[str, np.ndarray]],
) -> Calibration:
    """Fits the layer, and keeps the scores that p-values compare with.

    Args:
        layer: to give the weights to.
        training: what an `Inference` `WITH_BASELINES` yields for the training split.
        split: name of the split to calibrate on.
        held_out: what that yields for it.

    Returns:
        The lengths and scores of that split.

    Raises:
        ValueError: if a split has no sequences, or a code or error is not finite.
    """
    try:
        fitted = fit_codes(training)
    except ValueError as error:
        raise ValueError(f"Split {TRAINING_SPLIT!r}: {error}") from error
    layer.assign(fitted.mean, fitted.whitening, fitted.slope, fitted.level, deviation=1.0)
    # Some bytes per sequence: codes would be hundreds.
    kept = [
        (
            window["length"],
            layer.distance(window["code"]),
            layer.surprise(window["code"], window["error"]),
        )
        for window in held_out
    ]
    if not kept:
        raise ValueError(f"Split {split!r}: there must be at least one sequence, got none.")
    length, distance, surprise = map(np.concatenate, zip(*kept, strict=True))
    if bad := int((~np.isfinite(distance + surprise)).sum()):
        raise ValueError(
            f"Split {split!r}: codes and errors must be finite, got {bad} that are not."
        )
    scale = _unless_rounding(distance.mean(), _SMALLEST_VARIANCE)
    level, deviation = surprise.mean(), _unless_rounding(surprise.std(), _SMALLEST_DEVIATION)
    layer.assign(
        fitted.mean,
        fitted.whitening / scale**0.5,
        fitted.slope,
        fitted.level + level,
        deviation,
    )
    score = layer.add_up(distance / scale, (surprise - level) / deviation)
    return Calibration(split, length, score)


def _unless_rounding(value: float, smallest: float) -> float:
    """Returns what to divide by: the value, or 1 where it is small enough to be rounding."""
    return float(value) if value > smallest else 1.0
