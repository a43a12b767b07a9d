"""Checkpoints are whole or not there."""

import errno
import re

import numpy as np
import pytest

from padless.model.run_directory.checkpoints import Checkpoints
from padless.pipeline.written_whole import unfinished

ARRAYS = {"model/0000": np.arange(6, dtype=np.float32).reshape(2, 3), "seed": np.uint32([1, 2])}
STATE = {"progress": {"epoch": 1, "best_logs": {"loss": 0.1}, "worst": float("inf")}}


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_restore_gives_back_what_was_saved(checkpoints):
    assert checkpoints.restore() is None
    path = checkpoints.save(7, ARRAYS, STATE)
    assert path == checkpoints.path(7)
    step, arrays, state = checkpoints.restore()
    assert (step, state) == (7, STATE)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_only_the_newest_stay(checkpoints):
    for step in (5, 10, 15, 100_000_000):
        checkpoints.save(step, ARRAYS, STATE)
    assert checkpoints.steps() == [10, 15, 100_000_000]
    checkpoints.discard_after(10)
    assert checkpoints.steps() == [10]


def test_a_checkpoint_of_the_same_step_takes_the_place_of_the_one_before(checkpoints):
    checkpoints.save(5, ARRAYS, {"n": 1})
    checkpoints.save(5, ARRAYS, {"n": 2})
    assert checkpoints.restore()[2] == {"n": 2}


def test_restore_deletes_what_a_killed_process_left(checkpoints):
    checkpoints.save(5, ARRAYS, STATE)
    leftover = checkpoints.path(9).with_name(unfinished(checkpoints.path(9).name))
    leftover.write_bytes(b"half")
    assert checkpoints.restore()[0] == 5
    assert not leftover.exists()


def test_a_full_disk_leaves_the_checkpoints_before(checkpoints):
    checkpoints.save(5, ARRAYS, STATE)
    # What is written there is answered by the system as on a full disk.
    checkpoints.path(9).with_name(unfinished(checkpoints.path(9).name)).symlink_to("/dev/full")
    message = (
        r"No space left on device\); the newest is of step 5. Make room and resume the run: "
        f"'{checkpoints.path(9)}'"
    )
    with pytest.raises(OSError, match=message) as full:
        checkpoints.save(9, ARRAYS, STATE)
    assert full.value.errno == errno.ENOSPC
    assert [path.name for path in checkpoints.path(5).parent.iterdir()] == ["step-00000005.npz"]
    assert checkpoints.restore()[0] == 5


def test_a_disk_that_was_full_from_the_start_is_answered(checkpoints):
    checkpoints.path(9).parent.mkdir()
    checkpoints.path(9).with_name(unfinished(checkpoints.path(9).name)).symlink_to("/dev/full")
    with pytest.raises(OSError, match="there is none before it"):
        checkpoints.save(9, ARRAYS, STATE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-100],
        lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:],
    ],
    ids=["empty", "truncated", "a bit flipped"],
)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(checkpoints, caplog, damage):
    for step in (3, 6, 7):
        path = checkpoints.save(step, ARRAYS, STATE | {"step": step})
    path.write_bytes(damage(path.read_bytes()))
    step, _, state = checkpoints.restore()
    assert step == state["step"] == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    message = f"{path}: the checkpoint is damaged .*; trying the one before it"
    assert re.match(message, record.getMessage())


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"False, ", b"(((((, "), (b"(9999,), }" + b" " * 16, b"(" + b"9" * 20 + b",), }")],
    ids=["never closed", "no such size"],
)
def test_a_header_that_is_read_before_its_crc_may_be_damaged(checkpoints, caplog, before, after):
    for step in (6, 7):
        path = checkpoints.save(step, {"large": np.ones(9999)}, STATE)
    start, large, end = path.read_bytes().partition(b"large.npy")
    assert before in large + end
    path.write_bytes(start + large + end.replace(before, after, 1))
    assert checkpoints.restore()[0] == 6
    assert "is damaged" in caplog.text


def test_pickled_objects_are_not_read(checkpoints, caplog):
    """What pickle would run is not run: the file counts as damaged."""
    checkpoints.save(5, ARRAYS, STATE)
    np.savez(checkpoints.path(6), **{"state.json": np.array([print], dtype=object)})
    assert checkpoints.restore()[0] == 5
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(r"step-00000006.npz.*allow_pickle=False", record.getMessage())


@pytest.mark.parametrize("keep", [0, -1])
def test_checkpoints_reject_to_keep_none(tmp_path, keep):
    with pytest.raises(ValueError, match=f"`keep` must be at least 1, got {keep}"):
        Checkpoints(tmp_path, keep=keep)
