"""`padless doctor` through the command line: what it prints, and its exit codes."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from padless.pipeline.diagnosis.tf_dataset.diagnose import CHECKS
from padless.pipeline.diagnosis.tfrecords.diagnose import RECORD_CHECKS

ROOT = pathlib.Path(__file__).resolve().parents[2]

CODE = """
import numpy as np
import tensorflow as tf

print("a print of the user's own")

def make(lengths, **options):
    sequences = [np.full((length, 2), length, np.float32) for length in lengths]
    spec = tf.TensorSpec((None, 2))
    dataset = tf.data.Dataset.from_generator(lambda: sequences, output_signature=spec)
    return dataset.shuffle(100).padded_batch(2, **options)

def trapped():
    return make([2, 3, 4, 5, 6, 7, 8, 9, 10], drop_remainder=True)

def free():
    ragged = tf.ragged.range(np.arange(2, 10))[..., None]
    dataset = tf.data.Dataset.from_tensor_slices(tf.cast(ragged, tf.float32))
    return dataset.shuffle(8).ragged_batch(2)

def endless():
    return make([2, 3]).repeat().map(lambda x: x)
"""


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    (tmp_path / "own_pipeline.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("own_pipeline", None)


def test_a_dataset_with_traps(call, own_code):
    done = call("doctor", "--python", "own_pipeline.py:trapped")
    assert done.code == 1
    assert done.out.splitlines()[0] == "own_pipeline.py:trapped"
    assert "traps found" in done.out
    assert "lost sequences: drop_remainder drops 1 of 9" in done.out
    assert done.err == "a print of the user's own\n"


def test_json_alone_is_on_standard_output(call, own_code):
    done = call("doctor", "--python", "own_pipeline:free", "--json")
    assert (done.code, json.loads(done.out)["ok"]) == (0, True)
    assert done.err == "a print of the user's own\n"


def test_a_dataset_without_traps(call, own_code):
    done = call("doctor", "--python", "own_pipeline:free", "--replicas", 2, "-q")
    assert (done.code, "no trap found" in done.out) == (0, True)
    assert "unequal replicas" in done.out.partition("not found:")[2]


def test_records(call, make_dataset):
    files = make_dataset([3, 4, 5, 6] * 5, num_shards=2).split("train").files
    done = call("doctor", files[0].parent / "*.tfrecord*", "--batch-size", 4)
    assert done.code == 0
    assert "2 files, 20 records" in done.out
    assert "what batches of 4 would cost" in done.out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["doctor"], "give either TFRECORDS or --python MODULE:NAME"),
        (["doctor", "a", "--python", "b:c"], "give either TFRECORDS or --python MODULE:NAME"),
        (["doctor", "a", "--replicas=2"], "--replicas goes with --python, got 2 without it"),
        (["doctor", "a", "--max-batches=2"], "--max-batches goes with --python, got 2 without it"),
        (["doctor", "--python=b:c", "--key=k"], "--key goes with TFRECORDS, got 'k' without it"),
        (["doctor", "--python=b:c", "--batch-size=2"], "--batch-size goes with TFRECORDS, got 2"),
        (["doctor", "--python=b:c", "--replicas=0"], "--replicas must be at least 1, got 0"),
        (["doctor", "--python=b:c", "--max-batches=0"], "--max-batches must be at least 1, got 0"),
        (["doctor", "a", "--batch-size=0"], "--batch-size must be at least 1, got 0"),
    ],
)
def test_bad_usage(call, argv, message):
    answered = call(*argv)
    assert answered.code == 2
    assert message in answered.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["none/*.tfrecord"], "none/*.tfrecord: must match at least one file, it matches none."),
        (["--python", "own_pipeline"], "--python must be MODULE:NAME or FILE.py:NAME"),
        (["--python", "own_pipeline:tarpped"], "Did you mean 'trapped'?"),
        (["--python", "own_pipeline:endless"], "give --max-batches, or leave repeat() out"),
        (["--python", "own_pipeline:free", "--sequence=x"], "--sequence must be one of the"),
    ],
)
def test_what_cannot_be_looked_at(call, own_code, argv, message):
    answered = call("doctor", *argv)
    assert (answered.code, answered.out) == (1, "")
    assert message in answered.err


def test_tensorflow_is_not_imported_for_records(make_dataset):
    (file,) = make_dataset([3, 4, 5, 6]).split("train").files
    code = (
        "import sys; from padless.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", code, "doctor", file], check=True, env=environment)


def test_the_page_shows_what_is_printed(call, tmp_path, monkeypatch):
    page = (ROOT / "docs" / "doctor.md").read_text()
    code, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "input_pipeline.py").write_text(code)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    printed = call("doctor", "--python", "input_pipeline.py:make_dataset").out
    sys.modules.pop("input_pipeline", None)
    report, *_ = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert report in printed
    assert "5 traps found" in printed


def test_the_python_of_the_page_runs(capsys):
    page = (ROOT / "docs" / "doctor.md").read_text()
    namespace = {}
    exec(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1], namespace)
    diagnosis = namespace["diagnosis"]
    assert not diagnosis.ok
    assert diagnosis.findings[0].name == "padding"
    assert "padding: 1.20 timesteps" in capsys.readouterr().out


def test_the_page_names_every_trap():
    page = (ROOT / "docs" / "doctor.md").read_text()
    assert {*CHECKS, *RECORD_CHECKS, "no_second_epoch"} <= set(re.findall(r"`(\w+)`", page))
