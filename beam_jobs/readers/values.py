"""From the strings and objects of an input to keys, labels, times and numbers.

Each function returns the value or raises a `RejectionError`; the readers add file and line. A
missing value becomes NaN, which is no error here: the rule is in `padless.beam_jobs.assembly`.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import (
    Elapsed,
    Instant,
    RejectionError,
    Source,
    Time,
    Times,
    first_where,
    shorten,
)
from padless.beam_jobs.options import check_split_name

# Python's `fromisoformat` reads other forms in 3.10 than in 3.11, and cuts off nanoseconds.
_ISO_DATE = re.compile(
    r"(?P<year>\d{4})(?P<dash>[-/]?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"([T ](?P<hour>\d\d)"
    r"((?P<colon>:?)(?P<minute>\d\d)((?P=colon)(?P<second>\d\d)([.,](?P<fraction>\d{1,9})0*)?)?)?"
    r"( ?(Z|UTC|GMT)| ?(?P<sign>[+-])(?P<zone_hour>\d\d)(:?(?P<zone_minute>\d\d))?)?)?",
    re.ASCII | re.IGNORECASE,
)
_UNITS = ("year", "month", "day", "hour", "minute", "second")
_EXACT_INTEGERS = 2**53  # in float64
_FLOAT_DIGITS = 15  # that float64 keeps of any decimal number
_NUMBERS = {int, float, type(None)}  # None is a missing one
# As pandas, R, spreadsheets, statistics packages and the `.ts` format write them, in lower case.
_MISSING_CELLS = frozenset(
    {
        *(
            "",
            "na",
            "n/a",
            "nan",
            "null",
            "none",
            "nil",
            "nat",
            "-nan",
            "<na>",
            "-",
            "--",
            "?",
            ".",
        ),
        *("#n/a", "#na", "#n/a n/a", "#div/0!", "#num!", "#value!", "#ref!", "#null!", "#name?"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
_BLANKS = " \t\xa0"
_TRUTH_VALUES = {"true": 1.0, "false": 0.0}
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?", re.ASCII)
_DAY_FIRST = re.compile(r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b.*", re.ASCII | re.DOTALL)
_ELAPSED = re.compile(
    r"(?P<sign>[+-]?)(?P<days>\d+) days?,?"
    r"( \+?(?P<hours>\d\d?):(?P<minutes>\d\d):(?P<seconds>\d\d)([.,](?P<fraction>\d{1,9})0*)?)?",
    re.ASCII | re.IGNORECASE,
)


def parse_key(key: object) -> bytes:
    """Encodes a key: a string, without the blanks around it, that is not empty; or an integer.

    A float that is an integer is one, as tables have them where another key was missing.
    """
    key = _plain(key)
    if key is None or key == "":
        raise RejectionError("missing_key", f"the key must not be empty, got {key!r}.")
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise RejectionError(
            "bad_key", f"the key must be a string or an integer, got {shorten(key)}."
        )
    return _encode("bad_key", "key", str(key))


def parse_label(label: object) -> bytes:
    """Encodes a label: a string that is not empty; a number or a truth value as JSON."""
    return _parse_name("label", label)


def parse_group(group: object) -> bytes:
    """Encodes the name of a group, as a label."""
    return _parse_name("group", group)


def parse_meta(value: object) -> bytes:
    """Encodes what is carried into outputs: as a label, but nothing where it is missing."""
    return b"" if value is None or value == "" else _parse_name("meta", value)


def parse_split(split: object) -> bytes:
    """Encodes the name of a split."""
    split = split.strip(_BLANKS) if isinstance(split, str) else split
    if split is None or split == "":
        raise RejectionError("missing_split", f"the split must not be empty, got {split!r}.")
    try:
        check_split_name(str(split))
    except ValueError as error:
        raise RejectionError("bad_split", str(error)) from None
    return str(split).encode()


def parse_time(text: str) -> Time:
    """Reads a time: an integer; else a finite number; else an ISO 8601 date, by default in UTC.

    Nanoseconds since 1970 do not fit into a float: integers never pass through one, nor do decimal
    numbers of more digits than it keeps. Dates are exact to the nanosecond; with more digits, or by
    week or day of the year, they are rejected.

    Example:
        >>> parse_time("1700000000000000001")
        1700000000000000001
        >>> print(parse_time("2024-01-01T01:00:00.000000001+01:00"))
        2024-01-01 00:00:00.000000001+00:00
    """
    text = text.strip()
    for parse in (_parse_integer, _parse_finite, _parse_date, _parse_elapsed):
        try:
            return parse(text)
        except (ValueError, ArithmeticError):
            pass
    raise RejectionError(
        "bad_time",
        f"the time must be an integer, a finite number or an ISO 8601 date, got {shorten(text)}"
        f"{_explain_time(text)}.",
    )


def _explain_time(text: str) -> str:
    if _CLOCK.fullmatch(text):
        return ", of an unknown day"
    if _DAY_FIRST.fullmatch(text):
        return "; year, month and day are written in this order"
    return ""


def needs_times(source: Source, columns: Columns) -> bool:
    """Checks whether whole sequences must have times: where they are named, or looked at."""
    return columns.is_given("time") or source.needs_times


class TimedValues(NamedTuple):
    """A whole sequence up to the padding at its end: timesteps with neither a time nor a value.

    Attributes:
        values: float32 `(timesteps, features)`.
        times: of these timesteps, or None where they are in order.
        padding: number of timesteps that were cut off.
    """

    values: np.ndarray
    times: Times | None = None
    padding: int = 0


def parse_times(times: object, values: np.ndarray) -> TimedValues:
    """Reads the times of a whole sequence: a list with one per timestep; else there are none."""
    if not isinstance(times, list):
        return TimedValues(values)
    if len(times) != len(values):
        raise RejectionError(
            "bad_time",
            f"there must be one time per timestep, {len(values)}, got {len(times)}.",
        )
    length = len(times)
    while length and is_missing_cell(times[length - 1]) and np.isnan(values[length - 1]).all():
        length -= 1
    return TimedValues(values[:length], _parse_each_time(times[:length]), len(times) - length)


def is_missing_cell(cell: object) -> bool:
    """Checks whether a cell, or a value of a list, says that there is none."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str | bytes) and _as_text(cell).strip().casefold() in _MISSING_CELLS


def _parse_each_time(times: list) -> Times:
    return pack_times([time if _is_time(time) else parse_time(_as_text(time)) for time in times])


def _as_text(time: object) -> str:
    return time.decode("utf-8", "surrogateescape") if isinstance(time, bytes) else str(time)


def _is_time(time: object) -> bool:
    return type(time) is int or (type(time) is float and math.isfinite(time))


def pack_times(times: list[Time]) -> Times:
    """Packs times into an array, where all are integers of 64 bits or all are floats."""
    types = set(map(type, times))
    if types == {float}:
        return np.array(times, np.float64)
    if types == {int}:
        integers = cast("list[int]", times)
        if min(integers) >= -(2**63) and max(integers) < 2**63:
            return np.array(integers, np.int64)
    return times


def parse_numbers(cells: Sequence[str], columns: Sequence[str]) -> list[float]:
    """Reads one number per cell, NaN where it is missing; `columns` names the cells in messages.

    Example:
        >>> parse_numbers(["1.5", "", "NA"], ["x", "y", "z"])
        [1.5, nan, nan]
    """
    try:
        # Python itself reads "1_000" as a number.
        if "_" not in "".join(cells):
            return list(map(float, cells))
    except ValueError:
        pass
    return [parse_number(cell, column) for column, cell in zip(columns, cells, strict=True)]


def parse_number(cell: str, column: str) -> float:
    """Reads one number, NaN where it is missing."""
    if cell.strip().casefold() in _MISSING_CELLS:
        return math.nan
    try:
        if "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    if (truth := _TRUTH_VALUES.get(cell.strip().casefold())) is not None:
        return truth
    has_comma = _DECIMAL_COMMA.fullmatch(cell.strip())
    remedy = "; decimal commas are read by --decimal ," if has_comma else ""
    raise RejectionError(
        "not_a_number", f"column {column!r} must hold a number, got {shorten(cell)}{remedy}."
    )


def parse_nested(sequence: object) -> np.ndarray:
    """Reads a list of timesteps, each a list of numbers, as float64 `(timesteps, features)`.

    Types are checked before NumPy sees the lists: it would read `"1.5"` and `true` as numbers.
    None is a missing value.
    """
    if not isinstance(sequence, list):
        raise RejectionError(
            "bad_shape",
            f"a sequence must be a list of timesteps, each a list of numbers, "
            f"got {shorten(sequence)}.",
        )
    for timestep, values in enumerate(sequence):
        _check_timestep(timestep, values, sequence[0])
    width = len(sequence[0]) if sequence else 0
    try:
        array = np.array(sequence, np.float64).reshape(len(sequence), width)
    except OverflowError:
        raise RejectionError(
            "infinite", "every value must be finite as float32, got an integer beyond float64."
        ) from None
    return check_sequence(array)


def check_sequence(array: np.ndarray) -> np.ndarray:
    """Checks a whole sequence and returns it as float32 or float64 `(timesteps, features)`.

    It has at least one timestep and one feature, and no infinite value; NaN is a missing one.
    """
    if array.ndim != 2:
        raise RejectionError(
            "bad_shape",
            f"a sequence must have the shape (timesteps, features), got {array.shape}.",
        )
    if array.dtype.kind not in "iuf":
        raise RejectionError(
            "not_a_number", f"a sequence must hold real numbers, got the type {array.dtype}."
        )
    if not array.shape[0]:
        raise RejectionError(
            "zero_timesteps", f"a sequence must have a timestep, got {array.shape}."
        )
    if not array.shape[1]:
        raise RejectionError(
            "wrong_num_features", f"a timestep must have a value, got {array.shape}."
        )
    if (bad := first_where(is_infinite(array))) is not None:
        raise RejectionError(
            "infinite",
            f"timestep {bad[0]}, feature {bad[1]} must be finite as float32, got {array[bad]}.",
        )
    return as_numbers(array)


def as_numbers(array: np.ndarray) -> np.ndarray:
    """Returns what fits into float32 as that, all else as float64; the job rounds it later."""
    if np.can_cast(array.dtype, np.float32, "safe"):
        return np.ascontiguousarray(array, np.float32)
    numbers = np.ascontiguousarray(array, np.float64)
    if array.dtype.kind in "iu" and (large := np.abs(numbers) > _EXACT_INTEGERS).any():
        numbers[large] = array[large].astype(np.float32)  # rounded once, not to float64 before
    return numbers


def is_infinite(array: np.ndarray) -> np.ndarray:
    """Checks which values are infinite, or beyond the range of float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.isinf(array.astype(np.float32, copy=False))


def _encode(reason: str, what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        rule = f"the {what} must be UTF-8, got {shorten(text)}. --encoding names another one."
        raise RejectionError(reason, rule) from None


def _parse_name(what: str, name: object) -> bytes:
    name = name.strip(_BLANKS) if isinstance(name, str) else name
    if name is None or name == "":
        raise RejectionError(f"missing_{what}", f"the {what} must not be empty, got {name!r}.")
    if isinstance(name, str):
        return _encode(f"bad_{what}", what, name)
    if isinstance(name, bool | int | float):
        return json.dumps(name).encode()
    raise RejectionError(
        f"bad_{what}", f"the {what} must be a string or a number, got {shorten(name)}."
    )


def _plain(key: object) -> object:
    if isinstance(key, str):
        return key.strip(_BLANKS)
    return int(key) if isinstance(key, float) and key.is_integer() else key


def _parse_integer(text: str) -> int:
    if "_" in text:
        raise ValueError
    return int(text)


def _parse_finite(text: str) -> float | decimal.Decimal:
    if "_" in text or not math.isfinite(number := float(text)):
        raise ValueError
    return decimal.Decimal(text) if len(text) > _FLOAT_DIGITS else number


def _parse_date(text: str) -> Instant:
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, hour, minute, seconds = (int(match[unit] or 0) for unit in _UNITS)
    second = datetime.datetime(year, month, day, hour, minute, seconds)
    hours, minutes = int(match["zone_hour"] or 0), int(match["zone_minute"] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError
    offset = datetime.timedelta(hours=hours, minutes=minutes)
    second += offset if match["sign"] == "-" else -offset
    return Instant(second, int((match["fraction"] or "").ljust(9, "0")))


def _parse_elapsed(text: str) -> Elapsed:
    match = _ELAPSED.fullmatch(text)
    if match is None:
        raise ValueError
    hours, minutes, seconds = (int(match[unit] or 0) for unit in ("hours", "minutes", "seconds"))
    days = int(match["sign"] + match["days"])
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return Elapsed(whole * 10**9 + int((match["fraction"] or "").ljust(9, "0")))


def _check_timestep(timestep: int, values: object, first: list) -> None:
    if not isinstance(values, list):
        plain = type(values) in (int, float)
        remedy = "; write a sequence of one feature as [[1], [2], [3]]" if plain else ""
        raise RejectionError(
            "bad_shape",
            f"timestep {timestep} must be a list of numbers, got {shorten(values)}{remedy}.",
        )
    if len(values) != len(first):
        raise RejectionError(
            "ragged_row",
            f"timestep {timestep} must hold {len(first)} values as timestep 0 does, "
            f"got {len(values)}.",
        )
    if not set(map(type, values)) <= _NUMBERS:
        feature = next(i for i, v in enumerate(values) if type(v) not in _NUMBERS)
        raise RejectionError(
            "not_a_number",
            f"timestep {timestep}, feature {feature} must be a number, "
            f"got {shorten(values[feature])}.",
        )
