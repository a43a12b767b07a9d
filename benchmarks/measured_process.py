"""Runs a command and measures it: wall time, CPU time and the peak of its memory, children too."""

import os
import pathlib
import subprocess
import threading
import time
from typing import NamedTuple

_SECONDS_BETWEEN_SAMPLES = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Measured(NamedTuple):
    """The seconds and CPU seconds of a command, and the peak MiB of all its processes together."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def run_measured(command):
    """Runs a command to its end; its output is kept, its errors are shown."""
    before, started = os.times(), time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = [0]
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watch.start()
    output, _ = process.communicate()
    done.set()
    watch.join()
    if process.returncode:
        raise SystemExit(f"{command}: exit code {process.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Measured(time.monotonic() - started, cpu, peak[0] / 2**20, output)


def _watch(pid, peak, done):
    while not done.wait(_SECONDS_BETWEEN_SAMPLES):
        peak[0] = max(peak[0], sum(map(_resident_bytes, _family(pid))))


def _family(pid):
    yield pid
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _family(int(child))


def _resident_bytes(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0
