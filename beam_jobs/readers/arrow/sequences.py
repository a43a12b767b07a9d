"""Arrow tables with one sequence per row: nested lists, or a list per feature."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from padless.beam_jobs.fragments import Item, RejectionError, Source, Whole
from padless.beam_jobs.readers.arrow.columns import (
    Lists,
    Parsed,
    read_lists,
    read_numbers,
    read_times,
)
from padless.beam_jobs.readers.arrow.tables import (
    RejectedRows,
    Table,
    first_of_each,
    infinite_value,
    parse_constants,
)
from padless.beam_jobs.readers.values import TimedValues, is_infinite


@dataclasses.dataclass(frozen=True, slots=True)
class WholeTable(Table):
    """A table whose rows are whole sequences.

    Attributes:
        has_times: whether there is a column of lists of times.
    """

    has_times: bool

    def list_own_columns(self) -> list[str]:
        """Lists the columns that hold times and values."""
        return [*([self.columns.time] if self.has_times else []), *self.list_value_columns()]

    @abc.abstractmethod
    def list_value_columns(self) -> list[str]:
        """Lists the columns that hold values."""

    @abc.abstractmethod
    def read_sequences(
        self, batch: pa.RecordBatch, rejected: RejectedRows
    ) -> list[np.ndarray | None]:
        """Reads the values of each row `(timesteps, features)`; those that it rejects are None."""

    def read(self, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
        """Reads a batch, one item per row."""
        rejected: RejectedRows = {}
        sequences = self.read_sequences(batch, rejected)
        timed = self._read_times(batch, sequences, rejected)
        parsed = map(_expand, self.read_constants(batch, first, source))
        columns: Iterator[tuple] = zip(timed, *parsed, strict=True)
        for row, (own, key, *others) in enumerate(columns):
            place = source.place(first + row)
            if isinstance(key, RejectionError):
                yield key.reject(place)
                continue
            bad = next((one for one in others if isinstance(one, RejectionError)), None)
            if (rejection := rejected.get(row, bad)) is not None:
                yield key, rejection.reject_part(place, whole=True)
            else:
                label, split, group, *meta = others
                constants = split, group, own.padding, tuple(meta)
                yield key, Whole(place, own.values, label, own.times, *constants)

    def read_constants(
        self, batch: pa.RecordBatch, first: int, source: Source
    ) -> tuple[Parsed, ...]:
        """Reads key, label, split, group and what is carried of each row."""
        return parse_constants(self.columns, batch, key=self.key_column)

    def _read_times(
        self,
        batch: pa.RecordBatch,
        sequences: list[np.ndarray | None],
        rejected: RejectedRows,
    ) -> list[TimedValues | None]:
        if not self.has_times:
            return [None if one is None else TimedValues(one) for one in sequences]
        column = read_lists(batch.column(self.columns.time))
        times, rejected_times = read_times(column.values)
        missing = _find_missing(column.values, rejected_times)
        for row in np.flatnonzero(~column.valid).tolist():
            rule = f"column {self.columns.time!r} must hold a list of times, got None."
            rejected.setdefault(row, RejectionError("bad_time", rule))
        lengths = np.diff(column.offsets).tolist()
        for row, values in enumerate(sequences):
            if values is not None and len(values) != lengths[row]:
                rule = f"there must be one time per timestep, {len(values)}, got {lengths[row]}."
                rejected.setdefault(row, RejectionError("bad_time", rule))
        bounds = column.offsets.tolist()
        timed: list[TimedValues | None] = []
        for row, values in enumerate(sequences):
            start, stop = bounds[row : row + 2]
            if row in rejected or values is None:
                timed.append(None)
                continue
            while stop > start and stop - 1 in missing and np.isnan(values[stop - 1 - start]).all():
                del rejected_times[stop - 1]
                stop -= 1
            length = stop - start
            timed.append(TimedValues(values[:length], times[start:stop], len(values) - length))
        for position, rejection in rejected_times.items():
            rejected.setdefault(int(column.find_list(position)), rejection)
        return timed


@dataclasses.dataclass(frozen=True, slots=True)
class NestedTable(WholeTable):
    """A table with one column of lists of timesteps, each a list of values."""

    def list_value_columns(self) -> list[str]:
        """Lists the one column."""
        return [self.columns.sequence]

    def read_sequences(
        self, batch: pa.RecordBatch, rejected: RejectedRows
    ) -> list[np.ndarray | None]:
        """Reads the values of each row."""
        rows = read_lists(batch.column(self.columns.sequence))
        timesteps = read_lists(rows.values)
        values = read_numbers(timesteps.values)
        lengths = np.diff(rows.offsets)
        _reject_nulls_and_empty(rows.valid, lengths, rejected)
        _reject_timesteps(rows, timesteps, self.features, rejected)
        infinite = np.flatnonzero(is_infinite(values))
        for row, position in first_of_each(rows.find_list(timesteps.find_list(infinite)), infinite):
            timestep = timesteps.find_list(position)
            feature = f"feature {position - timesteps.offsets[timestep]}"
            where = f"timestep {timestep - rows.offsets[row]}, {feature}"
            rejected.setdefault(row, infinite_value(where, timesteps.values[position]))
        bounds = timesteps.offsets[rows.offsets].tolist()
        return [
            None if row in rejected else values[bounds[row] : bounds[row + 1]].reshape(length, -1)
            for row, length in enumerate(lengths.tolist())
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class ListTable(WholeTable):
    """A table with a column per feature, each a list of one value per timestep."""

    features: tuple[str, ...]

    def list_value_columns(self) -> list[str]:
        """Lists the features."""
        return list(self.features)

    def read_sequences(
        self, batch: pa.RecordBatch, rejected: RejectedRows
    ) -> list[np.ndarray | None]:
        """Reads the values of each row."""
        columns = [read_lists(batch.column(name)) for name in self.features]
        _reject_unequal(columns, self.features, rejected)
        lengths = np.diff(columns[0].offsets)
        _reject_nulls_and_empty(columns[0].valid, lengths, rejected)
        lengths[list(rejected)] = 0
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        values = np.stack([_read_kept(column, rejected) for column in columns], axis=1)
        infinite = np.argwhere(is_infinite(values))
        rows = np.searchsorted(offsets, infinite[:, 0], side="right") - 1
        for row, (position, feature) in first_of_each(rows, infinite):
            timestep = position - offsets[row]
            column = columns[feature]
            where = f"timestep {timestep}, column {self.features[feature]!r}"
            shown = column.values[column.offsets[row] + timestep]
            rejected.setdefault(row, infinite_value(where, shown))
        bounds = offsets.tolist()
        return [
            None if row in rejected else values[bounds[row] : bounds[row + 1]]
            for row in range(len(lengths))
        ]


def _find_missing(times: pa.Array, rejected: Iterable[int]) -> set[int]:
    """Returns the positions of those times that are rejected as they are missing."""
    positions = np.fromiter(rejected, np.int64)
    if not len(positions):
        return set()
    is_missing = times.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    return set(positions[is_missing[positions]].tolist())


def _reject_nulls_and_empty(valid: np.ndarray, lengths: np.ndarray, rejected: RejectedRows) -> None:
    for row in np.flatnonzero(~valid).tolist():
        rule = "a sequence must be a list of timesteps, got None."
        rejected.setdefault(row, RejectionError("bad_shape", rule))
    for row in np.flatnonzero(lengths == 0).tolist():
        rule = "a sequence must have a timestep, got 0."
        rejected.setdefault(row, RejectionError("zero_timesteps", rule))


def _reject_timesteps(
    rows: Lists, timesteps: Lists, features: tuple[str, ...] | None, rejected: RejectedRows
) -> None:
    """Rejects rows with a timestep that is null, or has the wrong number of values."""
    widths, lengths = np.diff(timesteps.offsets), np.diff(rows.offsets)
    for row, timestep in _first_in_rows(rows, ~timesteps.valid):
        rule = f"timestep {timestep - rows.offsets[row]} must be a list of numbers, got None."
        rejected.setdefault(row, RejectionError("bad_shape", rule))
    some = lengths > 0
    widths_of_first = np.repeat(widths[rows.offsets[:-1][some]], lengths[some])
    for row, timestep in _first_in_rows(rows, widths != widths_of_first):
        start = rows.offsets[row]
        rule = (
            f"timestep {timestep - start} must hold {widths[start]} values "
            f"as timestep 0 does, got {widths[timestep]}."
        )
        rejected.setdefault(row, RejectionError("ragged_row", rule))
    given = None if features is None else len(features)
    wrong = widths == 0 if given is None else widths != given
    for row, timestep in _first_in_rows(rows, wrong):
        what = "a value" if given is None else f"the {given} values that `features` names"
        rule = f"a timestep must hold {what}, got {widths[timestep]}."
        rejected.setdefault(row, RejectionError("wrong_num_features", rule))


def _first_in_rows(rows: Lists, is_bad: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields each row with a bad timestep, and the first of these."""
    timesteps = np.flatnonzero(is_bad)
    return first_of_each(rows.find_list(timesteps), timesteps)


def _reject_unequal(columns: list[Lists], names: Iterable[str], rejected: RejectedRows) -> None:
    """Rejects rows whose lists are null, or not of one length."""
    lengths = np.diff(columns[0].offsets)
    for column, name in zip(columns, names, strict=True):
        for row in np.flatnonzero(~column.valid).tolist():
            rule = f"column {name!r} must hold a list with one value per timestep, got None."
            rejected.setdefault(row, RejectionError("bad_shape", rule))
    for column, name in zip(columns, names, strict=True):
        own = np.diff(column.offsets)
        for row in np.flatnonzero(own != lengths).tolist():
            rule = (
                f"column {name!r} must hold {lengths[row]} values as the first feature does, "
                f"got {own[row]}."
            )
            rejected.setdefault(row, RejectionError("ragged_row", rule))


def _read_kept(column: Lists, rejected: RejectedRows) -> np.ndarray:
    """Reads the values of the rows that are not rejected, so that all columns have as many."""
    values = read_numbers(column.values)
    if not rejected:
        return values
    kept = np.ones(len(column.valid), bool)
    kept[list(rejected)] = False
    return values[np.repeat(kept, np.diff(column.offsets))]


def _expand(parsed: Parsed) -> list:
    """Returns the result of each row."""
    return [parsed.results[code] for code in parsed.codes.tolist()]
