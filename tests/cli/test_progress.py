"""What is shown of long work: a bar on a terminal, elsewhere a line per minute."""

import os
import pty
import re
import subprocess
import sys

import pytest

from padless.cli import progress as display
from padless.cli.progress import ProgressLines, progress_shown
from padless.pipeline import Progress

# Shows work of known and of unknown size, prints a message meanwhile, and then a result.
PLAY = """
import logging, sys, time
from padless.cli import progress as display
from padless.cli.messages import messages_shown
from padless.cli.progress import progress_shown
from padless.pipeline import Progress
display._QUIET_SECONDS = display._REDRAW_SECONDS = 0
with messages_shown("train"), progress_shown() as show:
    for step in range(51):
        show(Progress("epoch 1/3", step, 100, "steps", "loss 0.2500"))
    logging.getLogger("padless.model").info("a message")
    show(Progress("epoch 1/3", 100, 100, "steps", "loss 0.2500"))
    show(Progress("preprocess", 12000, None, "records", "rejected 2"))
print("result")
"""


def play_on_terminal(columns, **variables):
    """Returns what a terminal of so many columns gets, standard output and standard error."""
    outer, inner = pty.openpty()
    path = os.pathsep.join(p for p in sys.path if p)
    variables = {"TERM": "xterm", "COLUMNS": str(columns), "PYTHONPATH": path} | variables
    environment = {n: v for n, v in os.environ.items() if n != "NO_COLOR"} | variables
    command = [sys.executable, "-c", PLAY]
    process = subprocess.Popen(command, stdout=inner, stderr=inner, env=environment)
    os.close(inner)
    written = b""
    try:
        while part := os.read(outer, 65536):
            written += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(outer)
    assert process.wait() == 0
    return written.decode()


def plain(text):
    """Removes what moves the cursor and what colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def drawn(text):
    """Lists what was in a terminal's last line, one after the other."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain(text)) if line.strip()]


@pytest.fixture(scope="module")
def wide():
    return play_on_terminal(100)


def test_a_terminal_shows_bar_steps_time_left_note_and_rate(wide):
    line = [line for line in drawn(wide) if "50 of 100" in line][-1]
    assert re.fullmatch(
        r"epoch 1/3 ━+[╸╺]?━+ 50 of 100 steps  [\d.]+ s left  loss 0\.2500  [\d,]+ steps/s", line
    )


def test_work_of_unknown_size_has_no_bar(wide):
    lines = {line for line in drawn(wide) if "records" in line}
    assert lines == {"preprocess 12,000 records  0.0 s  rejected 2"}


def test_a_message_is_above_the_bar_and_the_bar_is_gone_in_the_end(wide):
    lines = drawn(wide)
    assert "a message" in lines
    assert lines[-1] == "result"
    # The line before is erased, and the cursor stays visible.
    assert "\x1b[2K" in wide.rpartition("records")[2]
    assert wide.rfind("\x1b[?25h") > wide.rfind("\x1b[?25l")


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_a_narrow_terminal_shows_what_fits_in_one_line(columns):
    lines = [line for line in drawn(play_on_terminal(columns)) if line.startswith("epoch")]
    assert max(map(len, lines)) < columns
    assert ("50 of 100 steps" in lines[-1]) == (columns > 20)
    assert ("loss" in lines[-1]) == (columns >= 80)


def test_no_color_leaves_the_bar_without_colours():
    assert not re.search(
        r"\x1b\[[0-9;]*(3[0-9]|9[0-7])[0-9;]*m", play_on_terminal(80, NO_COLOR="1")
    )


def test_a_dumb_terminal_gets_lines():
    assert play_on_terminal(80, TERM="dumb").split() == ["a", "message", "result"]


def test_a_log_gets_a_line_per_minute_of_the_same_work(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    with progress_shown() as show:
        assert isinstance(show, ProgressLines)
        for step in range(10):
            show(Progress("epoch 1/3", 900 + step, 1000, "steps", "loss 0.2500"))
            now += 25.0
        show(Progress("epoch 2/3", 0, 1000, "steps"))
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/3: 903 of 1,000 steps, 40:25 min left, loss 0.2500, 25.0 s/step",
        "epoch 1/3: 906 of 1,000 steps, 39:10 min left, loss 0.2500, 25.0 s/step",
        "epoch 1/3: 909 of 1,000 steps, 37:55 min left, loss 0.2500, 25.0 s/step",
    ]


def test_a_log_gets_a_line_per_minute_of_a_job(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(display.time, "monotonic", lambda: now)
    with progress_shown() as show:
        for read in (0, 12_000):
            show(Progress("preprocess", read, None, "records", "accepted 300 sequences"))
            now += 60.0
    assert capsys.readouterr().err == (
        "preprocess: 12,000 records, 1:00 min, accepted 300 sequences, 200 records/s\n"
    )


def test_quiet_shows_nothing(capsys, monkeypatch):
    monkeypatch.setattr(display, "_LINE_SECONDS", 0)
    with progress_shown(quiet=True) as show:
        show(Progress("epoch 1/3", 1, 3, "steps"))
    assert capsys.readouterr() == ("", "")
