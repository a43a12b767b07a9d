"""npy files: arrays of both orders and all types, parts, and files that are none."""

import io

import numpy as np
import pytest

from padless.beam_jobs import Columns, preprocess
from padless.beam_jobs.fragments import RejectedPart, Source, UnreadableInputError
from padless.beam_jobs.readers import npy_reader
from padless.beam_jobs.readers.inputs import check_input
from padless.beam_jobs.readers.npy_reader import FORM, read_npy

ARRAY = np.random.default_rng(0).normal(size=(7, 5, 3)).astype(np.float32)


def save(path, array):
    np.save(path, array)
    return str(path)


def read(path):
    """Reads a file as a job does: looked at first, then part by part."""
    parts = check_input(path, FORM, Columns()).parts
    sources = [Source(0, path, "row", "npy", part) for part in parts]
    return [item for source in sources for item in FORM.read(source, Columns())]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2", "<i2", ">u4", "i1", np.longdouble])
@pytest.mark.parametrize("block_bytes", [1, 100, 4096])
def test_sequences_are_read_in_blocks_and_parts(tmp_path, monkeypatch, order, dtype, block_bytes):
    monkeypatch.setattr(npy_reader, "_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(npy_reader, "_PART_BYTES", 3 * block_bytes)
    array = (50 + 10 * ARRAY).astype(dtype, order=order)
    items = read(save(tmp_path / "x.npy", array))
    assert [key for key, _ in items] == [f"x/{number}".encode() for number in range(7)]
    assert [part.place.position for _, part in items] == list(range(1, 8))
    np.testing.assert_array_equal([part.values for _, part in items], array)


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_two_dimensions_has_one_feature(tmp_path, order):
    array = np.asarray(ARRAY[:, :, 0], order=order)
    items = read(save(tmp_path / "x.npy", array))
    np.testing.assert_array_equal([part.values for _, part in items], array[:, :, None])


def test_a_job_reads_it_and_leaves_out_padding(tmp_path, make_options, read_all):
    array = ARRAY.copy()
    array[2, 3:] = np.nan
    report = preprocess(make_options(save(tmp_path / "x.npy", array)))
    content = read_all(tmp_path / "out")
    assert report.mended["padding_timesteps"] == 2
    for number, values in enumerate(array):
        expected = values[:3] if number == 2 else values
        np.testing.assert_array_equal(content[f"x/{number}"][0], expected)


def test_an_infinite_value_rejects_its_sequence(tmp_path):
    array = ARRAY.copy()
    array[3, 1, 2] = np.inf
    items = read(save(tmp_path / "x.npy", array))
    ((key, fault),) = [item for item in items if isinstance(item[1], RejectedPart)]
    assert (key, fault.reason, fault.whole) == (b"x/3", "infinite", True)
    assert len(items) == 7


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), r"must have the shape .*, got \(3,\)"),
        (np.zeros((1, 1, 1, 1)), r"must have the shape"),
        (np.zeros((0, 2)), r"must have the shape"),
        (np.zeros((2, 0, 2)), r"must have the shape"),
        (np.array([["a"]]), r"must hold real numbers, got the type <U1"),
        (np.array([[1j]]), r"must hold real numbers"),
        (np.array([[{}]], object), r"must hold real numbers, got the type object"),
        (np.zeros((1, 1), [("x", "f4")]), r"must hold real numbers"),
    ],
)
def test_an_array_of_another_kind_is_named(tmp_path, array, message):
    path = save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match=rf"x\.npy: {message}"):
        check_input(path, FORM, Columns())


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"0", lambda d: d[:20]])
def test_a_damaged_file_is_named(tmp_path, change):
    path = save(tmp_path / "x.npy", ARRAY)
    (tmp_path / "x.npy").write_bytes(change((tmp_path / "x.npy").read_bytes()))
    with pytest.raises(ValueError, match=r"x\.npy: must "):
        check_input(path, FORM, Columns())


def test_a_sequence_larger_than_any_is_not_read(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (1, 2**32, 1)}
        np.lib.format.write_array_header_2_0(file, header)
        file.truncate(file.tell() + 2**35)  # a file of nothing, which takes no space
    with pytest.raises(ValueError, match="a sequence must have at most"):
        check_input(str(tmp_path / "x.npy"), FORM, Columns())


def test_a_file_that_shrinks_after_it_was_checked_is_named():
    class Shrinking(io.BytesIO):
        def read(self, count=-1):
            return super().read(count)[:-1] if count > 1000 else super().read(count)

    stream = Shrinking()
    np.save(stream, np.zeros((3, 80, 2)))
    stream.seek(0)
    header = npy_reader.read_header("x.npy", stream)
    assert header.shape == (3, 80, 2)
    stream.seek(0)
    with pytest.raises(UnreadableInputError, match=r"x\.npy, row 1: .*must be readable"):
        list(read_npy(stream, Source(0, "x.npy", "row")))
