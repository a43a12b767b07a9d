"""NumPy archives: one array `(timesteps, features)` per sequence, its name the key.

The members are read by `zipfile` and `numpy.lib.format`: `NpzFile["x"]` takes `x.npy` and
`x.npy.npy` for one another. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import lzma
import struct
import textwrap
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from padless.beam_jobs.bombs import check_unpacked_size
from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import open_bytes
from padless.beam_jobs.fragments import (
    Item,
    RejectionError,
    Source,
    UnreadableInputError,
    Whole,
    shorten,
)
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.values import check_sequence, parse_key

_SUFFIX = ".npy"
# A bad checksum or stream; a cut member; an encrypted member; an unknown compression; a member that
# is said to begin before the file.
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(RuntimeError, NotImplementedError, OSError, ValueError, OverflowError),
)


def open_archive(path: str, stream: BinaryIO) -> zipfile.ZipFile:
    """Opens an npz file.

    Raises:
        UnreadableInputError: if it is not a zip archive.
    """
    try:
        return zipfile.ZipFile(stream)
    except _DAMAGES as error:
        raise UnreadableInputError(
            f"{path}: must be an npz file, a zip archive of arrays: {error}."
        ) from error


def read_npz(stream: BinaryIO, source: Source) -> Iterator[Item]:
    """Reads an npz file, one whole sequence per array.

    Args:
        stream: the file, seekable.
        source: the file.

    Yields:
        `(key, fragment)`, or a reject where no key could be read.

    Raises:
        UnreadableInputError: at the first array whose bytes do not have their checksum.
    """
    with open_archive(source.path, stream) as archive:
        for number, member in enumerate(archive.infolist(), 1):
            place = source.place(number)
            data = _read_member(archive, member, f"{place} ({shorten(member.filename)})")
            try:
                key = parse_key(member.filename.removesuffix(_SUFFIX))
            except RejectionError as rejection:
                yield rejection.reject(place)
                continue
            try:
                values = check_sequence(_parse_array(member.filename, data))
                yield key, Whole(place, values, None)
            except RejectionError as rejection:
                yield key, rejection.reject_part(place, whole=True)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> bytes:
    check_unpacked_size(member.compress_size, member.file_size, where)
    try:
        return archive.read(member)
    except MemoryError as error:
        raise UnreadableInputError(
            f"{where} must fit into memory, its {member.file_size:,} bytes do not."
        ) from error
    except _DAMAGES as error:
        raise UnreadableInputError(
            f"{where} must be readable, the archive is damaged: {error}"
        ) from error


def _parse_array(name: str, data: bytes) -> np.ndarray:
    if not name.endswith(_SUFFIX):
        raise RejectionError(
            "bad_array", f"a member must be an array {_SUFFIX!r}, got {shorten(name)}."
        )
    stream = io.BytesIO(data)
    try:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if left := len(data) - stream.tell():
            raise ValueError(f"its header says the shape {array.shape}, {left} more bytes follow.")
        return array
    except Exception as error:  # NumPy passes on what Python's own parser says of a header
        raise RejectionError(
            "bad_array",
            f"a member must be an array of numbers that needs no unpickling: "
            f"{textwrap.shorten(str(error), 200)}",
        ) from error


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    with open_bytes(source.location) as stream:
        yield from read_npz(stream, source)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    open_archive(source.path, stream).close()
    return InputFacts()


FORM = InputForm(
    name="npz",
    extensions=(".npz",),
    unit="array",
    read=_read,
    check=_check,
)
