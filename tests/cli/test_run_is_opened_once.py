"""No command reads the configuration of a run twice."""

import collections
import json
import os
import shutil
import sys

import pytest

SMALL = ("--units", 4, "--latent-size", 3, "--batch-size", 8, "--epochs", 1, "--quiet")
_opened = None


def _listen(event, arguments):
    if _opened is not None and event == "open" and isinstance(arguments[0], str | os.PathLike):
        path, mode = os.fspath(arguments[0]), arguments[1] or "r"
        if os.path.basename(path) == "config.json" and "r" in mode:
            _opened[path] += 1


@pytest.fixture(scope="session")  # once per process, whatever the order of the tests
def listening():
    """Listens to every file that this process opens; Python has no way to take it back."""
    sys.addaudithook(_listen)


@pytest.fixture
def reads(listening):
    """Counts how often each `config.json` is read: path -> number."""
    global _opened  # noqa: PLW0603
    _opened = collections.Counter()
    yield _opened
    _opened = None


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained.run, tmp_path / "run")


def test_reads_are_counted(run, reads):
    for _ in range(2):
        json.loads((run / "config.json").read_text())
    assert reads == {str(run / "config.json"): 2}


@pytest.mark.parametrize("command", ["report", "embed", "score", "score raw", "train"])
def test_a_command_reads_the_configuration_once(call, trained, run, reads, tmp_path, command):
    output = ("--output", tmp_path / "out.parquet")
    argv = {
        "report": ("report", run),
        "embed": ("embed", run, trained.data, *output),
        "score": ("score", run, trained.data, *output),
        "score raw": ("score", run, trained.raw, "--label-column", "kind", *output),
        "train": ("train", trained.data, "--run", run, "--resume"),
    }[command]
    done = call(*argv)
    assert done.code == 0, done.err
    assert reads == {str(run / "config.json"): 1}


def test_a_new_run_reads_no_configuration(call, trained, reads, tmp_path):
    done = call("train", trained.data, "--run", tmp_path / "new", *SMALL)
    assert done.code == 0, done.err
    assert reads == {}


def test_compare_reads_each_configuration_once(call, trained, reads, tmp_path, compared_here):
    runs = tmp_path / "runs"
    chosen = ("--alignments", "dynamic_repeat,padded", "--runs", runs)
    assert call("compare", trained.data, *SMALL, *chosen).code == 0
    assert reads == {str(runs / name / "config.json"): 1 for name in ("dynamic_repeat", "padded")}
