"""`--static-columns`: numbers of a whole sequence, from the raw file into the embedding."""

import csv
import types

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.model import load_model
from padless.pipeline import open_dataset

SMALL = ("--epochs", 1, "--units", 3, "--latent-size", 2, "--batch-size", 8)


def write_csv(path, ages, weight="50", *, delimiter=","):
    """Writes 40 sequences with the columns `age` and `weight`."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["key", "time", "x", "weight", "age"])
        for i in range(40):
            for time in range(rng.integers(3, 7)):
                writer.writerow([f"k{i}", time, rng.integers(99), weight, ages[i]])
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset with two static columns, of which one is constant, and a run on it."""
    from padless.cli.main import main

    folder = tmp_path_factory.mktemp("static")
    ages = np.random.default_rng(1).integers(20, 90, 40) / 2
    raw = write_csv(folder / "raw.csv", ages)
    paths = types.SimpleNamespace(raw=raw, data=folder / "data", run=folder / "run", ages=ages)
    splits = ("--splits", "train=0.7,validation=0.3")
    static = ("--static-columns", "age,weight")
    for argv in (
        ("preprocess", raw, "--output", paths.data, *static, *splits),
        ("train", paths.data, "--run", paths.run, "--quiet", *SMALL),
    ):
        assert main(list(map(str, argv))) == 0
    return paths


def test_they_are_carried_and_are_no_features(call, made):
    dataset = open_dataset(made.data)
    assert dataset.static_columns == ("age", "weight")
    assert dataset.feature_names == ("x",)
    assert dataset.record_format.meta_columns == ("age", "weight")
    assert call("verify", made.data).code == 0


def test_they_join_the_embedding_standardized_by_the_training_split(call, made, tmp_path):
    tables = []
    for command, source in (("embed", made.data), ("score", made.data), ("score", made.raw)):
        output = tmp_path / f"{len(tables)}.parquet"
        printed = call(command, made.run, source, "--output", output)
        assert printed.code == 0, printed.err
        tables.append({row["key"]: row for row in pq.read_table(output).to_pylist()})
    embedded, scored, raw = tables
    trained = [row["split"] == "train" for row in scored.values()]
    ages = np.array([made.ages[int(key[1:])] for key in scored])
    expected = (ages - ages[trained].mean()) / ages[trained].std()
    found = np.array([row["embedding"] for row in scored.values()])
    size = load_model(made.run).embedding_size
    assert found.shape == (40, size + 2)
    np.testing.assert_allclose(found[:, size], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[:, size + 1], 0)
    for key, row in scored.items():
        assert (row["age"], row["weight"]) == (str(made.ages[int(key[1:])]), "50")
        assert embedded[key]["embedding"] == pytest.approx(row["embedding"], rel=1e-5, abs=1e-6)
        assert raw[key]["embedding"] == pytest.approx(row["embedding"], rel=1e-5, abs=1e-6)


def test_they_change_no_score(call, made, tmp_path):
    other = write_csv(tmp_path / "other.csv", np.full(40, 1e6))
    tables = []
    for source in (made.raw, other):
        output = tmp_path / f"{source.stem}.parquet"
        assert call("score", made.run, source, "--output", output).code == 0
        tables.append(pq.read_table(output))
    for name in ("score", "p_value", "error"):
        assert tables[0][name] == tables[1][name]
    assert tables[0]["embedding"] != tables[1]["embedding"]


def test_raw_files_must_have_the_columns_of_the_run(call, made, tmp_path):
    (bare := tmp_path / "bare.csv").write_text("key,time,x\na,0,1\na,1,2\n")
    failed = call("score", made.run, bare, "--output", tmp_path / "x.parquet")
    assert failed.code == 1
    assert "must have the column 'age' of --static-columns" in failed.err


def test_the_run_is_told_a_dataset_without_them(call, made, tmp_path):
    argv = ("preprocess", made.raw, "--output", tmp_path / "data")
    assert call(*argv, "--drop-columns", "age,weight").code == 0
    failed = call("embed", made.run, tmp_path / "data", "--output", tmp_path / "x.parquet")
    assert failed.code == 1
    assert "was trained with the static columns 'age' and 'weight', dataset 'data'" in failed.err


def test_decimal_commas_are_read(call, tmp_path):
    raw = write_csv(tmp_path / "raw.csv", ["7,5"] * 39 + ["1.000,5"], delimiter=";")
    argv = ("preprocess", raw, "--output", tmp_path / "data", "--decimal", ",")
    made = call(*argv, "--static-columns", "age")
    assert made.code == 0, made.err
    assert "bad_static 1" in made.out
    assert "'age' must be a finite number, got '1.000,5'" in made.out


def test_a_column_has_one_part(call, made, tmp_path):
    argv = ("preprocess", made.raw, "--output", tmp_path / "data", "--meta-columns", "age")
    failed = call(*argv, "--static-columns", "age")
    assert failed.code == 2
    assert "--static-columns must not hold 'age', which is --meta-columns" in failed.err
