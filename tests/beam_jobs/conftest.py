"""Small input files in all forms."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules


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
