"""From the fragments of one key to a sequence or to the reason why there is none."""

from __future__ import annotations

import decimal
import itertools
from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np

from padless.beam_jobs.fragments import (
    Fault,
    Instant,
    Place,
    RefusalError,
    Reject,
    Rows,
    Sequence,
    Time,
    Whole,
)


def assemble(key: bytes, fragments: Iterable[Rows | Whole | Fault]) -> list[Sequence | Reject]:
    """Assembles what one key has brought, in whatever order its fragments arrived.

    All rows of a key, from all files, are one sequence; each `Whole` is one. There must be only
    one of them: otherwise each is refused, as none is more right than the others.

    Returns:
        One sequence or reject per sequence that stood in the input, in the order of the input.
    """
    fragments = sorted(fragments, key=lambda fragment: fragment.place)
    rows = [fragment for fragment in fragments if not fragment.whole]
    units = [[fragment] for fragment in fragments if fragment.whole] + ([rows] if rows else [])
    units.sort(key=lambda unit: unit[0].place)
    results = [_assemble_unit(key, unit) for unit in units]
    return results if len(results) == 1 else list(_refuse_duplicates(results))


def count_units(fragments: Iterable[Rows | Whole | Fault]) -> int:
    """Counts the sequences that stood in the input: the wholes, and all rows together as one."""
    wholes = [fragment.whole for fragment in fragments]
    return sum(wholes) + (not all(wholes))


def join_rows(rows: list[Rows]) -> tuple[np.ndarray, bytes | None]:
    """Joins the rows of one key, sorted by time.

    Args:
        rows: in the order of the input.

    Returns:
        Values, float32 `(timesteps, features)`, and the label.

    Raises:
        RefusalError: if labels contradict each other, times cannot be compared or one occurs twice.
    """
    _check_labels(rows)
    times = _align([time for part in rows for time in part.times])
    order = sorted(range(len(times)), key=times.__getitem__)
    for earlier, later in itertools.pairwise(order):
        if times[earlier] == times[later]:
            _refuse_duplicate_time(rows, times, earlier, later)
    values = np.concatenate([part.values for part in rows])
    return values[order], rows[0].label


def _assemble_unit(key: bytes, unit: list) -> Sequence | Reject:
    place = unit[0].place
    faults = [fragment for fragment in unit if isinstance(fragment, Fault)]
    if faults:
        return Reject(faults[0].place, key, faults[0].reason, faults[0].rule)
    if isinstance(unit[0], Whole):
        return Sequence(place, unit[0].values, unit[0].label, key)
    try:
        return Sequence(place, *join_rows(unit), key)
    except RefusalError as refusal:
        return refusal.reject(place, key)


def _refuse_duplicates(results: list[Sequence | Reject]) -> Iterator[Reject]:
    first, second = results[0].place, results[1].place
    for index, result in enumerate(results):
        if isinstance(result, Reject):
            yield result
        else:
            other = first if index else second
            yield result.reject(
                "duplicate_key",
                f"the key must name one sequence, it names {len(results)}, also at {other}.",
            )


def _check_labels(rows: list[Rows]) -> None:
    for part in rows:
        if part.label != rows[0].label:
            raise RefusalError(
                "conflicting_label",
                f"the label must be the same in all rows, got {rows[0].label.decode()!r} and, "
                f"at {part.place}, {part.label.decode()!r}.",
            )


def _align(times: list[Time]) -> list[Time]:
    """Makes the times of one key comparable as they were written, or refuses them."""
    types = set(map(type, times))
    if Instant in types and len(types) > 1:
        raise RefusalError(
            "bad_time", "the times of one key must be all numbers or all dates, got both."
        )
    if not {float, decimal.Decimal} <= types:
        return times
    # The float 0.3 is below the decimal 0.29999999999999999; its shortest text is not.
    return [decimal.Decimal(repr(time)) if type(time) is float else time for time in times]


def _refuse_duplicate_time(rows: list[Rows], times: list[Time], one: int, two: int) -> NoReturn:
    places = [_place_of(rows, index) for index in sorted((one, two))]
    raise RefusalError(
        "duplicate_time",
        f"a time must stand in one row of a key, got {times[one]} at {places[0]} and {places[1]}.",
    )


def _place_of(rows: list[Rows], index: int) -> Place:
    """Finds the place of a row from its position among all rows."""
    for part in rows:
        if index < len(part.lines):
            place = part.place
            return Place(place.file_index, part.lines[index], place.file, place.unit)
        index -= len(part.lines)
    raise IndexError(index)
