"""Texts as they are found: byte order marks, odd bytes, gzip whole and damaged."""

import gzip

import pytest

from padless.beam_jobs.files import file_bytes, open_text
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


def test_file_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"123")
    assert file_bytes(str(tmp_path / "x")) == 3


def test_file_bytes_takes_no_path_for_a_glob(tmp_path):
    for name, size in {"c.csv": 5, "[c].csv": 3}.items():
        (tmp_path / name).write_bytes(bytes(size))
    assert file_bytes(str(tmp_path / "[c].csv")) == 3
