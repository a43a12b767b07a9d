"""What a step of several groups is expected to hold: its distinct lengths and its longest.

A step draws its groups from those of the epoch, each choice equally likely. NumPy only.
"""

from __future__ import annotations

import math

import numpy as np


def expected_bands(length_groups: np.ndarray, groups_per_step: float) -> float:
    """Computes how many distinct lengths, and so bands, a step has on average.

    A length with g of the G groups is in a step of s groups unless all of them are among the
    others: with probability 1 - C(G - g, s) / C(G, s).

    Args:
        length_groups: groups of each length in an epoch, int64 `(lengths,)`.
        groups_per_step: groups of a step, at least 1; a mean that is not whole is interpolated.

    Example:
        >>> round(expected_bands(np.array([1, 1, 2]), groups_per_step=2), 3)
        1.833
    """
    missing = none_drawn(length_groups, int(length_groups.sum()), groups_per_step)
    return float((1 - missing).sum())


def expected_longest(
    lengths: np.ndarray, length_groups: np.ndarray, groups_per_step: float
) -> float:
    """Computes the longest length of a step on average: the timesteps that it runs in a row.

    Args:
        lengths: distinct lengths in timesteps, int64 `(lengths,)`, ascending.
        length_groups: groups of each length in an epoch, int64 `(lengths,)`.
        groups_per_step: groups of a step, at least 1.

    Example:
        >>> round(expected_longest(np.array([5, 9]), np.array([1, 2]), groups_per_step=1), 3)
        7.667
    """
    total = int(length_groups.sum())
    longer = total - np.cumsum(length_groups)
    not_longer = none_drawn(longer, total, groups_per_step)
    return float(lengths @ np.diff(not_longer, prepend=0.0))


def none_drawn(marked: np.ndarray, total: int, drawn: float) -> np.ndarray:
    """Computes how likely none of some marked items is among those drawn without replacement.

    Args:
        marked: number of marked items, int64 `(cases,)`, each at most `total`.
        total: number of items.
        drawn: how many are drawn, at most `total`; between whole numbers it is interpolated.

    Returns:
        C(total - marked, drawn) / C(total, drawn), float64 `(cases,)`.
    """
    of_all = _log_choose(total, drawn)
    logs = [_log_choose(total - count, drawn) - of_all for count in marked.tolist()]
    return np.exp(logs)


def _log_choose(total: int, drawn: float) -> float:
    if total - drawn <= -1:
        return -math.inf
    return math.lgamma(total + 1) - math.lgamma(drawn + 1) - math.lgamma(total - drawn + 1)
