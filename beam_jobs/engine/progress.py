"""How much the workers of a running job have done so far.

Beam's local runners report nothing before a job is done. Each worker therefore keeps its counts in
a small file of the staging directory, and the launching process adds them up. A step that runs
twice counts twice: the truth is in the report.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from padless.pipeline.progress import Progress, ShowProgress, ignore_progress
from padless.pipeline.written_whole import is_unfinished, written_whole

_DIRECTORY = "progress"
_SECONDS_BETWEEN_WRITES = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class JobCounts:
    """What all workers have done.

    Attributes:
        read: records that were read: rows of long tables, else sequences.
        accepted: sequences that were accepted.
        rejected: sequences that were rejected.
        written: sequences that were written into shards.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    written: int = 0

    def describe(self) -> Progress:
        """Returns it in the form that all long work of padless reports."""
        note = f"accepted {self.accepted:,} sequences, rejected {self.rejected:,}"
        return Progress(
            "preprocess", self.read, None, "records", f"{note}, written {self.written:,}"
        )


class WorkerCounts:
    """Counts what one worker has done.

    Args:
        temporary: directory for temporary files, on this machine, or None to write no counts.
    """

    def __init__(self, temporary: str | None):
        self._path = temporary and os.path.join(temporary, _DIRECTORY, uuid.uuid4().hex)
        self._counts: collections.Counter[str] = collections.Counter()
        self._due = 0.0

    def add(self, **counts: int) -> None:
        """Adds to the counts; writes them if they were not just written."""
        self._counts.update(counts)
        if self._path and time.monotonic() >= self._due:
            self.write()

    def write(self) -> None:
        """Writes the counts; if that fails, as on a full disk, the job continues without them."""
        if not self._path:
            return
        with contextlib.suppress(OSError):
            # Not with its parents: a worker must not make the directory of an ended job again.
            with contextlib.suppress(FileExistsError):
                os.mkdir(os.path.dirname(self._path))
            with written_whole(pathlib.Path(self._path)) as beside:
                beside.write_text(json.dumps(self._counts), encoding="utf-8")
        self._due = time.monotonic() + _SECONDS_BETWEEN_WRITES


@contextlib.contextmanager
def watched(
    temporary: str,
    progress: ShowProgress,
    describe: Callable[[JobCounts], Progress] = JobCounts.describe,
) -> Iterator[None]:
    """Reports the sum of all workers' counts, again and again, while the job runs.

    The last report has all of its total done, unless the job has failed.

    Args:
        temporary: directory for temporary files of the job.
        progress: called with the reports.
        describe: makes a report of the counts.
    """
    if progress is ignore_progress:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_SECONDS_BETWEEN_WRITES):
            progress(describe(read_counts(temporary)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    is_over = False
    try:
        yield
        is_over = True
    finally:
        done.set()
        thread.join()
        last = describe(read_counts(temporary))
        progress(dataclasses.replace(last, total=last.done) if is_over else last)


def read_counts(temporary: str) -> JobCounts:
    """Adds up what the workers have written."""
    total: collections.Counter[str] = collections.Counter()
    directory = os.path.join(temporary, _DIRECTORY)
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if not is_unfinished(name):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    total.update(json.load(file))
    return JobCounts(**total)
