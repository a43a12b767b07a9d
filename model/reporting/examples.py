"""Sequences shown beside their reconstructions."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from padless.pipeline.dataset.moments import scale_of

NUM_EXAMPLES = 3


class TrainingMoments(NamedTuple):
    """Mean and variance of each feature that a model was trained on, float64 `(features,)`."""

    mean: np.ndarray
    variance: np.ndarray

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Brings values `(timesteps, features)` to units of the training standard deviation."""
        return (values - self.mean) / scale_of(self.variance)


@dataclasses.dataclass(frozen=True, slots=True)
class ExampleSequence:
    """A sequence and its reconstruction, both `(timesteps, features)` in raw units."""

    key: str
    error: float
    original: np.ndarray
    reconstruction: np.ndarray


def pick_rows(values: np.ndarray) -> np.ndarray:
    """Picks the rows whose values are at the 10th, 50th and 90th percentile, each row once."""
    order = np.argsort(values, kind="stable")
    positions = np.linspace(0.1, 0.9, NUM_EXAMPLES) * (len(order) - 1)
    return order[np.unique(np.rint(positions).astype(int))]


def worst_rows(values: np.ndarray) -> np.ndarray:
    """Picks the rows of the largest values, the largest first; NaN are not among them."""
    order = np.argsort(-values, kind="stable")
    return order[~np.isnan(values[order])][:NUM_EXAMPLES]
