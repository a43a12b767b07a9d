"""One NumPy array of sequences of equal lengths: `(sequences, timesteps, features)`.

The header says where each value is, so that blocks of sequences are read one after the other from
the open file, and parts of it on their own. Nothing is ever unpickled.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from padless.beam_jobs.bombs import LARGEST_BYTES
from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import open_bytes
from padless.beam_jobs.fragments import Item, RejectionError, Source, UnreadableInputError, Whole
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.numbered_keys import number_key, split_of_archive
from padless.beam_jobs.readers.values import check_sequence

_PART_BYTES = 64 * 1024 * 1024
_BLOCK_BYTES = 4 * 1024 * 1024
_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0}
_VERSIONS[(2, 0)] = np.lib.format.read_array_header_2_0


class NpyArray(NamedTuple):
    """Where the values of an array are in its file.

    Attributes:
        shape: `(sequences, timesteps, features)`.
        dtype: of a value.
        is_column_major: whether the first index changes fastest, as in Fortran.
        start: position of the first byte.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    is_column_major: bool
    start: int

    @property
    def sequence_bytes(self) -> int:
        """Size of one sequence."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, stream: BinaryIO, first: int, stop: int) -> np.ndarray:
        """Reads some sequences, `(stop - first, timesteps, features)`.

        Raises:
            UnreadableInputError: if the file ends before.
        """
        count = stop - first
        if not self.is_column_major:
            stream.seek(self.start + first * self.sequence_bytes)
            values = np.frombuffer(_read_exactly(stream, count * self.sequence_bytes), self.dtype)
            return values.reshape(count, *self.shape[1:])
        # All sequences' first values come first, then all second ones: a stretch of each is read.
        num_sequences, size = self.shape[0], self.dtype.itemsize
        values = np.empty((math.prod(self.shape[1:]), count), self.dtype)
        for number, own in enumerate(values):
            stream.seek(self.start + (number * num_sequences + first) * size)
            own[:] = np.frombuffer(_read_exactly(stream, count * size), self.dtype)
        return values.reshape(*self.shape[:0:-1], count).T


def read_header(path: str, stream: BinaryIO) -> NpyArray:
    """Reads the header of an npy file, and checks the file's size by it.

    Raises:
        UnreadableInputError: if the file is not an array of numbers that needs no unpickling, of
            two or three dimensions, or has not as many bytes as its header says.
    """
    shape, is_column_major, dtype = _parse_header(path, stream)
    if dtype.kind not in "iuf" or dtype.hasobject:
        raise UnreadableInputError(f"{path}: must hold real numbers, got the type {dtype}.")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise UnreadableInputError(
            f"{path}: must have the shape (sequences, timesteps, features) or, with one feature, "
            f"(sequences, timesteps), got {shape}."
        )
    start = stream.tell()
    expected = start + math.prod(shape) * dtype.itemsize
    num_bytes = stream.seek(0, os.SEEK_END)
    if num_bytes != expected:
        raise UnreadableInputError(
            f"{path}: must have the {expected:,} bytes that its shape {shape} takes, "
            f"got {num_bytes:,}: it is cut or damaged."
        )
    if (sequence_bytes := math.prod(shape[1:]) * dtype.itemsize) > LARGEST_BYTES:
        raise UnreadableInputError(
            f"{path}: a sequence must have at most {LARGEST_BYTES:,} bytes, got {sequence_bytes:,}."
        )
    sequences, timesteps, features = (*shape, 1)[:3]
    return NpyArray((sequences, timesteps, features), dtype, is_column_major, start)


def _parse_header(path: str, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}.")
        return _VERSIONS[version](stream)
    except Exception as error:  # NumPy passes on what Python's own parser says of a header
        raise UnreadableInputError(
            f"{path}: must be an npy file, an array of numbers: {textwrap.shorten(str(error), 200)}"
        ) from error


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise UnreadableInputError(f"must have {count:,} more bytes, got {len(data):,}")
    return data


def read_npy(stream: BinaryIO, source: Source) -> Iterator[Item]:
    """Reads an npy file, or the part of the source, one whole sequence per first index.

    The key of a sequence is the file's name and its position from 0, as in `windows/0`.

    Yields:
        `(key, fragment)`, or a reject where the file's name is not UTF-8.

    Raises:
        UnreadableInputError: if it is not such a file.
    """
    array = read_header(source.path, stream)
    start, stop = source.part or (0, array.shape[0])
    stop = min(stop, array.shape[0])  # the file may not be the one that was checked
    step = max(_BLOCK_BYTES // array.sequence_bytes, 1)
    for first in range(start, stop, step):
        try:
            block = array.read(stream, first, min(first + step, stop))
        except (UnreadableInputError, MemoryError) as error:
            rule = f"{array.sequence_bytes:,} bytes must be readable and fit in memory"
            where = f"{source.path}, row {first + 1}"
            raise UnreadableInputError(f"{where}: {rule}, they do not: {error}") from error
        for number, values in enumerate(block, first):
            yield _read_sequence(values, number, source)


def _read_sequence(values: np.ndarray, number: int, source: Source) -> Item:
    place = source.place(number + 1)
    try:
        key = number_key(source.path, number)
    except RejectionError as rejection:
        return rejection.reject(place)
    try:
        return key, Whole(place, check_sequence(values), None)
    except RejectionError as rejection:
        return key, rejection.reject_part(place, whole=True)


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    with open_bytes(source.location) as stream:
        yield from read_npy(stream, source)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    array = read_header(source.path, stream)
    step = max(_PART_BYTES // array.sequence_bytes, 1)
    num_sequences = array.shape[0]
    parts = [(n, min(n + step, num_sequences)) for n in range(0, num_sequences, step)]
    return InputFacts(parts=tuple(parts))


FORM = InputForm(
    name="npy",
    extensions=(".npy",),
    unit="row",
    read=_read,
    check=_check,
    split_of=split_of_archive,
)
