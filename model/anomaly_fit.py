"""Fits the anomaly score to what is normal.

1. The training split tells the mean and the covariance of embeddings, and how the logarithm of the
   error goes with them (`fit_embeddings`).
2. A split that was not trained on tells what that logarithm usually is, as the errors of sequences
   that were trained on are smaller; its scores are kept to compare with (`fit_anomaly_score`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from padless.model.anomaly_score import AnomalyScore, log_error
from padless.model.calibration import Calibration
from padless.pipeline.directory import TRAINING_SPLIT
from padless.pipeline.moments import scale_of

# Share of the usual variance below which a direction of the embedding is taken for rounding.
_SMALLEST_VARIANCE = 1e-4


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class EmbeddingFit:
    """What the embeddings of a split are like, and how the error goes with them, all float64.

    Attributes:
        mean: `(latent_size,)`.
        whitening: `(latent_size, latent_size)`: times this, their covariance is the unit matrix.
        slope: `(latent_size,)`: of the logarithm of the error.
        level: the mean of that logarithm.
    """

    mean: np.ndarray
    whitening: np.ndarray
    slope: np.ndarray
    level: float


def fit_embeddings(windows: Iterable[Mapping[str, np.ndarray]]) -> EmbeddingFit:
    """Fits the embeddings of a split in one pass, of which only sums are kept.

    The correlations are shrunk towards 0 by as much as the number of sequences asks for (Chen et
    al., Shrinkage Algorithms for MMSE Covariance Estimation, 2010), so that it may be smaller than
    that of the values in an embedding.

    Args:
        windows: `embedding` `(window, latent_size)` and `error` `(window,)`, as
            `Inference.windows` yields.

    Raises:
        ValueError: if there is nothing, or a value is not finite.
    """
    count, shift, sums, products = 0, None, 0.0, 0.0
    for window in windows:
        joint = np.column_stack([window["embedding"], log_error(window["error"])]).astype(
            np.float64
        )
        if not np.isfinite(joint).all():
            bad = int((~np.isfinite(joint)).any(axis=1).sum())
            raise ValueError(f"embeddings and errors must be finite, got {bad} that are not.")
        # About a value of their own the products lose no digits.
        shift = joint[0] if shift is None else shift
        count += len(joint)
        sums = sums + (joint - shift).sum(axis=0)
        products = products + (joint - shift).T @ (joint - shift)
    if not count:
        raise ValueError("there must be at least one sequence to fit to, got none.")
    mean = sums / count
    covariance = products / count - np.outer(mean, mean)
    whitening = _whiten(covariance[:-1, :-1], count)
    return EmbeddingFit(
        mean=(mean + shift)[:-1],
        whitening=whitening,
        slope=whitening @ (whitening.T @ covariance[:-1, -1]),
        level=float((mean + shift)[-1]),
    )


def _whiten(covariance: np.ndarray, count: int) -> np.ndarray:
    deviation = scale_of(np.diag(covariance).clip(min=0))
    correlation = covariance / np.outer(deviation, deviation)
    shrinkage = choose_shrinkage(correlation, count)
    shrunk = (1 - shrinkage) * correlation + shrinkage * np.eye(len(correlation))
    variances, directions = np.linalg.eigh(shrunk)
    return directions / np.sqrt(np.maximum(variances, _SMALLEST_VARIANCE)) / deviation[:, None]


def choose_shrinkage(correlation: np.ndarray, count: int) -> float:
    """Tells by how much to shrink a correlation matrix of `count` samples, from 0 to 1.

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
        The lengths and scores of that split.

    Raises:
        ValueError: if a split has no sequences, or an embedding or error is not finite.
    """
    try:
        fitted = fit_embeddings(training)
    except ValueError as error:
        raise ValueError(f"Split {TRAINING_SPLIT!r}: {error}") from error
    layer.set_weights([np.asarray(part) for part in dataclasses.astuple(fitted)] + [np.ones(())])
    # Some bytes per sequence: embeddings would be hundreds.
    kept = [
        (window["length"], layer.distance(embedding), layer.surprise(embedding, window["error"]))
        for window in held_out
        for embedding in [window["embedding"]]
    ]
    if not kept:
        raise ValueError(f"Split {split!r}: there must be at least one sequence, got none.")
    length, distance, surprise = map(np.concatenate, zip(*kept, strict=True))
    if bad := int((~np.isfinite(distance + surprise)).sum()):
        raise ValueError(
            f"Split {split!r}: embeddings and errors must be finite, got {bad} that are not."
        )
    level, deviation = surprise.mean(), surprise.std() or 1.0
    layer.level.assign(fitted.level + level)
    layer.deviation.assign(deviation)
    score = layer.add_up(distance, (surprise - level) / deviation)
    return Calibration(split, length, score)
