"""The examples at the end of each help, run in the order of the work."""

import contextlib
import importlib
import shlex
import shutil

import numpy as np
import pytest

from padless.cli.main import COMMANDS, _parse, main

ORDER = ("preprocess", "verify", "plan", "train", "embed", "score", "report", "export")

# What takes less time: of an option given twice, the last one counts. The second training resumes
# a copy of the first; `test_train.py` begins one with two replicas, and one with `--resume`.
SHORTER = {
    "train": shlex.split("--epochs 2 --batch-size 16 --units 16 --latent-size 8 --replicas 1")
}


def examples_of(command):
    return importlib.import_module(f"padless.cli.{command}").EXAMPLES


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_two_and_right_usage(command):
    for example in examples_of(command):
        program, *argv = shlex.split(example)
        assert program == "padless"
        assert _parse(argv).command == command
    assert len(examples_of(command)) == 2


def write_runs(path, keys, seed):
    rng = np.random.default_rng(seed)
    lines = ["key,time,x,y,machine"]
    for key in keys:
        for t in range(rng.integers(3, 9)):
            lines.append(f"{key},{t},{np.sin(t):.3f},{rng.normal():.3f},m{key % 2}")
    path.write_text("\n".join(lines))


def test_examples_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="an example draws a picture")
    write_runs(tmp_path / "runs.csv", range(40), 0)
    write_runs(tmp_path / "new_runs.csv", range(100, 105), 1)
    monkeypatch.chdir(tmp_path)
    for command in ORDER:
        for example in examples_of(command):
            code = None
            with contextlib.suppress(SystemExit):
                code = main([*shlex.split(example)[1:], *SHORTER.get(command, ())])
            assert code == 0, f"{example}\n{capsys.readouterr().err}"
            if command == "train" and not (tmp_path / "small").exists():
                shutil.copytree(tmp_path / "run", tmp_path / "small")
    for name in (
        "embeddings.parquet",
        "new_scores.parquet",
        "report.png",
        "report.html",
        "model.onnx",
    ):
        assert (tmp_path / name).stat().st_size > 1000
