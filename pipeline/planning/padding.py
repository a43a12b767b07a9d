"""How many timesteps an epoch would have if it were padded. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def timesteps_padded_to_longest(lengths: Mapping[int, int]) -> int:
    """Counts the timesteps of an epoch whose sequences are all padded to the longest."""
    return max(lengths) * sum(lengths.values())


def expected_timesteps_padded_per_batch(lengths: Mapping[int, int], batch_size: int) -> float:
    """Counts the timesteps of an epoch whose mixed batches are each padded to their longest.

    The exact expectation over a random order: a batch is a random subset, so its longest is at most
    `L` with probability C(n, size) / C(N, size), where n of the N sequences are at most `L` long.
    """
    values = np.array(sorted(lengths))
    at_most = np.cumsum([lengths[value] for value in values.tolist()])
    full, rest = divmod(int(at_most[-1]), batch_size)
    sizes = [(batch_size, full), (rest, 1)]
    return float(
        sum(size * n * _expected_max(values, at_most, size) for size, n in sizes if n and size)
    )


def _expected_max(values: np.ndarray, at_most: np.ndarray, size: int) -> float:
    drawn = np.arange(size)
    ratios = np.clip((at_most[:, None] - drawn) / (at_most[-1] - drawn), 0.0, None)
    not_longer = ratios.prod(axis=1)
    return float(values @ np.diff(not_longer, prepend=0.0))
