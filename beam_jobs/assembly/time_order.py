"""The order of the timesteps of one sequence by their times, exact for every kind of time."""

from __future__ import annotations

import decimal
from collections.abc import Sequence
from typing import cast

import numpy as np

from padless.beam_jobs.fragments import Elapsed, Instant, RejectionError, Times


def join_times(parts: Sequence[Times]) -> np.ndarray:
    """Joins the times of one sequence's parts so that they compare as they were written.

    Integers and floats stay arrays of their own; whatever else is mixed becomes Python's objects,
    which compare an integer of 64 bits with a float exactly.

    Returns:
        One time per timestep, `(timesteps,)`.

    Raises:
        RejectionError: if numbers and dates are mixed.
    """
    types = {part.dtype if isinstance(part, np.ndarray) else None for part in parts}
    if len(types) == 1 and not types & {None, np.dtype(object)}:
        return np.concatenate(cast("Sequence[np.ndarray]", parts))
    times = [time for part in parts for time in _as_list(part)]
    return np.fromiter(_align(times), object, len(times))


def find_disorder(times: np.ndarray) -> int | None:
    """Finds the first timestep whose time is not above that of the timestep before, or None."""
    late = ~np.asarray(times[1:] > times[:-1], bool)
    return int(np.argmax(late)) + 1 if late.any() else None


def sort_by_time(times: np.ndarray) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Sorts timesteps by time.

    Returns:
        Their order, and the first two that have the same time, or None.
    """
    order = np.argsort(times, kind="stable")
    again = find_disorder(times[order])
    return order, None if again is None else (int(order[again - 1]), int(order[again]))


def _as_list(times: Times) -> list:
    return times.tolist() if isinstance(times, np.ndarray) else times


def _align(times: list) -> list:
    types = set(map(type, times))
    if Instant in types and len(types) > 1:
        raise RejectionError(
            "bad_time", "the times of one key must be all numbers or all dates, got both."
        )
    if Elapsed in types and len(types) > 1:
        raise RejectionError(
            "bad_time", "the times of one key must be all numbers or all time spans, got both."
        )
    if not {float, decimal.Decimal} <= types:
        return times
    # The float 0.3 is below the decimal 0.29999999999999999; its shortest text is not.
    return [decimal.Decimal(repr(time)) if type(time) is float else time for time in times]
