"""What ZLIB has compressed, unpacked as it is asked for: never more of it is in memory."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

_PACKED_BYTES = 64 * 1024  # read at once


class ZlibStream(io.RawIOBase):
    """What ZLIB unpacks, of one stream or of several that follow each other.

    Beam's own reader unpacks 16 MiB at once, whatever they come to, and takes a file that was cut
    for a whole one.

    Args:
        packed: the file, at its start; it is not closed.
    """

    def __init__(self, packed: BinaryIO):
        super().__init__()
        self._packed, self._pending = packed, b""
        self._unpacker = zlib.decompressobj()

    def readable(self) -> bool:
        """Checks whether it can be read, which it can."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads some bytes; none at the end.

        Raises:
            EOFError: if the file ends before the stream does.
            zlib.error: if the file is damaged.
        """
        while True:
            packed = self._pending or self._packed.read(_PACKED_BYTES)
            if self._unpacker.eof:
                if not packed:
                    return 0
                self._unpacker = zlib.decompressobj()
            plain = self._unpacker.decompress(packed, len(buffer))
            self._pending = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            if plain:
                buffer[: len(plain)] = plain
                return len(plain)
            if not packed and not self._unpacker.eof:
                raise EOFError("it ends before the compressed data do.")
