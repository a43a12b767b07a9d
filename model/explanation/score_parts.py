"""What an anomaly score consists of: its four parts, and the features of the level."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from padless.model.network.anomaly_score import AnomalyScore, Traits, weigh

PARTS = ("shape", "level", "error", "unexplained")


@dataclasses.dataclass(frozen=True, slots=True)
class ScoreParts:
    """The parts of a sequence's score, each weighted, so that they add up to the score.

    Attributes:
        shape: of the distance of what the encoder's outputs are pooled to.
        level: of the distance of mean and deviation of each feature.
        error: of the surprise at the error.
        unexplained: of the surprise at its share of the sequence's variance.
        error_surprise: the surprise itself, in usual deviations: below 0 where the sequence is
            reconstructed better than usual.
        unexplained_surprise: likewise; below 0 where the sequence is simpler than usual.
    """

    shape: float
    level: float
    error: float
    unexplained: float
    error_surprise: float
    unexplained_surprise: float

    @classmethod
    def of(cls, parts: np.ndarray) -> ScoreParts:
        """Weighs the distances and surprises `(4,)` that `AnomalyScore.parts` returns.

        Example:
            >>> parts = ScoreParts.of(np.array([1.0, 1.0, -2.0, 0.0]))
            >>> parts.shape, parts.error, parts.error_surprise
            (0.75, 0.3, -2.0)
        """
        shape, level, error, unexplained = (float(term[0]) for term in weigh(parts[None]))
        surprises = float(parts[2]), float(parts[3])
        return cls(shape, level, error, unexplained, *surprises)

    def shares(self) -> dict[str, float]:
        """Returns the share of the score that each part is, the largest first."""
        parts = {name: getattr(self, name) for name in PARTS}
        total = sum(parts.values())
        if not 0 < total < float("inf"):  # nothing to divide, or a part that is infinite or NaN
            return dict.fromkeys(PARTS, float("nan"))
        shares = {name: part / total for name, part in parts.items()}
        return dict(sorted(shares.items(), key=lambda item: -item[1]))


def divide_scores(layer: AnomalyScore, outputs: Mapping[str, np.ndarray]) -> list[ScoreParts]:
    """Divides scores into their parts.

    Args:
        layer: the fitted layer of the model.
        outputs: the four of `Traits` by name, of some sequences.
    """
    traits = Traits(*(np.asarray(outputs[name], np.float32) for name in Traits._fields))
    return [ScoreParts.of(row) for row in np.asarray(layer.parts(traits), np.float64)]


@dataclasses.dataclass(frozen=True, slots=True)
class LevelShare:
    """What one feature's mean or deviation contributes to the distance of a level.

    Attributes:
        feature: position of the feature.
        is_mean: whether it is the mean of the feature; if not, its deviation.
        is_high: whether that is above the usual.
        share: of the distance; all add up to 1, and some may be below 0.
    """

    feature: int
    is_mean: bool
    is_high: bool
    share: float


def divide_level(layer: AnomalyScore, level: np.ndarray) -> list[LevelShare]:
    """Divides the distance of one level among means and deviations, the largest share first.

    The squared distance of a vector `v` from the mean is `v' covariance^-1 v`: the sum over its
    values of each times what the inverse covariance makes of all of them.

    Args:
        layer: the fitted layer of the model.
        level: `(2 * features,)`, means and then deviations, see `OwnScale.level`.
    """
    offset = np.asarray(level, np.float64) - np.asarray(layer.level_mean, np.float64)
    whitening = np.asarray(layer.level_whitening, np.float64)
    terms = offset * (whitening @ (whitening.T @ offset))
    total = terms.sum()
    if not 0 < total < float("inf"):
        return []
    num_features = len(offset) // 2
    return [
        LevelShare(i % num_features, i < num_features, bool(offset[i] > 0), float(terms[i] / total))
        for i in np.argsort(-terms).tolist()
    ]
