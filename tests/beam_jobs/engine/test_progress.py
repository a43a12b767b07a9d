"""What workers have done so far, added up while the job runs."""

import dataclasses
import itertools
import time

import pytest

from padless.beam_jobs import preprocess
from padless.beam_jobs.engine.progress import JobCounts, WorkerCounts, read_counts, watched


def test_the_counts_of_all_workers_are_added_up(tmp_path):
    workers = [WorkerCounts(str(tmp_path)) for _ in range(3)]
    for worker in workers:
        worker.add(read=5)
        worker.add(read=2, accepted=1)
        worker.write()
    assert read_counts(str(tmp_path)) == JobCounts(read=21, accepted=3)


def test_counts_are_not_written_for_each_record(tmp_path):
    worker = WorkerCounts(str(tmp_path))
    worker.add(read=1)
    worker.add(read=1)
    assert read_counts(str(tmp_path)).read == 1


def test_workers_elsewhere_count_for_nobody(tmp_path):
    worker = WorkerCounts(None)
    worker.add(read=1)
    worker.write()
    assert read_counts(str(tmp_path)) == JobCounts()


def test_a_directory_that_is_gone_stops_nothing(tmp_path):
    worker = WorkerCounts(str(tmp_path / "gone" / "file"))
    (tmp_path / "gone").touch()
    worker.add(read=1)


def test_progress_is_shown_while_the_work_runs(tmp_path):
    shown = []
    with watched(str(tmp_path), shown.append):
        WorkerCounts(str(tmp_path)).add(read=4)
        time.sleep(1.2)
    assert len(shown) > 2
    last = JobCounts(read=4).describe()
    assert last in shown
    assert not last.is_over
    assert shown[-1] == dataclasses.replace(last, total=4)
    assert shown[-1].is_over


def test_work_that_fails_is_not_over(tmp_path):
    shown = []
    WorkerCounts(str(tmp_path)).add(read=4)
    with pytest.raises(KeyboardInterrupt), watched(str(tmp_path), shown.append):
        raise KeyboardInterrupt
    assert shown[-1] == JobCounts(read=4).describe()


def test_counts_are_said_as_all_progress_is():
    counts = JobCounts(read=12_000, accepted=300, rejected=2, written=100)
    assert str(counts.describe()) == (
        "preprocess: 12,000 records, accepted 300 sequences, rejected 2, written 100"
    )


def test_a_job_shows_what_it_has_done(make_options, write_csv):
    rows = [(key, step, step, 1) for key in range(4000) for step in range(20)]
    shown = []
    preprocess(make_options(write_csv("x.csv", rows)), progress=shown.append)
    assert shown
    assert 0 < shown[-1].done <= 80_000
    assert [one.is_over for one in shown] == [False] * (len(shown) - 1) + [True]
    assert all(one.done <= other.done for one, other in itertools.pairwise(shown))
