"""The line of a long job: on a terminal one that is overwritten, elsewhere one a minute."""

import sys

import pytest

from padless.beam_jobs import JobProgress
from padless.cli import progress
from padless.cli.progress import JobProgressLine

PROGRESS = JobProgress(read=12_000, accepted=300, rejected=2, written=100, seconds=4.0)
LINE = "4 s: read 12,000 records (3,000/s), accepted 300 sequences, rejected 2, written 100"


@pytest.fixture
def is_terminal(monkeypatch):
    def pretend(value):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: value, raising=False)

    return pretend


def test_a_short_job_shows_nothing(is_terminal, capsys):
    for value in (True, False):
        is_terminal(value)
        with JobProgressLine() as job:
            job.show(PROGRESS)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_one_line_and_takes_it_away(is_terminal, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0)
    is_terminal(True)
    with JobProgressLine() as job:
        job.show(PROGRESS)
        job.show(PROGRESS)
    assert capsys.readouterr().err == f"\r{LINE}\r{LINE}\r{' ' * len(LINE)}\r"


def test_a_log_gets_a_line_now_and_then(is_terminal, capsys, monkeypatch):
    is_terminal(False)
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0)
    job = JobProgressLine()
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 60)
    for _ in range(3):
        job.show(PROGRESS)
    assert capsys.readouterr().err == f"{LINE}\n"
