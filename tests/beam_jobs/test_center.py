"""Features far from 0: named where their digits are lost, kept where an offset is subtracted."""

import re

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import Output, WriteDataset, open_raw, preprocess
from padless.beam_jobs.columns import Columns
from padless.pipeline import open_dataset

UTM = 5812345.0


@pytest.fixture(scope="module")
def tracks():
    """Tracks that move by decimetres, 500 km and 5,812 km from the origin."""
    rng = np.random.default_rng(3)
    return {
        f"t{i}": np.round(rng.normal([500000.0, UTM], 0.1, size=(5 + i, 2)), 3) for i in range(20)
    }


@pytest.fixture
def write(tracks, write_csv, write_jsonl, write_npz, tmp_path):
    """Writes the tracks in a form, and returns the path."""

    def write_parquet(name):
        path = tmp_path / name
        values = {"key": list(tracks), "sequence": [t.tolist() for t in tracks.values()]}
        pq.write_table(pa.table(values), path)
        return str(path)

    rows = [(k, t, *xy) for k, track in tracks.items() for t, xy in enumerate(track.tolist())]
    records = [{"key": k, "sequence": t.tolist()} for k, t in tracks.items()]
    forms = {
        "csv": lambda: write_csv("x.csv", rows),
        "jsonl": lambda: write_jsonl("x.jsonl", records),
        "npz": lambda: write_npz("x.npz", tracks),
        "parquet": lambda: write_parquet("x.parquet"),
    }
    return lambda form: forms[form]()


@pytest.mark.parametrize("form", ["csv", "jsonl", "npz", "parquet"])
def test_lost_digits_are_named_and_kept_by_the_remedy(form, write, make_options, tracks, read_all):
    path = write(form)
    names = ["x", "y"] if form == "csv" else ["0", "1"]
    report = preprocess(make_options(path))
    assert [lost.feature for lost in report.lost_digits] == [0, 1]
    remedy = f"--center {names[0]}=500000,{names[1]}=5812345 "
    assert remedy in str(report)
    assert open_dataset(make_options(path).output.directory).offsets is None

    center = {names[0]: 500000, names[1]: UTM}
    options = make_options(path, center=center, overwrite=True)
    report = preprocess(options)
    assert report.lost_digits == ()
    assert "warning" not in str(report)
    assert open_dataset(options.output.directory).offsets == (500000.0, UTM)
    for key, (values, _) in read_all(options.output.directory).items():
        np.testing.assert_allclose(values, tracks[key] - [500000, UTM], atol=2e-8)


def test_one_feature_by_the_first_value_of_the_input(write, make_options, tracks, read_all):
    options = make_options(write("csv"), center={"y": None})
    report = preprocess(options)
    assert [lost.feature for lost in report.lost_digits] == [0]
    first = float(f"{tracks['t0'][0, 1]:.7g}")
    assert open_dataset(options.output.directory).offsets == (0.0, first)
    values, _ = read_all(options.output.directory)["t3"]
    np.testing.assert_array_equal(values[:, 0], tracks["t3"][:, 0].astype(np.float32))
    np.testing.assert_allclose(values[:, 1], tracks["t3"][:, 1] - first, atol=2e-8)


def test_raw_files_are_centered_as_the_run_was(write, tracks):
    columns = Columns(center={"0": 500000, "1": UTM})
    with open_raw([write("npz")], columns=columns) as raw:
        assert raw.dataset.offsets == (500000.0, UTM)
        deviation = np.concatenate(list(tracks.values())).std(axis=0)
        with pytest.raises(KeyError):
            raw.dataset.splits["train"]
        assert raw.report.lost_digits == ()
    assert (deviation < 0.2).all()


def test_write_dataset_subtracts_offsets(tracks, tmp_path, read_all):
    output = Output(str(tmp_path / "out"), splits={"train": 1})
    with beam.Pipeline("FnApiRunner") as pipeline:
        elements = pipeline | beam.Create(list(tracks.items()))
        _ = elements | WriteDataset(output, offsets=[500000, UTM])
    assert open_dataset(output.directory).offsets == (500000.0, UTM)
    for key, (values, _) in read_all(output.directory).items():
        np.testing.assert_allclose(values, tracks[key] - [500000, UTM], atol=2e-8)


def test_first_values_may_come_late(write_csv, make_options):
    path = write_csv("x.csv", [("a", 0, 1, ""), ("a", 1, 2, ""), ("b", 0, 3, 70000.25)])
    options = make_options(path, center={"y": None}, missing="drop_timestep")
    preprocess(options)
    assert open_dataset(options.output.directory).offsets == (0.0, 70000.25)


@pytest.mark.parametrize(
    ("center", "message"),
    [
        ({"z": 1}, "`center` must name a feature, got 'z'; the features are"),
        ({"Y": 1}, "Did you mean 'y'?"),
        ({"y": None}, "`center` needs a value of y, all are missing."),
        ({"y": float("nan")}, "`center` must subtract a finite number, got y=nan."),
        ([("y", 1), ("y", 2)], "`center` must hold each name once, got 'y' and 'y'."),
        ({}, "`center` must hold at least one name, got none."),
    ],
)
def test_a_bad_center_is_named(write_csv, make_options, tmp_path, center, message):
    path = write_csv("x.csv", [("a", 0, 1, ""), ("a", 1, 2, "")])
    with pytest.raises(ValueError, match=re.escape(message)):
        preprocess(make_options(path, center=center, missing="forward_fill"))
    assert not (tmp_path / "out").exists()


def test_rejects_are_named_where_nothing_is_left_to_center(write_csv, make_options):
    path = write_csv("x.csv", [("a", 0, 1, 2), ("a", 0, 3, 4)])
    with pytest.raises(ValueError, match=r"No sequence was accepted(.|\n)*duplicate_time"):
        preprocess(make_options(path, center={"y": UTM}))


def test_offsets_of_other_features_than_most_sequences_have(write_npz, make_options, tmp_path):
    arrays = {"a": np.ones((3, 1)), "b": np.ones((3, 2)), "c": np.ones((4, 2))}
    with pytest.raises(ValueError, match="most sequences, which have 2, got offsets of 1"):
        preprocess(make_options(write_npz("x.npz", arrays), center={"0": 1}))
    assert not (tmp_path / "out").exists()
