"""No line of a result or of a help is wider than the terminal, or 80 columns without one."""

import logging
import os

import pytest

from padless.cli import messages
from padless.cli.main import COMMANDS

WIDE = "word " * 40


def too_wide(text, width=80):
    return [line for line in text.splitlines() if len(line) > width and " " in line.strip()]


@pytest.mark.parametrize("command", [(), *((command,) for command in COMMANDS)])
def test_a_help_is_no_wider_than_80_columns(call, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    helped = call(*command, "--help")
    assert helped.code == 0
    assert too_wide(helped.out) == []


def test_results_are_no_wider_than_80_columns(call, trained, tmp_path):
    columns = ("--feature-columns", "x,y")
    picture = ("--picture", tmp_path / "report.png")
    for argv in (
        ("preprocess", trained.raw, "--output", tmp_path / "data", "--label-column", "kind"),
        ("preprocess", trained.raw, "--output", tmp_path / "short", *columns, "--max-length", 5),
        ("verify", trained.data),
        ("plan", trained.data, "--buckets", "--order", 1),
        ("train", trained.data, "--run", tmp_path / "run", "--epochs", 1, "--units", 4),
        ("report", trained.run, *picture),
        ("score", trained.run, trained.data, "--output", tmp_path / "scores.parquet"),
    ):
        done = call(*argv)
        assert done.code == 0, done.err
        assert too_wide(done.out) == [], argv


@pytest.fixture
def terminal(monkeypatch):
    """Makes both streams a terminal of 40 columns."""
    monkeypatch.setattr(messages, "_is_terminal", lambda stream: True)
    monkeypatch.setattr(messages.shutil, "get_terminal_size", lambda: os.terminal_size((40, 20)))


def test_a_terminal_is_filled(capsys, terminal):
    messages.show(WIDE)
    with messages.messages_shown("plan"):
        logging.getLogger("padless").warning(WIDE)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert max(map(len, text.splitlines())) in range(36, 41)


def test_a_message_in_a_log_is_one_line(capsys):
    with messages.messages_shown("plan"):
        logging.getLogger("padless").warning(WIDE)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_word_is_cut_and_what_fits_stays_as_it_is():
    path = "/a-folder/of-its-own" * 6
    assert messages.fold(f"  rejected: {path} here") == f"  rejected:\n    {path}\n    here"
    assert messages.fold("a   table\n\n  of  rows") == "a   table\n\n  of  rows"
