"""From the columns of an Arrow record batch to NumPy: numbers, lists, strings and times.

Each function takes a whole column at once. Nulls are allowed everywhere; what becomes of them is
said by each.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa

from padless.beam_jobs.fragments import Elapsed, Instant, RejectionError, Time, Times, shorten
from padless.beam_jobs.readers.values import as_numbers, pack_times, parse_time

_EPOCH = datetime.datetime(1970, 1, 1)
_FIRST_SECOND = (datetime.datetime.min - _EPOCH) // datetime.timedelta(seconds=1)
_LAST_SECOND = (datetime.datetime.max - _EPOCH) // datetime.timedelta(seconds=1)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_SECONDS_PER_DAY = 86_400
_types = pa.types
_Result = TypeVar("_Result")


class Lists(NamedTuple):
    """A column of lists.

    Attributes:
        offsets: where each list begins in `values`, and the end of the last, int64 `(lists + 1,)`.
        valid: which are lists and no nulls, bool `(lists,)`; a null may have values.
        values: of all lists, one after the other.
    """

    offsets: np.ndarray
    valid: np.ndarray
    values: pa.Array

    def find_list(self, positions: np.ndarray | int) -> np.ndarray:
        """Finds the lists that hold the values at some positions."""
        return np.searchsorted(self.offsets, positions, side="right") - 1


class Parsed(NamedTuple):
    """A column of which each distinct value was parsed once.

    Attributes:
        codes: which of the results is each row's, int `(rows,)`.
        results: of the distinct values.
    """

    codes: np.ndarray
    results: list[bytes | RejectionError | None]


class TimeColumn(NamedTuple):
    """A column of times.

    Attributes:
        times: one per row; of no meaning where it was rejected.
        rejected: row -> why there is no time, in the order of the rows.
    """

    times: Times
    rejected: dict[int, RejectionError]


def is_list(kind: pa.DataType) -> bool:
    """Checks whether a column holds lists of whatever kind."""
    return (
        _types.is_list(kind)
        or _types.is_large_list(kind)
        or _types.is_fixed_size_list(kind)
        or _is_list_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Checks whether a column holds real numbers, or nothing but nulls."""
    kind = _plain_type(kind)
    return (
        _types.is_integer(kind)
        or _types.is_floating(kind)
        or _types.is_decimal(kind)
        or _types.is_boolean(kind)
        or _types.is_null(kind)
    )


def is_key(kind: pa.DataType) -> bool:
    """Checks whether a column holds strings, integers or floats, or nothing but nulls."""
    kind = _plain_type(kind)
    return (
        _is_text(kind)
        or _types.is_integer(kind)
        or _types.is_floating(kind)
        or _types.is_null(kind)
    )


def is_label(kind: pa.DataType) -> bool:
    """Checks whether a column holds strings, numbers or truth values, or nothing but nulls."""
    plain = _plain_type(kind)
    return is_key(kind) or _types.is_boolean(plain)


def is_time(kind: pa.DataType) -> bool:
    """Checks whether a column holds numbers, strings or dates, or nothing but nulls."""
    plain = _plain_type(kind)
    if _types.is_boolean(plain):
        return False
    is_date = _types.is_timestamp(plain) or _types.is_date(plain) or _types.is_duration(plain)
    return is_number(kind) or _is_text(plain) or is_date


def read_lists(array: pa.Array) -> Lists:
    """Separates a column of lists into offsets and values."""
    if _is_list_view(array.type):
        array = array.cast(pa.large_list(array.type.value_type))
    if _types.is_fixed_size_list(array.type):
        offsets = (array.offset + np.arange(len(array) + 1)) * array.type.list_size
    elif len(array):
        offsets = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    else:
        offsets = np.zeros(1, np.int64)
    values = array.values.slice(offsets[0], offsets[-1] - offsets[0])
    return Lists(offsets - offsets[0], ~_is_null(array), values)


def read_numbers(array: pa.Array) -> np.ndarray:
    """Reads numbers as float32 or float64; null becomes NaN."""
    array = _plain(array)
    if _types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if _types.is_null(array.type):
        return np.full(len(array), np.nan, np.float32)
    if _types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if not array.null_count or _types.is_floating(array.type):  # whose nulls become NaN
        return as_numbers(array.to_numpy(zero_copy_only=False))
    values = as_numbers(array.fill_null(0).to_numpy(zero_copy_only=False))
    values[_is_null(array)] = np.nan
    return values


def parse_column(array: pa.Array, parse: Callable[[object], bytes]) -> Parsed:
    """Parses each distinct value of a column once; null and NaN as None."""
    array = _plain(array)
    results: list[bytes | RejectionError | None]
    if _types.is_null(array.type):
        results = [_result_or_rejection(parse, None)]
        return Parsed(np.zeros(len(array), np.int32), results)
    encoded = array.dictionary_encode("encode")
    results = [_result_or_rejection(parse, value) for value in _objects(encoded.dictionary)]
    return Parsed(encoded.indices.to_numpy(zero_copy_only=False), results)


def read_times(array: pa.Array) -> TimeColumn:
    """Reads times exactly: integers and floats as arrays, all others as Python's objects."""
    array = _plain(array)
    if _types.is_integer(array.type):
        return _read_integers(array)
    if _types.is_floating(array.type):
        times = array.to_numpy(zero_copy_only=False).astype(np.float64)
        return _reject_where(~np.isfinite(times), times, array)
    if _types.is_timestamp(array.type):
        return _read_instants(array, _PER_SECOND[array.type.unit])
    if _types.is_duration(array.type):
        return _read_elapsed(array, 10**9 // _PER_SECOND[array.type.unit])
    if _types.is_date32(array.type):
        return _read_instants(array.cast(pa.int32()), 1, _SECONDS_PER_DAY)
    if _types.is_date64(array.type):
        return _read_instants(array, _PER_SECOND["ms"])
    objects = _objects(array)
    if _types.is_decimal(array.type):
        return _reject_where(_is_null(array), objects, array)
    return _parse_each(objects, _parse_text_time)


def _is_list_view(kind: pa.DataType) -> bool:
    return _is_any(kind, "list_view", "large_list_view")


def _is_text(kind: pa.DataType) -> bool:
    """Checks whether a column holds strings; many writers do not mark them as more than bytes."""
    return _is_any(kind, "string", "large_string", "binary", "large_binary") or _is_text_view(kind)


def _is_text_view(kind: pa.DataType) -> bool:
    return _is_any(kind, "string_view", "binary_view")


def _is_any(kind: pa.DataType, *names: str) -> bool:
    """Checks whether a type is one of those; PyArrow before 16 has no views."""
    return any(getattr(_types, f"is_{name}", _is_never)(kind) for name in names)


def _is_never(kind: pa.DataType) -> bool:
    return False


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if _types.is_dictionary(kind) else kind


def _plain(array: pa.Array) -> pa.Array:
    """Decodes a dictionary, and turns views, for which Arrow lacks functions, into bytes."""
    if _types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text_view(array.type):
        array = array.cast(pa.large_binary())
    return array


def _is_null(array: pa.Array) -> np.ndarray:
    return array.is_null().to_numpy(zero_copy_only=False)


def _objects(array: pa.Array) -> list:
    """Converts strings and numbers to Python's; NaN as None, undecodable bytes as surrogates."""
    if _types.is_floating(array.type):
        return [_shortest(number) for number in array.to_numpy(zero_copy_only=False)]
    if not _is_text(array.type):
        return array.to_pylist()
    try:
        strings = array.to_pylist()
    except UnicodeDecodeError:  # Arrow does not check that strings are UTF-8 when it reads them
        strings = [s.as_buffer().to_pybytes() if s.is_valid else None for s in array]
    return [
        string.decode("utf-8", "surrogateescape") if isinstance(string, bytes) else string
        for string in strings
    ]


def _shortest(number: np.floating) -> float | None:
    """Returns the float that is written alike: float32's 0.1 would be 0.10000000149011612."""
    return None if np.isnan(number) else float(str(number))


def _result_or_rejection(
    parse: Callable[[Any], _Result], value: object
) -> _Result | RejectionError:
    try:
        return parse(value)
    except RejectionError as rejection:
        return rejection


def _reject_where(bad: np.ndarray, times: Times, shown: pa.Array) -> TimeColumn:
    rejected = {row: _bad_time(shown[row].as_py()) for row in np.flatnonzero(bad).tolist()}
    return TimeColumn(times, rejected)


def _bad_time(time: object) -> RejectionError:
    return RejectionError(
        "bad_time",
        f"the time must be an integer, a finite number or a date, got {shorten(time)}.",
    )


def _read_integers(array: pa.Array) -> TimeColumn:
    numbers = array.fill_null(0).to_numpy(zero_copy_only=False)
    if numbers.dtype == np.uint64 and len(numbers) and numbers.max() >= 2**63:
        return _reject_where(_is_null(array), pack_times(numbers.tolist()), array)
    return _reject_where(_is_null(array), numbers.astype(np.int64), array)


def _read_instants(array: pa.Array, per_second: int, seconds: int = 1) -> TimeColumn:
    """Reads dates that count units of `seconds`, or of which there are `per_second`."""
    counts = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    whole, rest = np.divmod(counts, per_second)
    whole *= seconds
    is_null = _is_null(array)
    rejected = {row: _bad_time(None) for row in np.flatnonzero(is_null).tolist()}
    beyond = (whole < _FIRST_SECOND) | (whole > _LAST_SECOND)
    for row in np.flatnonzero(beyond).tolist():
        rule = f"the time must be a date of the years 1 to 9999, got {whole[row]} s since 1970."
        rejected[row] = RejectionError("bad_time", rule)
    dates = np.where(beyond, 0, whole).astype("datetime64[s]").tolist()
    nanoseconds = (rest * (10**9 // per_second)).tolist()
    return TimeColumn(list(map(Instant, dates, nanoseconds)), rejected)


def _read_elapsed(array: pa.Array, nanoseconds: int) -> TimeColumn:
    counts = array.cast(pa.int64()).fill_null(0).to_pylist()
    return _reject_where(_is_null(array), [Elapsed(n * nanoseconds) for n in counts], array)


def _parse_text_time(text: str | None) -> Time:
    if text is None:
        raise _bad_time(None)
    return parse_time(text)


def _parse_each(objects: list, parse: Callable[[Any], Time]) -> TimeColumn:
    results = [_result_or_rejection(parse, value) for value in objects]
    rejected = {row: r for row, r in enumerate(results) if isinstance(r, RejectionError)}
    return TimeColumn(cast("list[Time]", results), rejected)  # those rejected are not looked at
