"""No command reads the configuration of a run twice."""

import json
import shutil

import pytest


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
