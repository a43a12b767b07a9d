"""Sizes of records that lead out of their file are found before TensorFlow reads them."""

import gzip
import io
import struct
import zlib

import pytest

from padless.pipeline.dataset import framing


def frame(size, data=b""):
    head = struct.pack("<Q", size)
    return head + framing._masked_crc(head) + data


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (frame(2**62, b"abc"), "record 2 at byte 38: .* its size claims 4,611,686,018,427,387,904"),
        (frame(2**63 + 5), "record 2 .* its size claims 9,223,372,036,854,775,813 bytes"),
        (frame(2**31, b"abc"), "record 2 .* its size claims 2,147,483,648 bytes"),
        (frame(2**31 - 1, b"abc"), "record 2 .* must take 2147483651 bytes .* got 3: .* truncated"),
        (frame(100, b"abc"), "record 2 at byte 38: its data must take 104 bytes"),
        (b"abc", "record 2 at byte 38: its size must take 12 bytes with its CRC, got 3"),
        (struct.pack("<QI", 3, 0) + bytes(7), "record 2 at byte 38: its size must have the CRC"),
    ],
)
def test_a_size_that_leads_out_of_the_file_names_the_record(tmp_path, tail, message):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(framing.frame_record(b"one") * 2 + tail)
    if tail[8:12] != bytes(4):  # a damaged CRC is found by TensorFlow
        with pytest.raises(ValueError, match=rf"x\.tfrecord: {message}"):
            framing.check_record_sizes(path)
    with pytest.raises(ValueError, match=message):
        list(framing.read_records(path))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_sizes_that_lead_to_the_end_are_right(tmp_path, count):
    path = tmp_path / "x.tfrecord"
    path.write_bytes(framing.frame_record(b"one") * count)
    framing.check_record_sizes(path)


def test_large_records_are_read_in_chunks(monkeypatch):
    monkeypatch.setattr(framing, "_CHUNK_BYTES", 10)
    data = bytes(range(97))
    (record,) = framing.scan_records(io.BytesIO(framing.frame_record(data)))
    assert record.data == data


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", None),
        (b"x", None),
        (b"\x1f", None),
        (b"key,label\n", None),
        (framing.frame_record(bytes(8)), None),
        (framing.frame_record(bytes(0x8B1F)), None),  # its size begins as gzip does
        (framing.frame_record(bytes(0x8948)), None),  # its size begins as ZLIB does
        (gzip.compress(b""), "gzip"),
        (zlib.compress(b""), "ZLIB"),
        (b"\x48\x89", "ZLIB"),
    ],
)
def test_compression_is_found_by_the_first_bytes(head, expected):
    assert framing.find_compression(head[: framing.SNIFFED_BYTES]) == expected
