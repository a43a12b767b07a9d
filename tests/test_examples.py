"""The examples, on the data that lies beside them."""

import collections
import contextlib
import csv
import json
import os
import pathlib
import re
import runpy
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import Columns, Output, PreprocessOptions, preprocess
from padless.cli.main import main
from padless.model import open_run
from padless.pipeline import open_dataset

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
STRICT = ("-W", "error:Your input ran out of data:UserWarning")
# None in `sys.modules` makes every import of that name a ModuleNotFoundError.
WITHOUT_PADLESS = """
import runpy, sys
sys.modules["padless"] = None
sys.argv = sys.argv[1:]
for script in sys.argv[0].split(","):
    print("script", script)
    runpy.run_path(script, run_name="__main__")
"""


@pytest.fixture(scope="session")
def vowels(tmp_path_factory):
    output = tmp_path_factory.mktemp("examples") / "vowels"
    report = preprocess(
        PreprocessOptions(
            inputs=(EXAMPLES / "japanese_vowels" / "train.csv",),
            output=Output(output, splits={"train": 0.8, "validation": 0.2}),
            columns=Columns(label="speaker"),
        )
    )
    assert report.accepted == report.read == 270
    return open_dataset(output), output


@pytest.fixture(scope="session")
def small_run(vowels, tmp_path_factory):
    """The directory of a small run on the vowels."""
    run = tmp_path_factory.mktemp("small") / "run"
    options = ("--epochs=1", "--units=4", "--latent-size=2", "--quiet")
    assert main(["train", str(vowels[1]), "--run", str(run), *options]) == 0
    return run


@pytest.fixture(scope="session")
def python_path(tmp_path_factory):
    """A folder where `padless` is this checkout, installed or not."""
    folder = tmp_path_factory.mktemp("python_path")
    link_packages = [sys.executable, str(ROOT / "tests" / "link_packages.py"), str(folder)]
    subprocess.run(link_packages, check=True)
    return folder


@pytest.fixture
def run(python_path, tmp_path):
    """Runs a script in an empty folder; a warning to its user, such as Keras', is an error."""

    def run_script(script, *args, without_padless=False):
        options = [*STRICT, *(["-c", WITHOUT_PADLESS] * without_padless)]
        return subprocess.run(
            [sys.executable, *options, str(script), *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(python_path), "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_script


@pytest.fixture
def run_alone(run):
    """Runs an example in a process of its own, which must succeed; returns what it prints."""

    def run_script(name, *args, **options):
        done = run(EXAMPLES / name, *args, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run_script


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """Runs an example as a script, but in this process, and returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def run_script(name, *args):
        script = str(EXAMPLES / name)
        monkeypatch.setattr(sys, "argv", [script, *map(str, args)])
        capsys.readouterr()
        runpy.run_path(script, run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.mark.parametrize(
    ("file", "sequences", "timesteps", "longest"),
    [("train.csv", 270, 4274, 26), ("test.csv", 370, 5687, 29)],
)
def test_japanese_vowels_are_as_their_origin_says(file, sequences, timesteps, longest):
    with (EXAMPLES / "japanese_vowels" / file).open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    lengths = collections.Counter(row["key"] for row in rows)
    assert (len(lengths), len(rows)) == (sequences, timesteps)
    assert (min(lengths.values()), max(lengths.values())) == (7, longest)
    assert {row["speaker"] for row in rows} == set("123456789")
    assert all(row["key"].split("/")[1] == f"speaker{row['speaker']}" for row in rows)


def test_without_padless_padless_cannot_be_imported(run, tmp_path):
    (tmp_path / "script.py").write_text("import padless.pipeline")
    assert run("script.py").returncode == 0
    assert "ModuleNotFoundError" in run("script.py", without_padless=True).stderr


@pytest.fixture(scope="module")
def consumed(vowels, tmp_path_factory):
    """What the consumers print that do without padless, one after another in one process."""
    scripts = [EXAMPLES / f"consume_{name}.py" for name in ("tfrecords", "tfds")]
    done = subprocess.run(
        [
            sys.executable,
            *STRICT,
            "-c",
            WITHOUT_PADLESS,
            ",".join(map(str, scripts)),
            str(vowels[1]),
        ],
        cwd=tmp_path_factory.mktemp("consumed"),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return re.split(r"^script .*\n", done.stdout, flags=re.MULTILINE)[1:]


def test_consume_tfrecords_reads_every_sequence_without_padding(vowels, consumed):
    dataset, printed = vowels[0], consumed[0]
    sequences = collections.Counter()
    for rows, timesteps in re.findall(r"^batch \((\d+), (\d+), 12\)", printed, re.MULTILINE):
        sequences[int(timesteps)] += int(rows)
    split = dataset.split("train")
    timesteps = sum(length * count for length, count in split.lengths.items())
    assert sequences == split.lengths
    assert printed.endswith(f"\n{split.num_sequences} sequences, {timesteps} timesteps, 0 padded\n")


def test_consume_tfds_prints_features_splits_and_lengths(vowels, consumed):
    dataset, printed = vowels[0], consumed[1]
    assert "feature sequence: Tensor(shape=(None, 12), dtype=float32)\n" in printed
    for name, split in dataset.splits.items():
        assert f"split {name}: {split.num_sequences} sequences in 1 shards\n" in printed
    lengths = re.findall(r"^sequence train/\S+: length (\d+), shape \(\1, 12\)$", printed, re.M)
    assert len(lengths) == 5


def test_train_own_model_learns_the_speakers(vowels, run_here):
    printed = run_here("train_own_model.py", vowels[1])
    accuracy = [float(value) for value in re.findall(r"accuracy (\d\.\d+)", printed)]
    *training, validation = accuracy
    assert len(training) == 8
    assert training[-1] > max(0.9, training[0])
    assert validation > 0.8


def test_classify_sequences_learns_the_speakers_without_padding(run_here):
    printed = run_here("classify_sequences.py")
    *training, test = (float(value) for value in re.findall(r"accuracy (\d\.\d+)", printed))
    assert len(training) == 6
    assert training[-1] > max(0.95, training[0])
    assert test > 0.9


def test_draw_scores_draws_from_the_least_to_the_most_anomalous(small_run, run_here, tmp_path):
    header, *rows = (EXAMPLES / "japanese_vowels" / "test.csv").read_text().splitlines()
    some = sorted({row.partition(",")[0] for row in rows})[::12]
    rows = [row for row in rows if row.partition(",")[0] in some]
    (tmp_path / "test.csv").write_text("\n".join([header, *rows]) + "\n")
    printed = run_here("draw_scores.py", small_run, "test.csv", "--label-column", "speaker")
    scores = [float(score) for score in re.findall(r": score (\d+\.\d+), p-value", printed)]
    assert len(scores) == 3
    assert scores == sorted(scores)
    assert scores[0] < 1 < scores[2]
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_fit_autoencoder_learns_to_reconstruct(vowels, run_here):
    printed = run_here("fit_autoencoder.py", vowels[1])
    losses = re.findall(r"^epoch \d: loss (\d\.\d+), validation (\d\.\d+)$", printed, re.MULTILINE)
    training, validation = (list(map(float, column)) for column in zip(*losses, strict=True))
    assert len(training) == 8
    assert training[-1] < 0.7 * training[0]
    assert validation[-1] < 0.7 * validation[0]
    assert "anomaly_score (AnomalyScore)" in printed
    assert len(re.findall(r"^unusual: \S+, error \d+\.\d+$", printed, re.MULTILINE)) == 3


def test_torch_batches_learn_the_speakers(run_alone):
    pytest.importorskip("torch")
    printed = run_alone("torch_batches.py")
    found = re.findall(r"^(.+): (\d+) batches per epoch, test accuracy (\d\.\d+)$", printed, re.M)
    assert [name for name, *_ in found] == ["one length", "many lengths"]
    assert all(float(accuracy) > 0.85 for *_, accuracy in found)


def test_grain_batches_have_every_sequence(run_alone):
    pytest.importorskip("grain")
    printed = run_alone("grain_batches.py").splitlines()
    assert len(printed) == 2
    assert all(
        re.search(r" batches, 270 sequences, the first \(\d+, \d+, 12\)$", line) for line in printed
    )


@pytest.fixture
def served(small_run):
    """Serves the model of a small run; yields its address and the run."""
    for name in ("fastapi", "uvicorn"):
        pytest.importorskip(name)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [EXAMPLES / "serve.py", small_run / "saved_model", "--port", port]
    process = subprocess.Popen(
        [sys.executable, "-c", WITHOUT_PADLESS, *map(str, command)], stderr=subprocess.PIPE
    )
    with process, contextlib.closing(process.stderr):
        for line in process.stderr:
            if b"running on" in line:
                break
        yield f"http://127.0.0.1:{port}/score", small_run
        process.terminate()


def post(address, sequences):
    data = json.dumps({"sequences": sequences}).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_serve_scores_sequences_of_many_lengths_as_padless_does(served, vowels, tmp_path):
    address, run = served
    output = tmp_path / "scores.parquet"
    assert open_run(run).write_scores(vowels[0], output, splits=["validation"]) > 30
    table = pq.read_table(output).slice(0, 12).to_pydict()
    with (EXAMPLES / "japanese_vowels" / "train.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    sequences = collections.defaultdict(list)
    for row in rows:
        sequences[row["key"]].append([float(row[f"c{i}"]) for i in range(1, 13)])
    answer = post(address, [sequences[key] for key in table["key"]])
    assert len({*table["length"]}) > 3
    for name in ("score", "p_value", "error"):
        np.testing.assert_allclose(answer[name], table[name], rtol=1e-4)
    for wrong in ([], [[]], [[[1.0]]]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(address, wrong)
        assert "12 features" in caught.value.read().decode()
