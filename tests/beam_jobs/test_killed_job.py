"""A job that is killed at any time leaves nothing that opens as a dataset, and can be run again."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from padless.beam_jobs import preprocess
from padless.pipeline import open_dataset

NUM_SEQUENCES = 4000


@pytest.fixture
def raw(tmp_path):
    """Several files, about 40 MiB: enough for the job to start worker processes."""
    row = ",".join(f"0.{i:015d}" for i in range(16))
    for part in range(4):
        with (tmp_path / f"{part}.csv").open("w") as file:
            file.write("key,time," + ",".join(f"x{i}" for i in range(16)) + "\n")
            for key in range(part, NUM_SEQUENCES, 4):
                file.writelines(f"{key},{time},{row}\n" for time in range(1 + key % 60))
    return str(tmp_path / "*.csv")


def start(raw, output):
    command = [sys.executable, "-m", "padless.cli.main", "preprocess", raw, "--output", output]
    return subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PADLESS_TEST": str(output)},
    )


def list_workers(output):
    """Lists the processes that run a worker for that output."""
    workers = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            is_worker = b"padless.beam_jobs.engine.local_worker" in (path / "cmdline").read_bytes()
            if is_worker and f"PADLESS_TEST={output}".encode() in (path / "environ").read_bytes():
                workers.append(int(path.name))
        except OSError:
            continue
    return workers


def wait_until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def count_staged(tmp_path):
    return sum(
        len(files) for path in tmp_path.glob("*.incomplete-*") for _, _, files in os.walk(path)
    )


def assert_killed_cleanly(raw, tmp_path, make_options):
    """Checks what a kill has left, and that a second run works and tidies up."""
    wait_until(lambda: not list_workers(tmp_path / "out"))
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path / "out")
    for left in tmp_path.glob("*.incomplete-*"):
        with pytest.raises((FileNotFoundError, NotADirectoryError, ValueError)):
            open_dataset(left)
    report = preprocess(make_options(raw))
    assert report.accepted == report.read == NUM_SEQUENCES
    assert {path.name for path in tmp_path.iterdir()} == {"out", *(f"{i}.csv" for i in range(4))}


@pytest.mark.parametrize("num_files", [5])
def test_a_killed_job_leaves_nothing_and_runs_again(raw, tmp_path, make_options, num_files):
    process = start(raw, tmp_path / "out")
    wait_until(lambda: count_staged(tmp_path) >= num_files)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert_killed_cleanly(raw, tmp_path, make_options)


@pytest.mark.slow
@pytest.mark.parametrize("tenths", range(0, 10, 2))
def test_a_job_killed_at_any_time_leaves_nothing_and_runs_again(
    raw, tmp_path, make_options, tenths
):
    started = time.monotonic()
    first = start(raw, tmp_path / "first")
    first.communicate()
    whole = time.monotonic() - started
    process = start(raw, tmp_path / "out")
    time.sleep(whole * (tenths + 0.5) / 10)
    process.kill()
    process.communicate()
    subprocess.run(["rm", "-r", tmp_path / "first"], check=True)
    if (tmp_path / "out").exists():
        pytest.skip("It was done before it was killed.")
    assert_killed_cleanly(raw, tmp_path, make_options)


def test_an_interrupted_job_with_workers_ends_in_one_line_and_leaves_nothing(raw, tmp_path):
    process = start(raw, tmp_path / "out")
    wait_until(lambda: count_staged(tmp_path) >= 5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "padless preprocess: interrupted\n")
    wait_until(lambda: not list_workers(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {f"{i}.csv" for i in range(4)}


def test_ctrl_c_in_a_terminal_ends_in_one_line_while_workers_start(raw, tmp_path):
    process = start(raw, tmp_path / "out")
    wait_until(lambda: list_workers(tmp_path / "out"))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all of its processes
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "padless preprocess: interrupted\n")
    wait_until(lambda: not list_workers(tmp_path / "out"))
    assert {path.name for path in tmp_path.iterdir()} == {f"{i}.csv" for i in range(4)}


def test_a_worker_that_is_killed_ends_the_job_with_an_error(raw, tmp_path):
    process = start(raw, tmp_path / "out")
    wait_until(lambda: count_staged(tmp_path) >= 5)
    os.kill(list_workers(tmp_path / "out")[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("padless preprocess: error: A worker process died: Worker subprocess")
    assert errors.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {f"{i}.csv" for i in range(4)}


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_workers_that_start_end_with_their_launcher(raw, tmp_path, signum):
    process = start(raw, tmp_path / "out")
    wait_until(lambda: list_workers(tmp_path / "out"))
    process.send_signal(signum)
    _, errors = process.communicate(timeout=20)  # workers would hold its output open
    wait_until(lambda: not list_workers(tmp_path / "out"), seconds=5)
    if signum == signal.SIGTERM:
        assert (process.returncode, errors) == (143, "padless preprocess: terminated\n")
        assert {path.name for path in tmp_path.iterdir()} == {f"{i}.csv" for i in range(4)}
