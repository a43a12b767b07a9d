"""Ctrl-C: the exit code of an interrupt, one line, nothing left."""

import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from padless.beam_jobs.engine.interrupts import interrupts_unwrapped
from padless.beam_jobs.engine.quiet import beam_quieted

LOGGER = logging.getLogger("apache_beam.runners.common")


def fail_as_beam_does(error):
    """Does what `DoFnRunner` does with an exception of a step."""
    try:
        raise error
    except BaseException as cause:
        LOGGER.exception(cause)
        raise RuntimeError(f"{type(cause).__name__} [while running 'x']") from None


def test_a_wrapped_interrupt_is_raised_and_not_logged(caplog):
    with pytest.raises(KeyboardInterrupt), beam_quieted(), interrupts_unwrapped():
        fail_as_beam_does(KeyboardInterrupt())
    assert not caplog.records


def test_an_error_of_a_step_stays_and_is_logged(caplog):
    with pytest.raises(RuntimeError, match="OSError"), beam_quieted(), interrupts_unwrapped():
        fail_as_beam_does(OSError("full"))
    assert len(caplog.records) == 1
    assert not LOGGER.filters


def wait_for_staging(directory, process):
    """Waits until the job has made its staging directory and then until it reads."""
    for _ in range(300):
        if any("incomplete" in name for name in os.listdir(directory)) or process.poll():
            break
        time.sleep(0.1)
    time.sleep(1)


def test_an_interrupted_job_ends_in_one_line_and_leaves_nothing(tmp_path):
    with (tmp_path / "big.csv").open("w") as file:
        file.write("key,time,x\n")
        file.writelines(f"{i // 50},{i},{i % 7}\n" for i in range(1_500_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "padless.cli.main", "preprocess", "big.csv", "--output", "x"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_staging(tmp_path, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "padless preprocess: interrupted\n")
    assert os.listdir(tmp_path) == ["big.csv"]
