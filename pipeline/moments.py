"""Count, mean and variance of each feature, in float64, from parts that can be merged."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Moments:
    """The first two moments of each feature over timesteps.

    Attributes:
        timesteps: number of timesteps seen.
        mean: float64 `(features,)`, raw units.
        m2: float64 `(features,)`, sum of squared deviations from the mean, raw units squared.
    """

    timesteps: int
    mean: np.ndarray
    m2: np.ndarray

    @classmethod
    def of(cls, sequence: np.ndarray) -> Moments:
        """Takes the moments of one sequence `(timesteps, features)` with at least one timestep."""
        values = np.asarray(sequence, np.float64)
        mean = values.mean(axis=0)
        return cls(len(values), mean, np.square(values - mean).sum(axis=0))

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
        )

    @property
    def variance(self) -> np.ndarray:
        """Population variance of each feature, float64 `(features,)`, raw units squared."""
        return self.m2 / self.timesteps


def scale_of(variance: np.ndarray) -> np.ndarray:
    """Takes what to divide each feature by: its standard deviation, or 1 where that is 0."""
    deviation = np.sqrt(np.asarray(variance, np.float64))
    return np.where(deviation > 0, deviation, 1.0)


def merge_moments(parts: Iterable[Moments]) -> Moments:
    """Joins parts in the order given, so that one order always gives the same digits.

    Raises:
        TypeError: if there is no part.
    """
    return functools.reduce(Moments.merge, parts)
