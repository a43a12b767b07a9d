"""Rows of a pass over the data that are kept: a sample of all, and the most anomalous."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_DRAW = "draw"


class RowSample:
    """Keeps a bounded number of rows, whatever the number that comes.

    Every row has the same chance to be in the sample, and the same rows in the same order give the
    same sample. A sample of fewer rows with the same seed is a part of one of more.

    Args:
        most: number of rows of the sample.
        most_anomalous: number of rows that are kept besides: those of the smallest p-values, and
            among equal ones of the highest scores.
        smallest: a smaller p-value counts as this one, see `order_by_anomaly`.
        seed: of the draw.

    Example:
        >>> sample = RowSample(2, most_anomalous=1)
        >>> sample.add({"p_value": np.array([0.9, 0.01, 0.5]), "score": np.array([1.0, 9.0, 2.0])})
        >>> 9.0 in sample.rows["score"], sample.num_seen
        (True, 3)
    """

    def __init__(self, most: int, *, most_anomalous: int = 0, smallest: float = 0.0, seed: int = 0):
        self._most, self._most_anomalous, self._smallest = most, most_anomalous, smallest
        self._generator = np.random.default_rng(seed)
        self._kept: dict[str, np.ndarray] = {}
        self.num_seen = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Adds rows: name -> column, each of the same length; `p_value` and `score` among them."""
        count = len(rows["score"])
        self.num_seen += count
        seen = {**rows, _DRAW: self._generator.random(count)}
        if self._kept:
            seen = {name: np.concatenate((self._kept[name], seen[name])) for name in self._kept}
        is_kept = np.zeros(len(seen[_DRAW]), bool)
        is_kept[np.argsort(seen[_DRAW])[: self._most]] = True
        order = order_by_anomaly(seen["p_value"], seen["score"], self._smallest)
        is_kept[order[: self._most_anomalous]] = True
        self._kept = {name: column[is_kept] for name, column in seen.items()}

    @property
    def rows(self) -> dict[str, np.ndarray]:
        """The columns of the rows that are kept, in the order in which they came."""
        return {name: column for name, column in self._kept.items() if name != _DRAW}


def order_by_anomaly(p_value: np.ndarray, score: np.ndarray, smallest: float = 0.0) -> np.ndarray:
    """Orders rows by rising p-value, those of equal ones by falling score, NaN last.

    Args:
        p_value: `(rows,)`.
        score: `(rows,)`.
        smallest: a smaller p-value counts as this one. The smallest p-value depends on how many
            neighbours have the same length: that it is smaller says nothing of a sequence.

    Example:
        >>> order_by_anomaly(np.array([0.5, 0.1, np.nan, 0.1]), np.array([1.0, 3.0, np.nan, 4.0]))
        array([3, 1, 0, 2])
    """
    # In one precision, or the smallest p-value itself might be above or below.
    return np.lexsort((-score, np.maximum(np.float32(p_value), np.float32(smallest))))
