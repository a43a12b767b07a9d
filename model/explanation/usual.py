"""What usual sequences are like: their course over time, and how badly timesteps are rebuilt."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np

# Of the sequences, those between are called usual at a share of the length.
_QUANTILES = (0.05, 0.95)
# Of the timesteps of usual sequences, this many have a smaller error than the limit.
_USUAL_TIMESTEPS = 0.99
# Of a length: so many timesteps are sequences of all lengths stretched to.
SHARES = 64
# A p-value above it calls a sequence usual.
USUAL_P_VALUE = 0.1
_MAX_USUAL = 256
_MIN_USUAL = 16
# Of all usual sequences: 64 MB, three times.
_MAX_USUAL_VALUES = 1 << 24


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class UsualSequences:
    """Usual sequences, and their course by the share of their length that has passed.

    Attributes:
        split: name of the split that they are from; None where they are of several.
        sequences: the sequences, `(timesteps, features)` each, raw units.
        stretched: the same, `(sequences, shares, features)`, stretched to one length.
        course: float64 `(2, shares, features)`: what a twentieth of the sequences is below, and
            what a twentieth is above. NaN where no sequence has a value.
        error_limit: float64 `(features,)`: the `timestep_error` that 99 of 100 timesteps have less
            of; NaN for a feature without a value.
    """

    split: str | None
    sequences: Sequence[np.ndarray]
    stretched: np.ndarray
    course: np.ndarray
    error_limit: np.ndarray

    @classmethod
    def of(
        cls, split: str | None, sequences: Sequence[np.ndarray], errors: Sequence[np.ndarray]
    ) -> UsualSequences:
        """Measures some sequences.

        Args:
            split: name of the split that they are from; None where they are of several.
            sequences: at least one, `(timesteps, features)` each, NaN where a value is missing.
            errors: their `timestep_error`, of the same shapes.
        """
        stretched = np.stack([stretch(sequence, SHARES) for sequence in sequences])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where all values are missing
            course = np.nanquantile(stretched, _QUANTILES, axis=0)
            limit = np.nanquantile(np.concatenate(errors), _USUAL_TIMESTEPS, axis=0)
        return cls(split, sequences, stretched, course, np.asarray(limit, np.float64))

    @property
    def num_sequences(self) -> int:
        """Number of sequences."""
        return len(self.sequences)

    def at(self, length: int) -> np.ndarray:
        """Returns the course of a sequence of so many timesteps, `(2, length, features)`."""
        return np.stack([stretch(part, length) for part in self.course])

    def nearest(self, sequence: np.ndarray, count: int) -> list[np.ndarray]:
        """Returns the usual sequences that are most like a sequence, at its length.

        The median of the distances of all timesteps and features counts, so that a part of the
        sequence which is not usual does not choose. Timesteps are repeated or left out, not
        averaged: a course smoother than any usual sequence would not be usual.

        Args:
            sequence: `(timesteps, features)`.
            count: how many to return, if there are as many.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            deviation = np.nanstd(self.stretched, axis=(0, 1))
            distance = np.abs(self.stretched - stretch(sequence, SHARES))
            scaled = distance / np.where(deviation > 0, deviation, 1)
            medians = np.nanmedian(scaled.reshape(len(scaled), -1), axis=1)
        chosen = np.argsort(medians, kind="stable")[:count].tolist()
        return [_resample(self.sequences[i], len(sequence)) for i in chosen]


def count_usual(longest: int, num_features: int) -> int:
    """Returns how many usual sequences to keep in memory.

    Example:
        >>> count_usual(140, 1), count_usual(10_000, 24), count_usual(1_000_000, 3)
        (256, 69, 16)
    """
    fitting = _MAX_USUAL_VALUES // (max(longest, SHARES) * num_features)
    return min(_MAX_USUAL, max(_MIN_USUAL, fitting))


def stretch(sequence: np.ndarray, length: int) -> np.ndarray:
    """Stretches or compresses a sequence to another number of timesteps, by straight lines.

    Args:
        sequence: `(timesteps, features)`.
        length: how many timesteps to return.

    Returns:
        `(length, features)` float64, from the first timestep to the last.

    Example:
        >>> stretch(np.array([[0.0], [4.0]]), 5).ravel().tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    values = np.asarray(sequence, np.float64)
    places = np.linspace(0, len(values) - 1, length)
    before = np.floor(places).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    share = (places - before)[:, None]
    # Not `(1 - share) * before + share * after`: a missing value after the last one would count.
    return np.where(
        share > 0, values[before] + share * (values[after] - values[before]), values[before]
    )


def _resample(sequence: np.ndarray, length: int) -> np.ndarray:
    """Repeats or leaves out timesteps until there are so many."""
    return sequence[np.linspace(0, len(sequence) - 1, length).round().astype(int)]
