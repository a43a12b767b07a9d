"""Parquet: a row per sequence with nested lists or a list per feature, or a row per timestep.

A file is read in parts of a few row groups, and a part in batches of a few MiB, so that neither a
large file nor long sequences fill the memory. What the rows hold is read by `arrow`; PyArrow
is imported only where there is such a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import open_bytes
from padless.beam_jobs.fragments import Item, Source, UnreadableInputError
from padless.beam_jobs.readers.forms import InputFacts, InputForm

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from padless.beam_jobs.readers.arrow.tables import Table

_PART_BYTES = 64 * 1024 * 1024  # uncompressed
_BATCH_BYTES = 4 * 1024 * 1024
_MAX_BATCH_ROWS = 16_384
_VALUE_BYTES = 8  # of a number in memory: encoded by runs, the file may have far less of each
_STREAM_BYTES = 1024 * 1024  # read at once of each column


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    path = source.path
    file = _open(path, stream)
    num_rows = _count_rows(file, range(file.num_row_groups))
    _check_num_rows(path, file.metadata.num_rows, num_rows)
    table = _locate(source, file, columns)
    needed = set(table.needed)
    unused = tuple(name for name in file.schema_arrow.names if name not in needed)
    return InputFacts(table.features, unused, tuple(_list_parts(file)))


def _list_parts(file: pq.ParquetFile) -> list[tuple[int, int, int]]:
    """Lists the parts of a file: `(first row group, the one after the last, rows before)`."""
    groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
    parts, first, rows_before, num_rows, num_bytes = [], 0, 0, 0, 0
    for number, group in enumerate(groups):
        if number > first and num_bytes + group.total_byte_size > _PART_BYTES:
            parts.append((first, number, rows_before))
            first, rows_before, num_rows, num_bytes = number, rows_before + num_rows, 0, 0
        num_rows += group.num_rows
        num_bytes += group.total_byte_size
    return [*parts, (first, len(groups), rows_before)]


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    path = source.path
    with open_bytes(source.location) as stream:
        file = _open(path, stream)
        try:
            table = _locate(source, file, columns)
        except ValueError as error:  # the file is not the one that was checked
            raise UnreadableInputError(str(error)) from error
        first, stop, rows_before = source.part or (0, file.num_row_groups, 0)
        with _naming_damage(path):
            batch_rows = _batch_rows(file, range(first, stop), table.needed)
            batches = _iter_batches(file, batch_rows, range(first, stop), table.needed)
        position = rows_before + 1
        while (batch := _next_batch(path, batches)) is not None:
            with _naming_damage(path):
                items = table.read(batch, position, source)
                yield from items
            position += batch.num_rows
        expected = _count_rows(file, range(first, stop))
        _check_num_rows(path, expected, position - rows_before - 1)


def _count_rows(file: pq.ParquetFile, groups: Sequence[int]) -> int:
    return sum(file.metadata.row_group(number).num_rows for number in groups)


def _check_num_rows(path: str, expected: int, num_rows: int) -> None:
    """Checks that no row is lost: PyArrow ends early, without a word, where a count is damaged."""
    if num_rows != expected:
        raise UnreadableInputError(
            f"{path}: must hold the {expected} rows that its metadata counts, it is damaged: "
            f"{num_rows} can be read."
        )


def _open(path: str, stream: BinaryIO) -> pq.ParquetFile:
    import pyarrow.parquet as pq

    with _naming_damage(path):
        return pq.ParquetFile(
            stream,
            pre_buffer=False,
            buffer_size=_STREAM_BYTES,
            page_checksum_verification=True,
        )


def _locate(source: Source, file: pq.ParquetFile, columns: Columns) -> Table:
    from padless.beam_jobs.readers.arrow.schema import locate_table

    with _naming_damage(source.path):
        schema = file.schema_arrow
    return locate_table(source.path, schema, columns, time_order=source.time_order)


def _iter_batches(
    file: pq.ParquetFile, batch_rows: int, groups: Sequence[int], needed: list[str]
) -> Iterator[pa.RecordBatch]:
    # Beam has a process per core already.
    return file.iter_batches(batch_rows, row_groups=groups, columns=needed, use_threads=False)


def _batch_rows(file: pq.ParquetFile, groups: Sequence[int], needed: list[str]) -> int:
    """Returns the number of rows that take about `_BATCH_BYTES` in memory."""
    schema = file.metadata.schema
    paths = [schema.column(i).path for i in range(len(schema))]
    # The path of a nested column begins with its name, which may hold points itself.
    names = set(needed)
    chunks = [i for i, path in enumerate(paths) if _belongs_to(path, names)]
    num_rows = num_bytes = 0
    for number in groups:
        # PyArrow aborts the process where it looks at the column of a damaged row group, but raises
        # where it reads one.
        next(_iter_batches(file, 1, [number], needed), None)
        group = file.metadata.row_group(number)
        num_rows += group.num_rows
        for chunk in map(group.column, chunks):
            num_bytes += max(chunk.total_uncompressed_size, chunk.num_values * _VALUE_BYTES)
    rows = _BATCH_BYTES * max(num_rows, 1) // max(num_bytes, 1)
    return min(max(rows, 1), _MAX_BATCH_ROWS)


def _belongs_to(path_in_schema: str, columns: Collection[str]) -> bool:
    parts = path_in_schema.split(".")
    return any(".".join(parts[:end]) in columns for end in range(1, len(parts) + 1))


def _next_batch(path: str, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    with _naming_damage(path):
        return next((batch for batch in batches if batch.num_rows), None)


def _naming_damage(path: str) -> contextlib.AbstractContextManager[None]:
    from padless.beam_jobs.readers.arrow.damage import naming_damage

    return naming_damage(path, "a Parquet file")


FORM = InputForm(
    name="parquet",
    extensions=(".parquet", ".pq"),
    unit="row",
    read=_read,
    check=_check,
)
