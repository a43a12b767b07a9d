"""Compressed input that would unpack to far more than a sequence can be: rejected, never unpacked.

A compressed file can hold a thousand times as much as it is large. Data do not: what is far denser
than any data, and so large that memory is at stake, is an attack or an accident, and named.
"""

from __future__ import annotations

import gzip
import io
from typing import BinaryIO

from padless.beam_jobs.fragments import UnreadableInputError
from padless.pipeline.zlib_stream import ZlibStream

MOST_RATIO = 200
"""Bytes unpacked for a packed one: data of one value come to about 1,000, others to 2 to 20."""

SMALL_BYTES = 256 * 2**20
"""What is smaller may be of any ratio, as it fits in memory."""

LARGEST_BYTES = 2**34
"""No array is larger: as float32 it would not fit in an example, which has below 2 GiB."""


def check_unpacked_size(packed: int, unpacked: int, where: str) -> None:
    """Checks the sizes that an entry of an archive names, before it is unpacked.

    Args:
        packed: its size in the archive, in bytes.
        unpacked: its own size, in bytes.
        where: names the file and the entry in messages.

    Raises:
        UnreadableInputError: if it would not fit in memory, or is far denser than data are.
    """
    if unpacked > LARGEST_BYTES:
        raise UnreadableInputError(
            f"{where} must have at most {LARGEST_BYTES:,} bytes, got {unpacked:,}: no sequence is "
            "as large."
        )
    if _is_bomb(packed, unpacked):
        raise UnreadableInputError(f"{where} {_describe(packed, unpacked)}")


class UnpackedStream(io.RawIOBase):
    """What gzip or ZLIB unpacks, read from its beginning, as long as a line of it fits in memory.

    Lines are counted alone: they are read one after another, however dense the file is. Of records,
    bytes that happen to end a line do the same.

    Args:
        plain: what is unpacked, without a buffer.
        packed: the file that it reads.
        path: its name in messages.
    """

    def __init__(self, plain: gzip.GzipFile | ZlibStream, packed: BinaryIO, path: str):
        super().__init__()
        self._plain, self._packed, self._path = plain, packed, path
        self._line_bytes = self._before_line = 0

    def readable(self) -> bool:
        """Checks whether it can be read, which it can."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads some bytes.

        Raises:
            UnreadableInputError: if a line is too large and far denser than data are.
        """
        count = self._plain.readinto(buffer)
        end = bytes(buffer[:count]).rfind(b"\n")
        packed = self._packed.tell()
        if end >= 0:
            self._line_bytes, self._before_line = count - end - 1, packed
        else:
            self._line_bytes += count
        if _is_bomb(packed - self._before_line, self._line_bytes):
            described = _describe(packed - self._before_line, self._line_bytes)
            raise UnreadableInputError(f"{self._path}: a line or record {described}")
        return count


def _is_bomb(packed: int, unpacked: int) -> bool:
    return unpacked > SMALL_BYTES and unpacked > MOST_RATIO * max(packed, 1)


def _describe(packed: int, unpacked: int) -> str:
    return (
        f"must unpack to at most {MOST_RATIO} times its size where that is more than "
        f"{SMALL_BYTES:,} bytes, got {unpacked:,} from {packed:,}."
    )
