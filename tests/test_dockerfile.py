"""The Dockerfile: its commands, run in an environment of their own, as no engine is at hand."""

import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def instructions(name):
    """Returns what follows each instruction of this name."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def ignored(folder, names):
    """Returns which of the names in a folder `.dockerignore` leaves out."""
    patterns = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().split()]
    return [name for name in names if any(fnmatch.fnmatch(name, p) for p in patterns)]


def test_what_is_copied_is_the_source_alone():
    copied = {path.name for path in ROOT.iterdir()} - set(ignored(ROOT, os.listdir(ROOT)))
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {path.split("/")[0] for path in listed.splitlines()} >= copied
    assert {"setup.cfg", "README.md", "pipeline", "model", "beam_jobs"} <= copied


def test_the_extras_exist_and_so_does_the_entry_point():
    setup = (ROOT / "setup.cfg").read_text()
    (arguments,) = instructions("ARG")
    for extra in (*arguments.partition("=")[2].split(","), "gpu"):
        assert f"\n{extra} =\n" in setup
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["padless"]
    assert "padless = padless.cli.main:main" in setup


@pytest.mark.slow  # installs all dependencies anew
def test_its_commands_install_padless(tmp_path):
    context, home = tmp_path / "padless", tmp_path / "data"
    shutil.copytree(ROOT, context, ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    home.mkdir()
    extras = dict(argument.split("=") for argument in instructions("ARG"))
    environment = extras | dict(setting.split("=") for setting in instructions("ENV"))
    environment["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    for command in instructions("RUN"):
        command = command.replace("/usr/src/padless", str(context))
        subprocess.run(command, shell=True, env=kept | environment, check=True)
    shutil.rmtree(context)

    def padless(*arguments):
        entry_point = json.loads(instructions("ENTRYPOINT")[0])
        subprocess.run([*entry_point, *arguments], cwd=home, env=environment, check=True)

    rows = (f"{key},{time},{key * time}\n" for key in range(30) for time in range(9))
    (home / "runs.csv").write_text("key,time,x\n" + "".join(rows))
    padless("preprocess", "runs.csv", "--output", "dataset")
    padless("train", "dataset", "--run", "run", "--epochs", "1")
    padless("report", "run", "--html", "report.html")
    assert (home / "report.html").stat().st_size > 100_000
