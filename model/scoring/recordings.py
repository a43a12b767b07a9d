"""p-values of recordings that were cut into pieces, and scored piece by piece.

The highest score of a recording's pieces is compared with that of held-out recordings in about as
many pieces, as the score of a sequence is with those of about its length: recordings are what is
exchangeable, their pieces depend on each other. It needs held-out recordings, `FEWEST_RECORDINGS`,
and none that is in more pieces than all of these, as nothing tells how high its scores get. Else
the smallest p-value of the pieces counts, times their number, as the least of many is small by
chance (Bonferroni): that holds however they depend on each other, and is seldom small.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from padless.model.scoring.calibration import Calibration
from padless.pipeline.dataset.keys import place_of

# The fewest among which a p-value gets as small as 0.05.
FEWEST_RECORDINGS = 19
_WHOLE = -1


class RecordingScores:
    """Collects the highest score of the pieces of each recording; whole sequences are left out."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def number(self, keys: Iterable[bytes], lengths: Iterable[int]) -> np.ndarray:
        """Numbers the recordings that pieces are from, `(keys,)` int64; -1 for a whole sequence."""
        places = map(place_of, keys, lengths)
        found = [
            _WHOLE if span is None else self._numbers.setdefault(key, len(self._numbers))
            for key, span in places
        ]
        return np.array(found, np.int64)

    def calibrate(self, split: str, numbers: np.ndarray, score: np.ndarray) -> Calibration | None:
        """Returns what recordings are compared with; None where there are none.

        Args:
            split: name of the split.
            numbers: `(n,)`, as `number` returns them; none where the sequences have no keys.
            score: `(n,)` float64.
        """
        if not self._numbers:
            return None
        is_piece = numbers != _WHOLE
        pieces = np.bincount(numbers[is_piece], minlength=len(self._numbers))
        highest = np.zeros(len(self._numbers))
        np.maximum.at(highest, numbers[is_piece], score[is_piece])
        return Calibration(split, pieces, highest)


def are_compared(calibration: Calibration, pieces: np.ndarray) -> np.ndarray:
    """Checks which recordings are compared with held-out ones, `(batch,)` bool.

    Args:
        calibration: of a run.
        pieces: `(batch,)` integers, the number of pieces of each.
    """
    held_out = calibration.recordings
    if held_out is None or len(held_out.length) < FEWEST_RECORDINGS:
        return np.zeros(len(pieces), bool)
    return (pieces > 1) & (pieces <= held_out.length[-1])


def recording_p_values(
    calibration: Calibration, pieces: np.ndarray, score: np.ndarray, smallest: np.ndarray
) -> np.ndarray:
    """Computes how unusual recordings are.

    Args:
        calibration: of a run.
        pieces: `(batch,)` integers, the number of pieces of each.
        score: `(batch,)`, the highest of any piece.
        smallest: `(batch,)`, the smallest p-value of any piece; NaN where a score is.

    Returns:
        `(batch,)` float64, above 0 and at most 1, or NaN; of a recording in one piece its p-value.
    """
    p_values = np.minimum(np.asarray(smallest, np.float64) * pieces, 1)
    compared = are_compared(calibration, pieces) & ~np.isnan(p_values)
    if calibration.recordings is not None and compared.any():
        found = calibration.recordings.p_values(pieces[compared], score[compared])
        p_values[compared] = found
    return p_values


def smallest_recording_p_values(calibration: Calibration, pieces: np.ndarray) -> np.ndarray:
    """Returns what no p-value of recordings is below, `(batch,)` float64.

    It is reached where all that is compared with is of one length, or in as many pieces.
    """
    smallest = np.minimum(pieces / (1 + len(calibration.score)), 1)
    if calibration.recordings is not None:
        least = 1 / (1 + len(calibration.recordings.score))
        smallest = np.where(are_compared(calibration, pieces), least, smallest)
    return smallest
