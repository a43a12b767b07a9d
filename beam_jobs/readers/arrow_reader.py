"""Arrow and Feather: the tables of `parquet_reader` in the formats of Arrow's IPC, file and stream.

A file is read batch by batch, as it was written, and a batch in slices of a few MiB. Arrow's format
has no checksums: each batch is validated instead, so that damaged offsets do not lead out of it.
PyArrow is imported only where there is such a file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import open_bytes
from padless.beam_jobs.fragments import Item, Source, UnreadableInputError
from padless.beam_jobs.readers.forms import InputFacts, InputForm

if TYPE_CHECKING:
    import pyarrow as pa

    from padless.beam_jobs.readers.arrow.tables import Table

_FILE_MAGIC = b"ARROW1"
_FEATHER_1_MAGIC = b"FEA1"
_CONTINUATION = b"\xff\xff\xff\xff"  # before each message of a stream since Arrow 0.15
_STREAM_END = bytes(4)  # the size of no message
_BATCH_BYTES = 4 * 1024 * 1024
_MAX_BATCH_ROWS = 16_384


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    is_file = _tell_format(source.path, stream)
    schema = _read_schema(source.path, stream, is_file)
    table = _locate(source, schema, columns)
    needed = set(table.needed)
    return InputFacts(table.features, tuple(name for name in schema.names if name not in needed))


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    path = source.path
    with open_bytes(source.location) as stream:
        is_file = _tell_format(path, stream)
        schema = _read_schema(path, stream, is_file)
        try:
            table = _locate(source, schema, columns)
        except ValueError as error:  # the file is not the one that was checked
            raise UnreadableInputError(str(error)) from error
        fields = sorted(schema.get_field_index(name) for name in table.needed)
        position = 1
        with _naming_damage(path):
            for batch in _iter_batches(stream, is_file, fields):
                yield from table.read(batch, position, source)
                position += batch.num_rows


def _tell_format(path: str, stream: BinaryIO) -> bool:
    """Checks whether a file is of the file format, or else of that of streams, by its first bytes.

    Raises:
        UnreadableInputError: if it is of neither, or a stream without its end.
    """
    head = stream.read(len(_FILE_MAGIC))
    if head == _FILE_MAGIC:
        return True
    if head.startswith(_FEATHER_1_MAGIC):
        raise UnreadableInputError(
            f"{path}: must be of the format of Arrow files, it is Feather of version 1: write it "
            "again as version 2."
        )
    end = _CONTINUATION + _STREAM_END if head.startswith(_CONTINUATION) else _STREAM_END
    num_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(max(num_bytes - len(end), 0))
    if stream.read() != end:  # a stream that was cut between two batches looks whole
        raise UnreadableInputError(
            f"{path}: must be an Arrow file, or a stream with the mark of its end, it is not: it "
            "may be cut."
        )
    return False


def _open(
    stream: BinaryIO, is_file: bool, fields: Sequence[int] | None
) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    import pyarrow as pa

    stream.seek(0)
    included = None if fields is None else list(fields)
    options = pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)
    opener = pa.ipc.open_file if is_file else pa.ipc.open_stream
    return opener(stream, options=options)


def _read_schema(path: str, stream: BinaryIO, is_file: bool) -> pa.Schema:
    with _naming_damage(path):
        schema = _open(stream, is_file, None).schema
        _ = schema.names  # which must be UTF-8
        return schema


def _iter_batches(
    stream: BinaryIO, is_file: bool, fields: Sequence[int]
) -> Iterator[pa.RecordBatch]:
    """Yields the batches of a file, each validated and in slices of about `_BATCH_BYTES`."""
    reader = _open(stream, is_file, fields)
    batches: Iterator[pa.RecordBatch] = (
        map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
    )
    for batch in batches:
        batch.validate(full=True)
        num_bytes = max(batch.get_total_buffer_size(), 1)
        rows = min(max(_BATCH_BYTES * batch.num_rows // num_bytes, 1), _MAX_BATCH_ROWS)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _locate(source: Source, schema: pa.Schema, columns: Columns) -> Table:
    from padless.beam_jobs.readers.arrow.schema import locate_table

    return locate_table(source.path, schema, columns, time_order=source.time_order)


def _naming_damage(path: str) -> contextlib.AbstractContextManager[None]:
    from padless.beam_jobs.readers.arrow.damage import naming_damage

    return naming_damage(path, "an Arrow file or stream")


FORM = InputForm(
    name="arrow",
    extensions=(".arrow", ".feather", ".ipc"),
    unit="row",
    read=_read,
    check=_check,
)
