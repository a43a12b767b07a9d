"""Fits the anomaly score to what is normal.

1. The training split tells the mean and the covariance of shapes and of levels, and how the
   logarithm of the error goes with the level (`fit_traits`).
2. A split that was not trained on tells how far these usually are, and what the logarithms usually
   are: sequences that were trained on lie nearer, and their errors are smaller. Its scores are kept
   to compare with (`fit_anomaly_score`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from threadpoolctl import threadpool_limits

from padless.model.network.anomaly_score import AnomalyScore, Traits, log_of
from padless.model.scoring.calibration import Calibration
from padless.model.scoring.recordings import RecordingScores
from padless.pipeline.dataset.names import TRAINING_SPLIT

# What is smaller is taken for rounding: a variance among those of correlated values, the deviation
# of a value as a share of its mean, and the deviation of the logarithm of an error.
_SMALLEST_VARIANCE = 1e-4
_SMALLEST_SHARE = 1e-6
_SMALLEST_DEVIATION = 1e-4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class VectorFit:
    """What some vectors are like, float64.

    Attributes:
        mean: `(size,)`.
        whitening: `(size, size)`: times this, their covariance is about the unit matrix, and
            smaller the more it is shrunk.
    """

    mean: np.ndarray
    whitening: np.ndarray

    def scaled(self, variance: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and whitening for vectors whose variance is so many times as large."""
        return self.mean, self.whitening / variance**0.5


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TraitsFit:
    """What the traits of a split are like, float64.

    Attributes:
        pooled: the shapes.
        level: the levels.
        slope: of the logarithm of the error along the level, `(2 * features,)`.
        expected: the mean of that logarithm.
    """

    pooled: VectorFit
    level: VectorFit
    slope: np.ndarray
    expected: float


class _Sums:
    """Adds up vectors and their products."""

    def __init__(self) -> None:
        self.count = 0
        self._shift = self._sums = self._products = np.zeros(())

    def add(self, vectors: np.ndarray) -> None:
        """Adds `(count, size)` float64."""
        # About a vector of their own the products lose no digits.
        self._shift = self._shift if self.count else vectors[0]
        self.count += len(vectors)
        self._sums = self._sums + (vectors - self._shift).sum(axis=0)
        self._products = self._products + (vectors - self._shift).T @ (vectors - self._shift)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and covariance."""
        offset = self._sums / self.count
        return self._shift + offset, self._products / self.count - np.outer(offset, offset)


def fit_traits(windows: Iterable[Mapping[str, np.ndarray]]) -> TraitsFit:
    """Fits the traits of a split in one pass, of which only sums are kept.

    The correlations are shrunk towards 0 by as much as the number of sequences asks for (Chen et
    al., Shrinkage Algorithms for MMSE Covariance Estimation, 2010), so that it may be smaller than
    that of the values in a vector.

    Args:
        windows: the `Traits` by name, as `Inference.windows` yields them.

    Raises:
        ValueError: if there is nothing, or a value is not finite.
    """
    shapes, levels = _Sums(), _Sums()
    for window in windows:
        vectors = window["pooled"].astype(np.float64)
        joint = np.column_stack([window["level"], log_of(window["error"])]).astype(np.float64)
        is_finite = np.isfinite(vectors).all(axis=1) & np.isfinite(joint).all(axis=1)
        if bad := int((~is_finite).sum()):
            raise ValueError(f"embeddings and errors must be finite, got {bad} that are not.")
        shapes.add(vectors)
        levels.add(joint)
    if not shapes.count:
        raise ValueError("there must be at least one sequence to fit to, got none.")
    mean, covariance = shapes.moments()
    pooled = VectorFit(mean, _whiten(mean, covariance, shapes.count))
    mean, covariance = levels.moments()
    level = VectorFit(mean[:-1], _whiten(mean[:-1], covariance[:-1, :-1], levels.count))
    slope = level.whitening @ (level.whitening.T @ covariance[:-1, -1])
    return TraitsFit(pooled, level, slope, float(mean[-1]))


def _whiten(mean: np.ndarray, covariance: np.ndarray, count: int) -> np.ndarray:
    deviation = np.sqrt(np.diag(covariance).clip(min=0))
    deviation[deviation <= _SMALLEST_SHARE * np.abs(mean)] = 1
    correlation = covariance / np.outer(deviation, deviation)
    np.fill_diagonal(correlation, 1)
    shrinkage = choose_shrinkage(correlation, count)
    shrunk = (1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
    # Threads of BLAS wait for each other by spinning: where other processes want the cores, two
    # took 35 s, 6 s of them CPU time, for 512 values that one has done after 0.1 s.
    with threadpool_limits(limits=1, user_api="blas"):
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
        training: what `Inference.windows` yields for the training split.
        split: name of the split to calibrate on.
        held_out: what `Inference.windows` yields for it.

    Returns:
        The lengths and scores of that split, and those of recordings that were cut.

    Raises:
        ValueError: if a split has no sequences, or an embedding or error is not finite.
    """
    try:
        fitted = fit_traits(training)
    except ValueError as error:
        raise ValueError(f"Split {TRAINING_SPLIT!r}: {error}") from error
    layer.assign(
        pooled=fitted.pooled.scaled(1.0),
        level=fitted.level.scaled(1.0),
        slope=fitted.slope,
        expected=(fitted.expected, 0.0),
        deviation=(1.0, 1.0),
    )
    # Some bytes per sequence: its traits would be thousands.
    recordings = RecordingScores()
    kept = [
        (
            window["length"],
            recordings.number(window.get("key", ()), window["length"].tolist()),
            layer.parts(Traits(*(window[name] for name in Traits._fields))),
        )
        for window in held_out
    ]
    if not kept:
        raise ValueError(f"Split {split!r}: there must be at least one sequence, got none.")
    length, numbers, parts = map(np.concatenate, zip(*kept, strict=True))
    if bad := int((~np.isfinite(parts).all(axis=1)).sum()):
        raise ValueError(
            f"Split {split!r}: embeddings and errors must be finite, got {bad} that are not."
        )
    scale = [_unless_rounding(mean, _SMALLEST_VARIANCE) for mean in parts[:, :2].mean(axis=0)]
    usual = parts[:, 2:].mean(axis=0)
    deviation = [_unless_rounding(d, _SMALLEST_DEVIATION) for d in parts[:, 2:].std(axis=0)]
    layer.assign(
        pooled=fitted.pooled.scaled(scale[0]),
        level=fitted.level.scaled(scale[1]),
        slope=fitted.slope,
        expected=(fitted.expected + usual[0], usual[1]),
        deviation=(deviation[0], deviation[1]),
    )
    score = layer.add_up(np.hstack([parts[:, :2] / scale, (parts[:, 2:] - usual) / deviation]))
    return Calibration(split, length, score, recordings.calibrate(split, numbers, score))


def _unless_rounding(value: float, smallest: float) -> float:
    """Returns what to divide by: the value, or 1 where it is small enough to be rounding."""
    return float(value) if value > smallest else 1.0
