"""Texts as they are found: byte order marks, odd bytes, gzip whole and damaged."""

import gzip

import pytest

from padless.beam_jobs.files import open_input, open_text
from padless.beam_jobs.fragments import UnreadableInputError


def read(path):
    with open_text(str(path), newline="") as lines:
        return list(lines)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_open_text_drops_a_byte_order_mark(tmp_path, compress):
    (tmp_path / "x.csv").write_bytes(compress(b"\xef\xbb\xbfkey\xff\r\n"))
    assert read(tmp_path / "x.csv") == ["key\udcff\r\n"]


def test_open_text_reads_gzip_whatever_the_name_and_in_members(tmp_path):
    (tmp_path / "x.csv").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert read(tmp_path / "x.csv") == ["a\n", "b\n"]


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-9], lambda data: data[:20] + b"\0\0\0" + data[23:], lambda data: data[:3]],
    ids=["truncated", "flipped", "head only"],
)
def test_damaged_gzip_names_the_file(tmp_path, damage):
    text = "".join(f"{i * 7919},{i}\n" for i in range(999))
    (tmp_path / "x.csv.gz").write_bytes(damage(gzip.compress(text.encode())))
    with pytest.raises(
        UnreadableInputError, match=r"x\.csv\.gz: must be readable by gzip to its end"
    ):
        read(tmp_path / "x.csv.gz")


def size(path):
    with open_input(str(path)) as (stream, num_bytes):
        assert stream.tell() == 0
        return num_bytes


def test_open_input_tells_the_size(tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    assert size(tmp_path / "x") == 3


def test_open_input_takes_no_path_for_a_glob(tmp_path):
    for name, num_bytes in {"c.csv": 5, "[c].csv": 3}.items():
        (tmp_path / name).write_bytes(bytes(num_bytes))
    assert size(tmp_path / "[c].csv") == 3
