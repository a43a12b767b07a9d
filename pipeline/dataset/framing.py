"""The TFRecord file: records with their size and CRCs, written and read side by side."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

import google_crc32c
from etils import epath

_LENGTH_BYTES = 8
_CRC_BYTES = 4
_HEAD_BYTES = _LENGTH_BYTES + _CRC_BYTES
_BEYOND_MEMORY = "its data must fit into memory, its size claims {} bytes: the file is damaged."


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
        try:
            framed = file.read(num_bytes + _CRC_BYTES)
        except (MemoryError, OverflowError):  # a size may claim any number of bytes
            yield ScannedRecord(position, start, None, _BEYOND_MEMORY.format(num_bytes))
            return
        damage = _find_damage(framed, num_bytes, "data")
        yield ScannedRecord(position, start, None if damage else framed[:num_bytes], damage)
        start += _HEAD_BYTES + num_bytes + _CRC_BYTES
        position += 1


def begins_record(data: bytes) -> bool:
    """Checks whether the first 12 bytes of a file are a size and its CRC, as a record's are."""
    size, crc = data[:_LENGTH_BYTES], data[_LENGTH_BYTES:_HEAD_BYTES]
    return len(data) >= _HEAD_BYTES and _masked_crc(size) == crc


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
