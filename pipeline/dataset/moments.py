"""Count, mean, variance and range of each feature, in float64, from parts that can be merged."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterable, Mapping

import numpy as np

_ARRAYS = ("mean", "variance", "minimum", "maximum")


@dataclasses.dataclass(frozen=True, slots=True)
class Moments:
    """The first two moments and the range of each feature over timesteps.

    Attributes:
        timesteps: number of timesteps seen.
        counts: values of each feature, int64 `(features,)`: the timesteps less the missing values.
        mean: float64 `(features,)`, raw units.
        m2: float64 `(features,)`, sum of squared deviations from the mean, raw units squared.
        minimum: float64 `(features,)`, minimum value, raw units.
        maximum: float64 `(features,)`, maximum value, raw units.

    All are 0 for a feature without a value.
    """

    timesteps: int
    counts: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def of(cls, sequence: np.ndarray) -> Moments:
        """Computes those of one sequence `(timesteps, features)` with at least one timestep.

        NaN is a missing value.
        """
        values = np.asarray(sequence, np.float64)
        if (missing := np.isnan(values)).any():
            return cls._of_some(values, ~missing)
        mean = values.mean(axis=0)
        return cls(
            len(values),
            np.full(values.shape[1], len(values), np.int64),
            mean,
            np.square(values - mean).sum(axis=0),
            values.min(axis=0),
            values.max(axis=0),
        )

    @classmethod
    def _of_some(cls, values: np.ndarray, seen: np.ndarray) -> Moments:
        counts = seen.sum(axis=0)
        mean = values.sum(axis=0, where=seen) / np.maximum(counts, 1)
        minimum = values.min(axis=0, where=seen, initial=np.inf)
        maximum = values.max(axis=0, where=seen, initial=-np.inf)
        return cls(
            len(values),
            counts,
            mean,
            np.square(values - mean).sum(axis=0, where=seen),
            np.where(counts, minimum, 0.0),
            np.where(counts, maximum, 0.0),
        )

    def merge(self, other: Moments) -> Moments:
        """Joins two parts by the pairwise update of Chan, Golub and LeVeque (1979).

        It subtracts means before it squares, so that values with a large mean keep their digits.
        """
        counts = self.counts + other.counts
        share = other.counts / np.maximum(counts, 1)
        delta = other.mean - self.mean
        return Moments(
            self.timesteps + other.timesteps,
            counts,
            self.mean + delta * share,
            self.m2 + other.m2 + delta**2 * (self.counts * share),
            _outermost(self, other, "minimum", np.minimum),
            _outermost(self, other, "maximum", np.maximum),
        )

    @property
    def variance(self) -> np.ndarray:
        """Population variance of each feature, float64 `(features,)`, raw units squared."""
        return self.m2 / np.maximum(self.counts, 1)

    def find_broken(self) -> str | None:
        """Returns why these can be the moments of no values, or None."""
        for name in _ARRAYS:
            if not np.isfinite(values := getattr(self, name)).all():
                return f"must have a {name} that is finite, got {values[~np.isfinite(values)][0]}."
        if (self.variance < 0).any():
            return f"must have a variance of at least 0, got {self.variance.min()}."
        if (self.minimum > self.maximum).any():
            return "must have minima that are at most its maxima."
        if ((self.counts < 0) | (self.counts > self.timesteps)).any():
            return f"must have counts from 0 to its {self.timesteps} timesteps, got {self.counts}."
        return None

    def to_json(self) -> dict:
        """Returns what a JSON file can hold: counts, mean, variance, minimum and maximum."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"timesteps": self.timesteps, "counts": self.counts.tolist()} | arrays

    @classmethod
    def from_json(cls, content: Mapping) -> Moments:
        """Reads what `to_json` returned.

        Raises:
            KeyError: if a part is missing.
        """
        arrays = {name: np.asarray(content[name], np.float64) for name in _ARRAYS}
        counts = np.array([operator.index(count) for count in content["counts"]], np.int64)
        arrays["m2"] = arrays.pop("variance") * counts
        return cls(content["timesteps"], counts, **arrays)


def _outermost(one: Moments, other: Moments, name: str, choose: np.ufunc) -> np.ndarray:
    """Returns the outermost values of two parts; a part without a value of a feature has none."""
    left, right = getattr(one, name), getattr(other, name)
    either = np.where(one.counts == 0, right, left)
    return np.where((one.counts == 0) | (other.counts == 0), either, choose(left, right))


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
