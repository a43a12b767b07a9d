"""The TFRecord file: records with their size and CRCs, written and read side by side."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple, Protocol

import google_crc32c
from etils import epath

from padless.pipeline.paths import is_local

_LENGTH_BYTES = 8
_CRC_BYTES = 4
_HEAD_BYTES = _LENGTH_BYTES + _CRC_BYTES
GZIP_MAGIC = b"\x1f\x8b"  # no text begins like that: the second byte is not UTF-8
# Of the first bytes of a file, what `find_compression` needs.
SNIFFED_BYTES = _HEAD_BYTES
# More than that is no protocol buffer, and so no example.
_MOST_BYTES = 2**31 - 1
_CHUNK_BYTES = 1 << 24
_BEYOND_MEMORY = (
    "its data must fit into memory, its size claims {:,} bytes, and no example has more than "
    f"{_MOST_BYTES:,}: the file is damaged."
)


def frame_record(data: bytes) -> bytes:
    """Wraps serialized data as one record of a TFRecord file: size, CRC, data, CRC.

    Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    size = struct.pack("<Q", len(data))
    return b"".join((size, _masked_crc(size), data, _masked_crc(data)))


def read_records(path: epath.PathLike) -> Iterator[bytes]:
    """Yields the data of each record of a TFRecord file, every CRC checked.

    Raises:
        ValueError: at the first damaged record; names the file, the record's position and its
            first byte, which TensorFlow's own `DataLossError` does not.
    """
    with epath.Path(path).open("rb") as file:
        yield from read_record_stream(file, path)


def read_record_stream(file: BinaryIO, path: epath.PathLike) -> Iterator[bytes]:
    """Yields what `read_records` does, from a file that is open already.

    Args:
        file: the bytes of TFRecords, at a record's beginning.
        path: its name in messages.

    Raises:
        ValueError: as `read_records`.
    """
    for record in scan_records(file):
        if record.data is None:
            raise ValueError(
                f"{path}: record {record.position} at byte {record.start}: {record.damage}"
            )
        yield record.data


class Readable(Protocol):
    """What is read from its beginning to its end, as an open file is."""

    def read(self, num_bytes: int, /) -> bytes:
        """Reads as many bytes, or fewer at the end."""


class ScannedRecord(NamedTuple):
    """A record as it is in a file.

    Attributes:
        position: its position among the file's records, from 0.
        start: its first byte in the file.
        data: its data, or None if they are damaged.
        damage: the broken rule, or None.
    """

    position: int
    start: int
    data: bytes | None
    damage: str | None = None


def scan_records(file: Readable) -> Iterator[ScannedRecord]:
    """Yields each record of an open file, and continues after one whose data are damaged.

    Ends after a record whose size is damaged: nothing else says where the next one begins.

    Args:
        file: the bytes of TFRecords, at a record's beginning.
    """
    start = position = 0
    while head := file.read(_HEAD_BYTES):
        if (damage := _find_damage(head, _LENGTH_BYTES, "size")) is not None:
            yield ScannedRecord(position, start, None, damage)
            return
        (num_bytes,) = struct.unpack_from("<Q", head)
        if num_bytes > _MOST_BYTES:  # a size may claim any number of bytes
            yield ScannedRecord(position, start, None, _BEYOND_MEMORY.format(num_bytes))
            return
        framed = _read_up_to(file, num_bytes + _CRC_BYTES)
        damage = _find_damage(framed, num_bytes, "data")
        yield ScannedRecord(position, start, None if damage else framed[:num_bytes], damage)
        start += _HEAD_BYTES + num_bytes + _CRC_BYTES
        position += 1


def check_record_sizes(path: epath.PathLike) -> None:
    """Checks that each record of a TFRecord file ends within the file, before TensorFlow reads it.

    TensorFlow reserves as much memory as a record says that it takes, and ends the process where
    there is not as much. Only the sizes are read, of a file on this machine: 1 to 2 s for a million
    records. Their CRCs and those of the data are left to TensorFlow.

    Raises:
        ValueError: at the first record that does not; names the file and the record.
    """
    with epath.Path(path).open("rb") as file:
        file.seek(0, os.SEEK_END)
        end = file.tell()
        file.seek(0)
        is_sound = _end_within(file, end) if is_local(path) else False
    if not is_sound:
        for _ in read_records(path):  # which says what is wrong
            pass


def begins_record(data: bytes) -> bool:
    """Checks whether the first 12 bytes of a file are a size and its CRC, as a record's are."""
    size, crc = data[:_LENGTH_BYTES], data[_LENGTH_BYTES:_HEAD_BYTES]
    return len(data) >= _HEAD_BYTES and _masked_crc(size) == crc


def find_compression(head: bytes) -> Literal["gzip", "ZLIB"] | None:
    """Returns how a file of TFRecords is compressed, or None where it is not.

    The first bytes of either may also be those of a record's size; the CRC after it decides.

    Args:
        head: the first `SNIFFED_BYTES` of the file.

    Example:
        >>> import zlib
        >>> find_compression(zlib.compress(frame_record(b"one"))[:SNIFFED_BYTES])
        'ZLIB'
    """
    if begins_record(head):
        return None
    if head.startswith(GZIP_MAGIC):
        return "gzip"
    # RFC 1950, section 2.2: the method is 8, and both bytes are a multiple of 31.
    is_zlib = len(head) > 1 and head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return "ZLIB" if is_zlib else None


def _end_within(file: BinaryIO, end: int) -> bool:
    """Checks that the sizes of records lead from the beginning of a file to its end."""
    descriptor, unpack, start = file.fileno(), struct.Struct("<Q").unpack, 0
    while start + _HEAD_BYTES <= end:
        (num_bytes,) = unpack(os.pread(descriptor, _LENGTH_BYTES, start))
        start += _HEAD_BYTES + num_bytes + _CRC_BYTES
    return start == end


def _read_up_to(file: Readable, num_bytes: int) -> bytes:
    """Reads as many bytes, or to the end; never reserves memory for what is not there."""
    if num_bytes <= _CHUNK_BYTES:
        return file.read(num_bytes)
    chunks, left = [], num_bytes
    while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _find_damage(framed: bytes, num_bytes: int, part: str) -> str | None:
    """Returns what is wrong with a part of a record and the CRC after it, or None."""
    if len(framed) < num_bytes + _CRC_BYTES:
        return (
            f"its {part} must take {num_bytes + _CRC_BYTES} bytes with its CRC, "
            f"got {len(framed)}: the file is truncated."
        )
    written = framed[num_bytes:]
    if written != (crc := _masked_crc(framed[:num_bytes])):
        return (
            f"its {part} must have the CRC {written.hex()} that is written after it, "
            f"got {crc.hex()}: the file is damaged."
        )
    return None


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
