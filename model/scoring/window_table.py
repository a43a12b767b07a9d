"""What p-values compare with at each length, as a table: for graphs, which cannot search for it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from padless.model.scoring.calibration import Calibration, log_of


class WindowTable(NamedTuple):
    """The neighbours of a sequence of each length, see `Calibration`.

    A length beyond `first` and `last` has the neighbours of the nearer one.

    Attributes:
        first: shortest length of the calibration, in timesteps.
        last: longest one.
        start: where the neighbours of each length from `first` to `last` begin among the sequences
            of the calibration, `(lengths,)` int64.
        stop: where they end, likewise.
        slope: trend of the logarithm of their score per timestep, `(lengths,)` float64.
        length: of the sequences of the calibration, `(n,)` int64, ascending.
        logarithm: of their scores, `(n,)` float64.
    """

    first: int
    last: int
    start: np.ndarray
    stop: np.ndarray
    slope: np.ndarray
    length: np.ndarray
    logarithm: np.ndarray

    @classmethod
    def of(cls, calibration: Calibration) -> WindowTable:
        """Finds the neighbours of all lengths."""
        first, last = int(calibration.length[0]), int(calibration.length[-1])
        start, stop = calibration.windows(np.arange(first, last + 1))
        pairs, of_length = np.unique((start, stop), axis=1, return_inverse=True)
        slopes = np.array([calibration.neighbours(*pair)[1] for pair in pairs.T.tolist()])
        slope = slopes[of_length.ravel()]
        return cls(first, last, start, stop, slope, calibration.length, log_of(calibration.score))
