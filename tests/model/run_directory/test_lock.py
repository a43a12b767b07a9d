"""One process at a time, and none that has died."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from padless.model.run_directory import lock


def test_the_lock_is_there_while_it_is_held(tmp_path):
    with lock.locked(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []
    with lock.locked(tmp_path):
        pass


def test_the_lock_of_a_running_process_is_respected_and_that_of_a_killed_one_is_not(tmp_path):
    script = """
        import contextlib, pathlib, runpy, sys, time
        lock = runpy.run_path(sys.argv[1])
        with lock["locked"](pathlib.Path(sys.argv[2])):
            print("held", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), lock.__file__, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        message = f"{tmp_path}: the run directory is written by process {process.pid} on .* Wait"
        with pytest.raises(RuntimeError, match=message), lock.locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "lock").exists()
    with lock.locked(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()
