"""Scores of pieces, brought back to the sequences that they were cut from.

A long recording is cut into pieces, whose keys say where they come from. A piece is scored as any
sequence is; here the pieces of a sequence become one row again, and the pieces that hold a timestep
say together how unusual it is.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from padless.model.scoring.inference import TIMESTEPS
from padless.pipeline.dataset.keys import place_of
from padless.pipeline.dataset.names import NUM_PIECES, SCORE_PARTS, TIMESTEP_SCORE, WORST_PIECE

_SAME = ("label", "split")

Row = dict[str, Any]
Span = tuple[int, int]


def merge_pieces(
    windows: Iterable[Mapping[str, np.ndarray]], same: Sequence[str] = _SAME
) -> dict[str, np.ndarray]:
    """Merges the rows of the pieces of each sequence; a sequence that was not cut is its own piece.

    All of them are held in memory until the last window has come, as pieces may come in any order.

    Args:
        windows: what `Inference.windows` yields, with `TIMESTEPS` and, if wanted, `p_value`.
        same: names of what all pieces of a sequence have in common, besides its key.

    Returns:
        The columns, `(sequences,)` each, in the order in which the first piece of each came:

        - `key`, and what is `same`; `length`, one past the last timestep of any piece;
        - `pieces`, their number, and `worst_piece`, the key of the one with the highest score;
        - `score`, that one's score, and its parts where there are any (`SCORE_PARTS`); `p_value`,
          the smallest of any piece, which is not yet that of the sequence, see
          `padless.model.scoring.recordings`;
        - `embedding` and `unexplained`, the means of the pieces;
        - `timestep_error`, the mean error of the pieces that hold a timestep, `(timesteps,
          features)`, NaN where none does; `error` and `feature_error`, its means;
        - `timestep_score`, the mean score of these pieces, `(timesteps,)`.
    """
    pieces: dict[bytes, list[tuple[Row, Span]]] = collections.defaultdict(list)
    for window in windows:
        for row in _rows(window):
            key, span = place_of(row["key"], length := int(row["length"]))
            pieces[key].append((row, span or (0, length)))
    merged = [_merge(key, found, same) for key, found in pieces.items()]
    names = merged[0] if merged else ()
    return {name: _column(name, [row[name] for row in merged]) for name in names}


def _rows(window: Mapping[str, np.ndarray]) -> Iterator[Row]:
    for number in range(len(window["length"])):
        yield {name: values[number] for name, values in window.items()}


def _merge(key: bytes, pieces: Sequence[tuple[Row, Span]], same: Sequence[str]) -> Row:
    rows, spans = zip(*pieces, strict=True)
    scores = np.array([row["score"] for row in rows])
    errors, timestep_scores = _by_timestep(rows, spans)
    worst = rows[int(np.argmax(np.nan_to_num(scores, nan=np.inf)))]
    merged = {name: rows[0][name] for name in same if name in rows[0]}
    if "p_value" in rows[0]:
        merged["p_value"] = np.min([row["p_value"] for row in rows])
    return merged | {
        "key": key,
        "length": len(errors),
        NUM_PIECES: len(rows),
        WORST_PIECE: worst["key"],
        "score": worst["score"],
        **{name: worst[name] for name in SCORE_PARTS if name in worst},
        **{name: np.mean([row[name] for row in rows], 0) for name in ("embedding", "unexplained")},
        "error": _mean(errors),
        "feature_error": _mean(errors, 0),
        TIMESTEPS: errors,
        TIMESTEP_SCORE: timestep_scores,
    }


def _by_timestep(rows: Sequence[Row], spans: Sequence[Span]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean errors `(timesteps, features)` and scores `(timesteps,)` of the pieces."""
    length, num_features = max(stop for _, stop in spans), rows[0][TIMESTEPS].shape[1]
    # Beside the errors the score, which all timesteps of a piece have.
    total = np.zeros((length, num_features + 1))
    count = np.zeros_like(total)
    for row, (start, stop) in zip(rows, spans, strict=True):
        values = np.column_stack((row[TIMESTEPS], np.full(stop - start, row["score"])))
        total[start:stop] += np.nan_to_num(values)
        count[start:stop] += ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    return mean[:, :-1], mean[:, -1]


def _mean(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Returns the mean of the values that are there, NaN where there is none."""
    count = (~np.isnan(values)).sum(axis)
    with np.errstate(invalid="ignore"):
        return (np.nansum(values, axis, dtype=np.float64) / count).astype(np.float32)


def _column(name: str, values: list) -> np.ndarray:
    """Stacks values; bytes, and what has an entry per timestep, as an array of objects."""
    if not (isinstance(values[0], bytes) or name in (TIMESTEPS, TIMESTEP_SCORE)):
        return np.array(values)
    column = np.empty(len(values), object)
    column[:] = values
    return column
