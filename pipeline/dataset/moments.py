"""Count, mean, variance and range of each feature, in float64, from parts that can be merged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping

import numpy as np

_ARRAYS = ("mean", "variance", "minimum", "maximum")


@dataclasses.dataclass(frozen=True, slots=True)
class Moments:
    """The first two moments and the range of each feature over timesteps.

    Attributes:
        timesteps: number of timesteps seen.
        mean: float64 `(features,)`, raw units.
        m2: float64 `(features,)`, sum of squared deviations from the mean, raw units squared.
        minimum: float64 `(features,)`, minimum value, raw units.
        maximum: float64 `(features,)`, maximum value, raw units.
    """

    timesteps: int
    mean: np.ndarray
    m2: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, sequence: np.ndarray) -> Moments:
        """Computes those of one sequence `(timesteps, features)` with at least one timestep."""
        values = np.asarray(sequence, np.float64)
        mean = values.mean(axis=0)
        return cls(
            len(values),
            mean,
            np.square(values - mean).sum(axis=0),
            values.min(axis=0),
            values.max(axis=0),
        )

    def merge(self, other: Moments) -> Moments:
        """Joins two parts by the pairwise update of Chan, Golub and LeVeque (1979).

        It subtracts means before it squares, so that values with a large mean keep their digits.
        """
        timesteps = self.timesteps + other.timesteps
        delta = other.mean - self.mean
        return Moments(
            timesteps,
            self.mean + delta * (other.timesteps / timesteps),
            self.m2 + other.m2 + delta**2 * (self.timesteps * other.timesteps / timesteps),
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
        )

    @property
    def variance(self) -> np.ndarray:
        """Population variance of each feature, float64 `(features,)`, raw units squared."""
        return self.m2 / self.timesteps

    def to_json(self) -> dict:
        """Returns what a JSON file can hold: count, mean, variance, minimum and maximum."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"timesteps": self.timesteps} | arrays

    @classmethod
    def from_json(cls, content: Mapping) -> Moments:
        """Reads what `to_json` returned.

        Raises:
            KeyError: if a part is missing.
        """
        arrays = {name: np.asarray(content[name], np.float64) for name in _ARRAYS}
        arrays["m2"] = arrays.pop("variance") * content["timesteps"]
        return cls(content["timesteps"], **arrays)


def scale_of(variance: np.ndarray) -> np.ndarray:
    """Returns what to divide each feature by: its standard deviation, or 1 where that is 0."""
    deviation = np.sqrt(np.asarray(variance, np.float64))
    return np.where(deviation > 0, deviation, 1.0)


def merge_moments(parts: Iterable[Moments]) -> Moments:
    """Joins parts in the order given, so that the same order always gives the same digits.

    Raises:
        TypeError: if there is no part.
    """
    return functools.reduce(Moments.merge, parts)
