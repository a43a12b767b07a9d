"""From Arrow record batches to fragments: sequences in one row each, or one timestep per row.

Stages: the schema becomes a `Table`, which knows its shape; each batch is checked column by column,
which gives the first fault of each faulty row; then its rows are cut out, without a look at any
single value.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from padless.beam_jobs.fragments import Item, RejectionError, Rows, Source, Whole, shorten
from padless.beam_jobs.options import Columns
from padless.beam_jobs.readers.arrow_columns import (
    Lists,
    Parsed,
    is_key,
    is_label,
    is_list,
    is_number,
    is_time,
    parse_column,
    read_lists,
    read_numbers,
    read_times,
)
from padless.beam_jobs.readers.suggestions import did_you_mean
from padless.beam_jobs.readers.values import parse_key, parse_label, parse_split

_MAX_ROWS = 4096  # of a fragment, so that one very long key does not fill the reader's memory
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # pandas writes it for an index without a name
_NUMBERS = "numbers"
Faults = dict[int, RejectionError]


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What is read of one table.

    Attributes:
        columns: names of the columns, as the options have them.
        shape: `"nested"`, `"lists"` or `"long"`: a sequence is one row with a list of timesteps, or
            one row with a list per feature, or as many rows as timesteps.
        features: names of the features, or None if they have none.
        has_times: whether there are times; a long table always has them.
    """

    columns: Columns
    shape: str
    features: tuple[str, ...] | None
    has_times: bool

    @classmethod
    def locate(cls, path: str, schema: pa.Schema, columns: Columns) -> Table:
        """Tells the shape of a table by its schema.

        Raises:
            ValueError: if a column is missing, there more than once or of a type that is none for
                its part.
        """
        kinds = _Kinds(path, schema)
        if columns.sequence in kinds and kinds.is_nested(columns.sequence):
            shape, features = "nested", columns.features and tuple(columns.features)
            kinds.check(columns.sequence, _is_nested_number, "lists of lists of numbers")
        else:
            features = kinds.find_features(columns)
            shape = kinds.check_features(features)
        kinds.check(columns.key, is_key, "texts or integers")
        if columns.label is not None:
            kinds.check(columns.label, is_label, "texts, numbers or truth values")
        if columns.split is not None:
            kinds.check(columns.split, is_key, "texts")
        return cls(columns, shape, features, kinds.check_times(columns.time, shape))

    @property
    def needed(self) -> list[str]:
        """Names of the columns that are read, each once."""
        columns = self.columns
        values = [columns.sequence] if self.shape == "nested" else self.features
        time = columns.time if self.has_times else None
        names = (columns.key, columns.label, columns.split, time, *values)
        return list(dict.fromkeys(name for name in names if name is not None))

    def read(self, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
        """Reads a batch of rows, the first of which is at the position `first` of the file."""
        read = {"nested": _read_nested, "lists": _read_list_columns, "long": _read_long}
        return read[self.shape](self, batch, first, source)


class _Kinds:
    """The types of a table's columns, by name."""

    def __init__(self, path: str, schema: pa.Schema):
        self.path, self.types = path, {}
        for field in schema:
            if field.name in self.types:
                raise ValueError(
                    f"{path}: column names must differ, got {field.name!r} more than once."
                )
            self.types[field.name] = field.type

    def __contains__(self, name: str) -> bool:
        return name in self.types

    def is_nested(self, name: str) -> bool:
        """Tells whether a column holds lists of lists."""
        return is_list(self.types[name]) and is_list(self.types[name].value_type)

    def check(self, name: str, is_right: Callable[[pa.DataType], bool], rule: str) -> None:
        """Checks that a column is there and of a type."""
        if name not in self.types:
            raise ValueError(
                f"{self.path}: must have a column {name!r}, it has {shorten(list(self.types))}."
                f"{did_you_mean(name, self.types)}"
            )
        if not is_right(self.types[name]):
            raise ValueError(
                f"{self.path}: column {name!r} must hold {rule}, it holds {self.types[name]}."
            )

    def find_features(self, columns: Columns) -> tuple[str, ...]:
        """Gives the names of the features, which by default are all that is nothing else."""
        if columns.features is not None:
            return tuple(columns.features)
        roles = columns.roles().values()
        names = (n for n in self.types if n not in roles and not _PANDAS_INDEX.fullmatch(n))
        if not (features := tuple(names)):
            raise ValueError(
                f"{self.path}: must have feature columns besides {list(roles)}, "
                f"it has {shorten(list(self.types))}; choose them with `features`."
            )
        return features

    def check_features(self, names: Iterable[str]) -> str:
        """Checks that all features are lists or none is; gives the shape of the table."""
        if any(name in self.types and is_list(self.types[name]) for name in names):
            shape, is_right, rule = "lists", _is_number_list, "lists of numbers"
        else:
            shape, is_right, rule = "long", is_number, _NUMBERS
        for name in names:
            self.check(name, is_right, f"{rule}, or `features` must leave it out")
        return shape

    def check_times(self, name: str, shape: str) -> bool:
        """Checks the column of times; tells whether there is one.

        That of whole sequences is a list: a single time there is not what orders the timesteps.
        """
        if shape == "long":
            self.check(name, is_time, "numbers, texts or dates")
            return True
        if name not in self.types or not is_list(self.types[name]):
            return False
        self.check(name, lambda kind: is_time(kind.value_type), "lists of numbers, texts or dates")
        return True


def _is_number_list(kind: pa.DataType) -> bool:
    return is_list(kind) and is_number(kind.value_type)


def _is_nested_number(kind: pa.DataType) -> bool:
    return is_list(kind) and _is_number_list(kind.value_type)


def _read_nested(table: Table, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
    rows = read_lists(batch.column(table.columns.sequence))
    timesteps = read_lists(rows.values)
    values = read_numbers(timesteps.values)
    faults: Faults = {}
    lengths = np.diff(rows.offsets)
    _reject_nulls_and_empty(rows.valid, lengths, faults)
    _reject_timesteps(rows, timesteps, table, faults)
    infinite = np.flatnonzero(np.isinf(values))
    for row, position in _first_of_each(rows.find_list(timesteps.find_list(infinite)), infinite):
        timestep = timesteps.find_list(position)
        feature = f"feature {position - timesteps.offsets[timestep]}"
        where = f"timestep {timestep - rows.offsets[row]}, {feature}"
        faults.setdefault(row, _infinite(where, timesteps.values[position]))
    bounds = timesteps.offsets[rows.offsets].tolist()
    sequences = [
        None if row in faults else values[bounds[row] : bounds[row + 1]].reshape(length, -1)
        for row, length in enumerate(lengths.tolist())
    ]
    return _give_wholes(table, batch, first, source, sequences, faults)


def _reject_nulls_and_empty(valid: np.ndarray, lengths: np.ndarray, faults: Faults) -> None:
    for row in np.flatnonzero(~valid).tolist():
        rule = "a sequence must be a list of timesteps, got None."
        faults.setdefault(row, RejectionError("bad_shape", rule))
    for row in np.flatnonzero(lengths == 0).tolist():
        rule = "a sequence must have a timestep, got 0."
        faults.setdefault(row, RejectionError("zero_timesteps", rule))


def _reject_timesteps(rows: Lists, timesteps: Lists, table: Table, faults: Faults) -> None:
    """Rejects rows of which a timestep is null, or has another number of values than it must."""
    widths, lengths = np.diff(timesteps.offsets), np.diff(rows.offsets)
    for row, timestep in _first_in_rows(rows, ~timesteps.valid):
        rule = f"timestep {timestep - rows.offsets[row]} must be a list of numbers, got None."
        faults.setdefault(row, RejectionError("bad_shape", rule))
    some = lengths > 0
    widths_of_first = np.repeat(widths[rows.offsets[:-1][some]], lengths[some])
    for row, timestep in _first_in_rows(rows, widths != widths_of_first):
        start = rows.offsets[row]
        rule = (
            f"timestep {timestep - start} must hold {widths[start]} values "
            f"as timestep 0 does, got {widths[timestep]}."
        )
        faults.setdefault(row, RejectionError("ragged_row", rule))
    given = table.features and len(table.features)
    wrong = widths == 0 if given is None else widths != given
    for row, timestep in _first_in_rows(rows, wrong):
        what = "a value" if given is None else f"the {given} values that `features` names"
        rule = f"a timestep must hold {what}, got {widths[timestep]}."
        faults.setdefault(row, RejectionError("wrong_num_features", rule))


def _first_in_rows(rows: Lists, is_bad: np.ndarray) -> Iterator[tuple[int, int]]:
    """Gives each row with a bad timestep, and the first of these."""
    timesteps = np.flatnonzero(is_bad)
    return _first_of_each(rows.find_list(timesteps), timesteps)


def _first_of_each(rows: np.ndarray, faults: np.ndarray) -> Iterator[tuple]:
    """Gives each row with the first of its faults: a sequence may have thousands.

    Args:
        rows: the row of each fault, sorted.
        faults: where each is.
    """
    rows, first = np.unique(rows, return_index=True)
    return zip(rows.tolist(), faults[first].tolist(), strict=True)


def _read_list_columns(
    table: Table, batch: pa.RecordBatch, first: int, source: Source
) -> Iterator[Item]:
    columns = [read_lists(batch.column(name)) for name in table.features]
    faults: Faults = {}
    _reject_unequal(columns, table.features, faults)
    lengths = np.diff(columns[0].offsets)
    _reject_nulls_and_empty(columns[0].valid, lengths, faults)
    lengths[list(faults)] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = np.stack([_read_kept(column, faults) for column in columns], axis=1)
    infinite = np.argwhere(np.isinf(values))
    rows = np.searchsorted(offsets, infinite[:, 0], side="right") - 1
    for row, (position, feature) in _first_of_each(rows, infinite):
        timestep = position - offsets[row]
        column = columns[feature]
        where = f"timestep {timestep}, column {table.features[feature]!r}"
        shown = column.values[column.offsets[row] + timestep]
        faults.setdefault(row, _infinite(where, shown))
    bounds = offsets.tolist()
    sequences = [
        None if row in faults else values[bounds[row] : bounds[row + 1]]
        for row in range(len(lengths))
    ]
    return _give_wholes(table, batch, first, source, sequences, faults)


def _reject_unequal(columns: list[Lists], names: Iterable[str], faults: Faults) -> None:
    """Rejects rows whose lists are null, or not of one length."""
    lengths = np.diff(columns[0].offsets)
    for column, name in zip(columns, names, strict=True):
        for row in np.flatnonzero(~column.valid).tolist():
            rule = f"column {name!r} must hold a list with one value per timestep, got None."
            faults.setdefault(row, RejectionError("bad_shape", rule))
    for column, name in zip(columns, names, strict=True):
        own = np.diff(column.offsets)
        for row in np.flatnonzero(own != lengths).tolist():
            rule = (
                f"column {name!r} must hold {lengths[row]} values as the first feature does, "
                f"got {own[row]}."
            )
            faults.setdefault(row, RejectionError("ragged_row", rule))


def _read_kept(column: Lists, faults: Faults) -> np.ndarray:
    """Reads the values of the rows without fault, so that all columns have as many."""
    values = read_numbers(column.values)
    if not faults:
        return values
    kept = np.ones(len(column.valid), bool)
    kept[list(faults)] = False
    return values[np.repeat(kept, np.diff(column.offsets))]


def _give_wholes(
    table: Table,
    batch: pa.RecordBatch,
    first: int,
    source: Source,
    sequences: list[np.ndarray | None],
    faults: Faults,
) -> Iterator[Item]:
    """Gives one item per row; a row without sequence is in `faults`."""
    keys, labels, splits = _parse_constants(table.columns, batch)
    times = _read_list_times(table, batch, sequences, faults)
    columns = (sequences, times, _expand(keys), _expand(labels), _expand(splits))
    for row, (values, own_times, key, label, split) in enumerate(zip(*columns, strict=True)):
        place = source.place(first + row)
        if isinstance(key, RejectionError):
            yield key.reject(place)
        elif (rejection := faults.get(row) or _first_rejection(label, split)) is not None:
            yield key, rejection.reject_part(place, whole=True)
        else:
            yield key, Whole(place, values, label, own_times, split)


def _read_list_times(
    table: Table, batch: pa.RecordBatch, sequences: list[np.ndarray | None], faults: Faults
) -> list:
    if not table.has_times:
        return [None] * len(sequences)
    column = read_lists(batch.column(table.columns.time))
    times, rejected = read_times(column.values)
    for row in np.flatnonzero(~column.valid).tolist():
        rule = f"column {table.columns.time!r} must hold a list of times, got None."
        faults.setdefault(row, RejectionError("bad_time", rule))
    lengths = np.diff(column.offsets).tolist()
    for row, values in enumerate(sequences):
        if values is not None and len(values) != lengths[row]:
            rule = f"there must be one time per timestep, {len(values)}, got {lengths[row]}."
            faults.setdefault(row, RejectionError("bad_time", rule))
    for position, rejection in rejected.items():
        faults.setdefault(int(column.find_list(position)), rejection)
    bounds = column.offsets.tolist()
    return [times[bounds[row] : bounds[row + 1]] for row in range(len(sequences))]


def _read_long(table: Table, batch: pa.RecordBatch, first: int, source: Source) -> Iterator[Item]:
    constants = _parse_constants(table.columns, batch)
    _, labels, splits = constants
    times, faults = read_times(batch.column(table.columns.time))
    values = _read_features(table, batch, faults)
    for parsed in (labels, splits):
        for row, rejection in _list_rejected(parsed):
            faults.setdefault(row, rejection)
    lines = np.arange(first, first + batch.num_rows, dtype=np.int64)
    for start, stop in _list_stretches(constants, faults, batch.num_rows):
        key, label, split = (p.results[p.codes[start]] for p in constants)
        place = source.place(first + start)
        if isinstance(key, RejectionError):
            for row in range(start, stop):
                yield key.reject(source.place(first + row))
        elif (rejection := faults.get(start)) is not None:
            yield key, rejection.reject_part(place, whole=False)
        else:
            rows = slice(start, stop)
            yield key, Rows(place, values[rows], label, lines[rows], times[rows], split)


def _read_features(table: Table, batch: pa.RecordBatch, faults: Faults) -> np.ndarray:
    """Reads one value per row and feature; rejects rows with an infinite one."""
    values = np.stack([read_numbers(batch.column(name)) for name in table.features], axis=1)
    infinite = np.argwhere(np.isinf(values))
    for row, feature in _first_of_each(infinite[:, 0], infinite[:, 1]):
        name = table.features[feature]
        faults.setdefault(row, _infinite(f"column {name!r}", batch.column(name)[row]))
    return values


def _list_stretches(constants: Iterable[Parsed], faults: Faults, num_rows: int):
    """Lists the stretches of rows with one key, label and split; a faulty row is one of its own."""
    begins = np.zeros(num_rows + 1, bool)
    begins[[0, -1]] = True
    for parsed in constants:
        begins[1:-1] |= parsed.codes[1:] != parsed.codes[:-1]
    faulty = np.fromiter(faults, np.int64, len(faults))
    begins[faulty] = begins[faulty + 1] = True
    bounds = np.flatnonzero(begins).tolist()
    for begin, end in itertools.pairwise(bounds):
        for start in range(begin, end, _MAX_ROWS):
            yield start, min(start + _MAX_ROWS, end)


def _parse_constants(columns: Columns, batch: pa.RecordBatch) -> tuple[Parsed, Parsed, Parsed]:
    """Parses key, label and split of each row."""
    parts = ((columns.key, parse_key), (columns.label, parse_label), (columns.split, parse_split))
    nothing = Parsed(np.zeros(batch.num_rows, np.int32), [None])
    return tuple(
        nothing if name is None else parse_column(batch.column(name), parse)
        for name, parse in parts
    )


def _expand(parsed: Parsed) -> list:
    """Gives the result of each row."""
    return [parsed.results[code] for code in parsed.codes.tolist()]


def _list_rejected(parsed: Parsed) -> Iterator[tuple[int, RejectionError]]:
    for code, result in enumerate(parsed.results):
        if isinstance(result, RejectionError):
            for row in np.flatnonzero(parsed.codes == code).tolist():
                yield row, result


def _first_rejection(*results) -> RejectionError | None:
    return next((result for result in results if isinstance(result, RejectionError)), None)


def _infinite(where: str, value: pa.Scalar) -> RejectionError:
    return RejectionError(
        "infinite", f"{where} must be finite as float32, got {shorten(value.as_py())}."
    )
