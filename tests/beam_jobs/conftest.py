"""Small input files in all forms."""

import csv
import dataclasses
import hashlib
import json
import pathlib
import threading

import numpy as np
import pytest

from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules
from padless.pipeline.dataset.directory import open_dataset
from padless.pipeline.dataset.framing import read_records


@pytest.fixture
def write_csv(tmp_path):
    def write(name, rows, header=("key", "time", "x", "y")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
        return str(tmp_path / name)

    return write


@pytest.fixture
def write_jsonl(tmp_path):
    def write(name, records):
        (tmp_path / name).write_text("".join(f"{json.dumps(record)}\n" for record in records))
        return str(tmp_path / name)

    return write


@pytest.fixture
def write_npz(tmp_path):
    def write(name, arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return write


def pick(kind, options):
    """Takes the options of one kind out of all."""
    names = {field.name for field in dataclasses.fields(kind)} & options.keys()
    return {name: options.pop(name) for name in names}


@pytest.fixture
def make_options(tmp_path):
    """Makes options for one test, each named without saying which part it belongs to."""

    def make(*inputs, **options):
        return PreprocessOptions(
            inputs=inputs or ("x.csv",),
            output=Output(**{"directory": str(tmp_path / "out")} | pick(Output, options)),
            columns=Columns(**pick(Columns, options)),
            rules=Rules(**pick(Rules, options)),
            **options,
        )

    return make


@pytest.fixture(scope="session")
def failing_thread():
    """Makes a thread that a package has started, by default Beam, and that raises an error."""

    def make(error, package="apache_beam", name=None):
        scope = {"__name__": f"{package}.module", "error": error}
        exec("def fail():\n    raise error", scope)
        return threading.Thread(target=scope["fail"], name=name)

    return make


@pytest.fixture(scope="session")
def sequences():
    """Forty sequences of 1 to 12 timesteps with 2 features, by key."""
    rng = np.random.default_rng(7)
    return {
        f"run/{i}": rng.normal(size=(rng.integers(1, 13), 2)).astype(np.float32) for i in range(40)
    }


@pytest.fixture(scope="session")
def long_rows(sequences):
    """The same as rows of a CSV file, in a mixed order."""
    rows = [
        (key, time, *map(float, values))
        for key, sequence in sequences.items()
        for time, values in enumerate(sequence)
    ]
    return [rows[i] for i in np.random.default_rng(8).permutation(len(rows))]


@pytest.fixture(scope="session")
def read_split():
    """Reads a split with TensorFlow's own protocol buffers: key -> (values, labels)."""
    import tensorflow as tf

    def read(split):
        content = {}
        for file in split.files:
            for record in read_records(file):
                feature = tf.train.Example.FromString(record).features.feature
                (length,) = feature["length"].int64_list.value
                values = np.array(feature["sequence"].float_list.value, np.float32)
                content[feature["key"].bytes_list.value[0].decode()] = (
                    values.reshape(length, -1),
                    [value.decode() for value in feature["label"].bytes_list.value],
                )
        return content

    return read


@pytest.fixture(scope="session")
def read_all(read_split):
    """Reads all splits of a directory as one."""

    def read(directory):
        splits = map(read_split, open_dataset(directory).splits.values())
        return {key: value for split in splits for key, value in split.items()}

    return read


@pytest.fixture(scope="session")
def read_rejects():
    def read(directory):
        path = pathlib.Path(directory) / "rejects" / "rejects-00000-of-00001.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read


@pytest.fixture(scope="session")
def digest():
    """Gives the hash of every file below a directory."""

    def take(directory):
        directory = pathlib.Path(directory)
        return {
            str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in directory.rglob("*")
            if path.is_file()
        }

    return take
