"""Sequences as the rows of a data frame: of pandas, polars, or whatever Arrow reads.

The frame becomes an Arrow table, which is read as the tables in Parquet and Arrow files are.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from padless.beam_jobs import Columns
from padless.beam_jobs.columns import Default
from padless.beam_jobs.fragments import Item, Place, Source
from padless.beam_jobs.readers.arrow.columns import is_list, is_number
from padless.beam_jobs.readers.arrow.schema import locate_table
from padless.beam_jobs.readers.arrow.tables import Table
from padless.beam_jobs.readers.feature_columns import choose_features
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names

_FILE = "sequences.arrow"
# What Arrow makes of an index of pandas that has no name.
_INDEX = re.compile(r"__index_level_\d+__")
_REMEDIES = {
    "key": " A frame has a row per timestep; `X.to_numpy()` may have a row per sequence.",
    "time": " None keeps the order of the rows.",
    "features": "",
}


class RowPlace(Place):
    """A row of a data frame; `unit` is how users look at it, such as `"X.iloc[{}]"`."""

    __slots__ = ()

    def __str__(self) -> str:
        # Positions count from 1, rows of a frame from 0 as all else in Python.
        return self.unit.format(self.position - 1)


class TableSource(Source):
    """A data frame as the input; `unit` is that of its places."""

    __slots__ = ()

    def place(self, position: int) -> Place:
        """Makes the place of a row."""
        return RowPlace(self.index, position, self.path, self.unit)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class TableInput:
    """Sequences that are rows of a table, those of one key each.

    Attributes:
        table: the table.
        columns: where things are in it.
        source: what messages call it.
        located: reads its batches.
        unused: names of the columns that are no features because they hold no numbers.
    """

    table: pa.Table
    columns: Columns
    source: Source
    located: Table
    unused: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the features."""
        return self.located.features

    @property
    def time_order(self) -> str:
        """What orders the timesteps of a key, see `Rules`."""
        return self.source.time_order

    def read(self) -> Iterator[Item]:
        """Yields the fragments of each key, and rejects where no key could be read."""
        position = 1
        for batch in self.table.to_batches():
            yield from self.located.read(batch, position, self.source)
            position += batch.num_rows

    def write(self, folder: str) -> str:
        """Writes the table into a raw file of a folder, and returns its path."""
        path = os.path.join(folder, _FILE)
        with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, self.table.schema) as writer:
            writer.write_table(self.table)
        return path


def is_frame(X: Any) -> bool:
    """Checks whether something is a data frame."""
    exports = hasattr(X, "__arrow_c_stream__") or hasattr(X, "__dataframe__")
    return exports and hasattr(X, "columns")


def read_table(
    X: Any,
    *,
    key: str,
    time: str | None,
    features: Sequence[str] | None,
) -> TableInput:
    """Reads a data frame with a row per timestep, or with lists and a row per sequence.

    Args:
        X: the frame.
        key: column that says which sequence a row belongs to.
        time: column that orders the timesteps of a key, or None for the order of the rows.
        features: columns of the features; all others that hold numbers if None.

    Raises:
        ValueError: if a column is missing or of an unsuitable type, or the frame has no row.
    """
    try:
        table = pa.table(X)
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"`X` must be a data frame that Arrow reads: {error}") from error
    if not table.num_rows:
        raise ValueError("`X` must hold at least one sequence, got a data frame without a row.")
    columns = Columns(key=key, time=Default("time") if time is None else time, features=features)
    table = _without_index(table, columns)
    _check_names(table.column_names, columns)
    unused: tuple[str, ...] = ()
    if features is None:
        numbers, unused = _find_numbers(table.schema, columns)
        # None leaves the error to others.
        columns = dataclasses.replace(columns, features=numbers or None)
    order = "sort" if time is not None else "file"
    located = locate_table("X", table.schema, columns, time_order=order)
    needed = sorted(located.needed, key=table.column_names.index)
    source = TableSource(0, "X", unit=_row_of(X), form="arrow", time_order=order)
    return TableInput(table.select(needed), columns, source, located, unused)


def _row_of(X: Any) -> str:
    """Returns what shows a row of the frame, with `{}` for its position from 0."""
    if hasattr(X, "iloc"):
        return "X.iloc[{}]"
    return "X.slice({}, 1)" if isinstance(X, pa.Table) else "X[{}]"


def _without_index(table: pa.Table, columns: Columns) -> pa.Table:
    """Leaves out an index without a name: pandas numbers rows by it, and nobody means a column."""
    named = {columns.key, columns.time, *(columns.features or ())}
    names = [n for n in table.column_names if n not in named and _INDEX.fullmatch(n)]
    return table.drop_columns(names) if names else table


def _check_names(names: Sequence[str], columns: Columns) -> None:
    """Checks that the frame has the columns that the parameters name."""
    times = [columns.time] if columns.is_given("time") else []
    named = {"key": [columns.key], "time": times, "features": columns.features or []}
    for parameter, wanted in named.items():
        for name in wanted:
            if name not in names:
                raise ValueError(
                    f"`{parameter}` must name a column of `X`, which has {list_names(names)}, "
                    f"got {name!r}.{did_you_mean(name, names)}{_REMEDIES[parameter]}"
                )


def _find_numbers(schema: pa.Schema, columns: Columns) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Lists the columns without another part: those of numbers, and those of other things."""
    names = choose_features(schema.names, columns)
    kinds = {name: schema.field(name).type for name in names}
    holds = {name: is_number(kind) or is_list(kind) for name, kind in kinds.items()}
    return tuple(n for n in names if holds[n]), tuple(n for n in names if not holds[n])
