"""npz files: names that are keys, arrays that are rejected, archives that are damaged."""

import io
import zipfile

import numpy as np
import pytest

from padless.beam_jobs.fragments import RejectedPart, Source, UnreadableInputError
from padless.beam_jobs.readers.npz_reader import read_npz

SOURCE = Source(0, "x.npz", "array")


def read(data):
    return list(read_npz(io.BytesIO(data), SOURCE))


def savez(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zip_members(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_read_npz_tells_names_apart_that_numpy_confuses():
    items = read(savez(**{"x": np.ones((1, 1)), "x.npy": np.full((1, 1), 2), "../y": [[3]]}))
    assert {key: whole.values.item() for key, whole in items} == {b"x": 1, b"x.npy": 2, b"../y": 3}
    assert [whole.place.position for _, whole in items] == [1, 2, 3]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3), "bad_shape"),
        (np.zeros((0, 2)), "zero_timesteps"),
        (np.array([["a"]]), "not_a_number"),
        (np.array([[{}]], object), "bad_array"),
        (np.array([[np.inf]]), "infinite"),
    ],
)
def test_a_bad_array_is_a_fault_of_its_key(array, reason):
    ((key, fault),) = read(savez(a=array))
    assert isinstance(fault, RejectedPart)
    assert (key, fault.reason, fault.whole) == (b"a", reason, True)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("readme.txt", b"hello"),
        ("a.npy", b""),
        ("a.npy", b"\x93NUMPY\x01\x00"),
        ("a.npy", b"hello"),
    ],
)
def test_a_member_that_is_no_array_is_a_fault(name, data):
    ((_, fault),) = read(zip_members(**{name: data}))
    assert fault.reason == "bad_array"


def test_a_header_that_claims_any_size_is_a_fault():
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**15, 4)}
    np.lib.format.write_array_header_1_0(file, header)
    ((_, fault),) = read(zip_members(**{"a.npy": file.getvalue()}))
    assert fault.reason == "bad_array"


def test_an_array_without_name_is_one_reject():
    (reject,) = read(zip_members(**{".npy": b""}))
    assert (reject.reason, str(reject.place)) == ("missing_key", "x.npz, array 1")


def test_a_bad_checksum_names_file_and_array():
    data = bytearray(savez(a=np.ones((1, 1)), b=np.full((4, 4), 7.0)))
    data[data.index(np.full(2, 7.0).tobytes())] ^= 1
    with pytest.raises(
        UnreadableInputError, match=r"x\.npz, array 2 \('b\.npy'\) must be readable"
    ):
        read(bytes(data))


def test_a_file_that_is_no_zip_is_rejected():
    with pytest.raises(UnreadableInputError, match=r"x\.npz: must be an npz file"):
        read(savez(a=np.ones((1, 1)))[:-30])
