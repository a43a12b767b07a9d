"""A disk that gets full while a job writes: one clear error, and no dataset."""

import os
import subprocess
import sys

import pytest

NUM_SEQUENCES = 300


@pytest.fixture
def make_disk(tmp_path):
    """Mounts a file system in memory of so many KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def make(kib):
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", disk]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"A file system cannot be mounted here: {mounted.stderr.strip()}")
        return disk

    yield make
    if os.path.ismount(disk):
        subprocess.run(["umount", disk], check=True)


def preprocess(raw, disk):
    command = [sys.executable, "-m", "padless.cli.main", "preprocess", raw]
    command += ["--output", disk / "out", "--splits", "train=1", "--quiet"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


# The blocks of fragments take some 500 KiB, those of runs 400 more, the shards as much again.
@pytest.mark.parametrize("kib", [16, 300, 700, 1100])
def test_a_full_disk_ends_in_one_error_and_no_dataset(make_disk, tmp_path, kib):
    with (tmp_path / "raw.csv").open("w") as file:
        file.write("key,time," + ",".join(f"x{i}" for i in range(16)) + "\n")
        for key in range(NUM_SEQUENCES):
            file.writelines(f"{key},{time}{',0.5' * 16}\n" for time in range(20))
    failed = preprocess(tmp_path / "raw.csv", make_disk(kib))
    assert failed.returncode == 1, failed.stdout
    assert failed.stderr.count("\n") == 1
    assert "No space left on device" in failed.stderr
    assert os.listdir(tmp_path / "disk") == []


def test_a_disk_that_is_large_enough_takes_the_dataset(make_disk, tmp_path):
    (tmp_path / "raw.csv").write_text("key,time,x\na,1,1\n")
    done = preprocess(tmp_path / "raw.csv", make_disk(1100))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(tmp_path / "disk") == ["out"]
