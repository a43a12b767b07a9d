"""No line of a result or of a help is wider than the terminal, and without one each is one line."""

import logging
import os
import shutil

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


@pytest.fixture
def terminal(monkeypatch):
    """Makes both streams a terminal of so many columns."""
    monkeypatch.setattr(messages, "_is_terminal", lambda stream: True)

    def columns(number):
        size = os.terminal_size((number, 20))
        monkeypatch.setattr(messages.shutil, "get_terminal_size", lambda: size)

    return columns


def test_results_are_no_wider_than_the_terminal(call, trained, tmp_path, terminal):
    terminal(80)
    columns = ("--feature-columns", "x,y")
    picture = ("--picture", tmp_path / "report.png")
    run = shutil.copytree(trained.run, tmp_path / "run")
    for argv in (
        ("preprocess", trained.raw, "--output", tmp_path / "data", "--label-column", "kind"),
        ("preprocess", trained.raw, "--output", tmp_path / "short", *columns, "--max-length", 5),
        ("verify", trained.data),
        ("plan", trained.data, "--buckets", "--order", 1),
        ("train", trained.data, "--run", run, "--resume"),  # finished: it says what it came to
        ("report", trained.run, *picture),
        ("score", trained.run, trained.data, "--output", tmp_path / "scores.parquet"),
    ):
        done = call(*argv)
        assert done.code == 0, done.err
        assert too_wide(done.out) == [], argv


def test_a_terminal_is_filled(capsys, terminal):
    terminal(40)
    messages.show(WIDE)
    with messages.messages_shown("plan"):
        logging.getLogger("padless").warning(WIDE)
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        assert max(map(len, text.splitlines())) in range(36, 41)


def test_without_a_terminal_each_is_one_line(capsys):
    messages.show(WIDE)
    with messages.messages_shown("plan"):
        logging.getLogger("padless").warning(WIDE)
    shown = capsys.readouterr()
    assert [len(text.splitlines()) for text in (shown.out, shown.err)] == [1, 1]


def test_no_word_is_cut_and_what_fits_stays_as_it_is():
    path = "/a-folder/of-its-own" * 6
    assert messages.fold(f"  rejected: {path} here", 80) == f"  rejected:\n    {path}\n    here"
    assert messages.fold("a   table\n\n  of  rows", 80) == "a   table\n\n  of  rows"
