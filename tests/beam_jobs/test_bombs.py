"""Compressed files that unpack to far more than data do, and entries that claim another size."""

import gzip
import io
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

from padless.beam_jobs import bombs, preprocess
from padless.beam_jobs.files import decompress
from padless.beam_jobs.fragments import UnreadableInputError
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.zlib_stream import ZlibStream

MIB = 1 << 20


def write_npz(path, shape, num_bytes, compression=zipfile.ZIP_DEFLATED):
    """Writes an archive of one array of zeros whose header says what shape it has."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with (
        zipfile.ZipFile(path, "w", compression) as archive,
        archive.open("a.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(num_bytes // MIB):
            file.write(bytes(MIB))
        file.write(bytes(num_bytes % MIB))
    return str(path)


def write_gzip(path, piece, count):
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(count):
            file.write(piece)
    return str(path)


@pytest.fixture
def smaller(monkeypatch):
    monkeypatch.setattr(bombs, "SMALL_BYTES", 4 * MIB)


@pytest.mark.parametrize("shape", [(2, 2), (2**30, 2**20), (2, 2**62), (10,)])
def test_an_entry_of_another_size_than_its_header_says_is_rejected(tmp_path, make_options, shape):
    path = write_npz(tmp_path / "x.npz", shape, 64)
    with pytest.raises(ValueError, match=r"x\.npz, array 1"):
        preprocess(make_options(path))


def test_an_archive_that_unpacks_to_far_more_is_named_by_its_entry(tmp_path, make_options, smaller):
    path = write_npz(tmp_path / "x.npz", (2**20, 2), 8 * MIB)
    message = r"x\.npz, array 1 \('a.npy'\) must unpack to at most 200 times its size"
    with pytest.raises(ValueError, match=message):
        preprocess(make_options(path))


def test_sizes_that_no_sequence_has_are_named():
    bombs.check_unpacked_size(1, bombs.SMALL_BYTES, "x")
    bombs.check_unpacked_size(2**30, 2**33, "x")
    with pytest.raises(UnreadableInputError, match="x must unpack to at most 200 times its size"):
        bombs.check_unpacked_size(2**20, bombs.SMALL_BYTES + 1, "x")
    with pytest.raises(UnreadableInputError, match="x must have at most 17,179,869,184 bytes"):
        bombs.check_unpacked_size(2**34, 2**34 + 1, "x")


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz", "x.ts.gz", "x.tfrecord.gz"])
def test_a_line_that_unpacks_without_end_is_named(tmp_path, make_options, smaller, name):
    head = b"key,time,x\n" if "csv" in name else b"@data\n" if ".ts" in name else b""
    path = tmp_path / name
    with gzip.open(path, "wb") as file:
        file.write(head)
        for _ in range(16):
            file.write(b"0" * MIB)
    with pytest.raises(ValueError, match=rf"{name}.*"):
        preprocess(make_options(str(path)))


def test_dense_lines_are_read(smaller):
    packed = io.BytesIO(gzip.compress(b"a,1,0\n" * 3 * MIB))
    with decompress("x", packed) as plain:
        assert sum(len(line) for line in plain) == 18 * MIB


def test_a_line_without_end_is_not_read_to_its_end(smaller):
    packed = io.BytesIO(gzip.compress(b"0" * 18 * MIB))

    def read():
        with decompress("x", packed) as plain:
            plain.read()

    with pytest.raises(UnreadableInputError, match="x: a line or record must unpack to at most"):
        read()


def write_zlib(path, piece, count):
    packer = zlib.compressobj()
    with open(path, "wb") as file:
        for _ in range(count):
            file.write(packer.compress(piece))
        file.write(packer.flush())
    return str(path)


def test_a_zlib_record_that_unpacks_without_end_is_named(smaller, tmp_path, make_options):
    path = write_zlib(tmp_path / "x.tfrecord", frame_record(bytes(16 * MIB)), 1)
    with pytest.raises(ValueError, match=r"x\.tfrecord: a line or record must unpack to at most"):
        preprocess(make_options(path))


def test_zlib_streams_are_unpacked_piece_by_piece():
    data = np.random.default_rng(3).bytes(300_000) + bytes(MIB)
    packed = zlib.compress(data) + zlib.compress(b"") + zlib.compress(data)
    stream = ZlibStream(io.BytesIO(packed))
    pieces = list(iter(lambda: stream.read(1000), b""))
    assert b"".join(pieces) == 2 * data
    assert max(map(len, pieces)) == 1000


def test_a_zlib_stream_that_was_cut_is_not_taken_for_a_whole_one():
    packer = zlib.compressobj()
    cut = packer.compress(b"whole records") + packer.flush(zlib.Z_FULL_FLUSH)

    def read():
        with decompress("x", io.BytesIO(cut), "ZLIB") as plain:
            plain.read()

    with pytest.raises(UnreadableInputError, match="x: must be readable by ZLIB to its end"):
        read()


def peak_of(path, output):
    """Runs the job in a process; returns its messages and its peak memory in MiB."""
    code = (
        "import re, sys\n"
        "from padless.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024)\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "preprocess", path, "--output", str(output), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr, int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["npz", "csv.gz", "jsonl.gz", "ts.gz", "tfrecord.gz", "tfrecord"])
def test_bombs_take_no_memory(tmp_path, name):
    path = str(tmp_path / f"bomb.{name}")
    if name == "npz":
        write_npz(path, (1000 * MIB // 8, 2), 1000 * MIB)
    else:
        write = write_zlib if name == "tfrecord" else write_gzip
        write(path, b"0" * MIB, 4000)
    message, peak = peak_of(path, tmp_path / "out")
    print(name, message, peak, "MiB")
    assert f"bomb.{name}" in message
    assert message.count("\n") == 1
    assert peak < 1500
