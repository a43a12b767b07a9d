"""From Arrow record batches to fragments: what all tables share, and tables in long format.

Each batch is checked column by column, which finds the first error of each row that is rejected;
then its rows are cut out, without a look at any single value.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import Item, RejectionError, Rows, Source, Times, shorten
from padless.beam_jobs.readers.arrow.columns import Parsed, parse_column, read_numbers, read_times
from padless.beam_jobs.readers.values import (
    is_infinite,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_split,
)

_MAX_ROWS = 4096  # of a fragment, so that one very long key does not fill the reader's memory
RejectedRows = dict[int, RejectionError]


@dataclasses.dataclass(frozen=True, slots=True)
class Table(abc.ABC):
    """What is read of one table; a class per shape of table.

    Attributes:
        columns: names of the columns, as the options have them.
        features: names of the features, or None if they have none.
    """

    columns: Columns
    features: tuple[str, ...] | None

    @property
    def key_column(self) -> str | None:
        """Name of the column of keys, or None where there is none."""
        return self.columns.key

    @property
    def needed(self) -> list[str]:
        """Names of the columns that are read, each once."""
        columns = self.columns
        constants = (self.key_column, columns.label, columns.split, columns.group)
        names = (*constants, *columns.meta_columns, *self.list_own_columns())
        return list(dict.fromkeys(name for name in names if name is not None))

    @abc.abstractmethod
    def list_own_columns(self) -> list[str]:
        """Lists the columns that hold times and values."""

    @abc.abstractmethod
    def read(self, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
        """Reads a batch of rows, the first of which is at the position `first` of the file."""


@dataclasses.dataclass(frozen=True, slots=True)
class LongTable(Table):
    """A table in long format: a sequence is as many rows as timesteps.

    Attributes:
        has_times: whether rows are ordered by their times.
    """

    features: tuple[str, ...]
    has_times: bool

    def list_own_columns(self) -> list[str]:
        """Lists the column of times, if it is looked at, and the features."""
        return [*([self.columns.time] if self.has_times else []), *self.features]

    def read(self, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
        """Reads a batch, a fragment per stretch of rows with one key and the same constants."""
        constants = parse_constants(self.columns, batch, key=self.key_column)
        times, rejected = self._read_times(batch)
        values = read_columns(batch, self.features, rejected)
        empty = self._find_empty(batch, values, rejected)
        for parsed in constants[1:]:
            for row, rejection in _list_rejected(parsed):
                rejected.setdefault(row, rejection)
        lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
        for row in empty:
            rejected.pop(row, None)
        for start, stop in _list_stretches(constants, {**rejected, **empty}, batch.num_rows):
            key, label, split, group, *meta = (p.results[p.codes[start]] for p in constants)
            place = source.place(first + start)
            if isinstance(key, RejectionError):
                for row in range(start, stop):
                    yield key.reject(source.place(first + row))
            elif start in rejected:
                yield key, rejected[start].reject_part(place, whole=False)
            elif start in empty:
                yield key, Rows(place, values[start:stop], None, lines[start:stop], None)
            else:
                rows = slice(start, stop)
                own = values[rows], label, lines[rows], None if times is None else times[rows]
                yield key, Rows(place, *own, split, group, tuple(meta))

    def _read_times(self, batch: pa.RecordBatch) -> tuple[Times | None, RejectedRows]:
        if not self.has_times:
            return None, {}
        return read_times(batch.column(self.columns.time))

    def _find_empty(
        self, batch: pa.RecordBatch, values: np.ndarray, rejected: RejectedRows
    ) -> RejectedRows:
        """Finds the rows without a time that have no value either."""
        if not self.has_times or not rejected:
            return {}
        times = batch.column(self.columns.time)
        empty = times.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        empty &= np.isnan(values).all(axis=1)
        return {row: one for row, one in rejected.items() if empty[row]}


def read_columns(batch: pa.RecordBatch, names: Sequence[str], rejected: RejectedRows) -> np.ndarray:
    """Reads one value per row and column of numbers; rejects rows with an infinite one."""
    values = np.stack([read_numbers(batch.column(name)) for name in names], axis=1)
    infinite = np.argwhere(is_infinite(values))
    for row, place in first_of_each(infinite[:, 0], infinite[:, 1]):
        name = names[place]
        rejected.setdefault(row, infinite_value(f"column {name!r}", batch.column(name)[row]))
    return values


def parse_constants(
    columns: Columns, batch: pa.RecordBatch, *, key: str | None
) -> tuple[Parsed, ...]:
    """Parses key, label, split, group and what is carried of each row."""

    def parse(name: str | None, parse_value: Callable[[object], bytes]) -> Parsed:
        if name is None:
            return Parsed(np.zeros(batch.num_rows, np.int32), [None])
        return parse_column(batch.column(name), parse_value)

    return (
        parse(key, parse_key),
        parse(columns.label, parse_label),
        parse(columns.split, parse_split),
        parse(columns.group, parse_group),
        *(parse(name, parse_meta) for name in columns.meta_columns),
    )


def first_of_each(rows: np.ndarray, found: np.ndarray) -> Iterator[tuple]:
    """Yields each row with the first of what was found in it: a sequence may have thousands.

    Args:
        rows: the row of each finding, sorted.
        found: where each is.
    """
    rows, first = np.unique(rows, return_index=True)
    return zip(rows.tolist(), found[first].tolist(), strict=True)


def infinite_value(where: str, value: pa.Scalar) -> RejectionError:
    """Returns the rejection of an infinite value."""
    return RejectionError(
        "infinite", f"{where} must be finite as float32, got {shorten(value.as_py())}."
    )


def _list_stretches(
    constants: Iterable[Parsed], rejected: RejectedRows, num_rows: int
) -> Iterator[tuple[int, int]]:
    """Lists the stretches of rows whose constants are the same; a rejected row is its own."""
    begins = np.zeros(num_rows + 1, bool)
    begins[[0, -1]] = True
    for parsed in constants:
        begins[1:-1] |= parsed.codes[1:] != parsed.codes[:-1]
    alone = np.fromiter(rejected, np.int64, len(rejected))
    begins[alone] = begins[alone + 1] = True
    bounds = np.flatnonzero(begins).tolist()
    for begin, end in itertools.pairwise(bounds):
        for start in range(begin, end, _MAX_ROWS):
            yield start, min(start + _MAX_ROWS, end)


def _list_rejected(parsed: Parsed) -> Iterator[tuple[int, RejectionError]]:
    for code, result in enumerate(parsed.results):
        if isinstance(result, RejectionError):
            for row in np.flatnonzero(parsed.codes == code).tolist():
                yield row, result
