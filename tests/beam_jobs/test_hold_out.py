"""Splits that are taken from the training split, by key or by group, in every form of input."""

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from padless.beam_jobs import Output, WriteDataset, preprocess
from padless.beam_jobs.readers import inputs
from padless.pipeline import verify_dataset
from padless.pipeline.dataset.directory import open_dataset
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.keys import draw_held_out, draw_split

KEYS = [f"k{i}" for i in range(60)]
PERSONS = {key: f"p{i % 12}" for i, key in enumerate(KEYS)}
FOLDS = {key: ("train", "train", "test")[i % 3] for i, key in enumerate(KEYS)}
HOLD_OUT = {"validation": 0.4}
DRAWN = {"train": 0.7, "test": 0.3}


@pytest.fixture
def read_keys(read_split):
    """Reads which keys each split holds."""

    def read(options):
        splits = open_dataset(options.output.directory).splits
        return {name: set(read_split(split)) for name, split in splits.items()}

    return read


def expected(split_of, name_of):
    """Returns which keys each split must hold."""
    found = {}
    for key in KEYS:
        split = split_of(key)
        if split == "train":
            split = draw_held_out(name_of(key).encode(), 0, HOLD_OUT.items()) or split
        found.setdefault(split, set()).add(key)
    return found


def make_example(key):
    def strings(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))

    feature = {
        "key": strings(key),
        "fold": strings(FOLDS[key]),
        "person": strings(PERSONS[key]),
        "length": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
        "sequence": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write_records(path):
    path.write_bytes(b"".join(frame_record(make_example(key)) for key in KEYS))


def write_parquet(path, **columns):
    constants = {"key": KEYS, "fold": list(FOLDS.values()), "person": list(PERSONS.values())}
    pq.write_table(pa.table(constants | columns), path)


@pytest.fixture(params=["csv", "jsonl", "long", "nested", "lists", "tfrecord"])
def grouped(request, tmp_path, write_csv, write_jsonl):
    """Writes all sequences with a fold and a person each, in a form that has fields for them."""
    rows = [(key, 0, FOLDS[key], PERSONS[key], 1) for key in KEYS]
    header = ("key", "time", "fold", "person", "x")
    if request.param == "csv":
        return write_csv("x.csv", rows, header=header)
    if request.param == "jsonl":
        records = [dict(zip(header, row, strict=True)) | {"sequence": [[1]]} for row in rows]
        return write_jsonl("x.jsonl", records)
    if request.param == "tfrecord":
        write_records(tmp_path / "x.tfrecord")
        return str(tmp_path / "x.tfrecord")
    ones = [1.0] * len(KEYS)
    columns = {
        "long": {"time": [0] * len(KEYS), "x": ones},
        "nested": {"sequence": [[[1.0]]] * len(KEYS)},
        "lists": {"x": [[1.0]] * len(KEYS)},
    }
    write_parquet(tmp_path / "x.parquet", **columns[request.param])
    return str(tmp_path / "x.parquet")


def name_features(path):
    """Names the features where the form has names of them, as fold and person would be such."""
    is_named = path.endswith(".csv") or (
        path.endswith(".parquet") and "x" in pq.read_schema(path).names
    )
    return {"features": ("x",)} if is_named else {}


def test_by_key_of_drawn_splits(make_options, grouped, read_keys):
    options = make_options(grouped, splits=DRAWN, hold_out=HOLD_OUT, **name_features(grouped))
    report = preprocess(options)
    assert report.accepted == len(KEYS)
    keys = expected(lambda key: draw_split(key.encode(), 0, DRAWN.items()), lambda key: key)
    assert read_keys(options) == keys
    assert list(report.splits) == ["train", "validation", "test"]
    verified = verify_dataset(options.output.directory)
    assert verified.ok
    assert "draw of the splits" in verified.checked


def test_by_group_of_a_split_column(make_options, grouped, read_keys):
    options = make_options(grouped, split="fold", group="person", hold_out=HOLD_OUT)
    report = preprocess(options)
    assert (report.accepted, report.rejected) == (len(KEYS), {})
    found = read_keys(options)
    assert found == expected(FOLDS.get, PERSONS.get)
    persons = {split: {PERSONS[key] for key in keys} for split, keys in found.items()}
    assert all(persons.values())
    assert not persons["train"] & persons["validation"]
    made = json.loads(pathlib.Path(options.output.directory, "provenance.json").read_text())["made"]
    assert (made["hold_out"], made["hold_out_by"]) == ([["validation", 0.4]], "person")
    verified = verify_dataset(options.output.directory)
    assert verified.ok
    assert "column 'person'" in verified.not_checked[0]


def test_other_splits_stay_what_they_are(make_options, write_npz, digest, tmp_path):
    path = write_npz("x.npz", {key: np.ones((1, 1)) for key in KEYS})
    files = []
    for number, hold_out in enumerate(({}, HOLD_OUT)):
        directory = str(tmp_path / f"{number}/out")
        preprocess(make_options(path, splits=DRAWN, hold_out=hold_out, directory=directory))
        files.append(digest(directory))
    name = "out-test.tfrecord-00000-of-00001"
    assert files[0][name] == files[1][name]


@pytest.mark.parametrize("form", ["npz", "ts", "csv"])
def test_by_key_of_kept_splits(make_options, write_npz, write_csv, read_keys, tmp_path, form):
    for name in ("train", "test"):
        (tmp_path / name).mkdir()
        keys = [key for key in KEYS if FOLDS[key] == name]
        if form == "npz":
            write_npz(f"{name}/x.npz", {key: np.ones((1, 1)) for key in keys})
        elif form == "csv":
            write_csv(f"{name}/x.csv", [(key, 0, 1, 1) for key in keys])
        else:
            header = "@classLabel false\n@data\n"
            (tmp_path / f"{name}/X_{name.upper()}.ts").write_text(header + "1\n" * len(keys))
    options = make_options(f"{tmp_path}/t*/*", keep_splits=True, hold_out=HOLD_OUT)
    assert list(preprocess(options).splits) == ["train", "validation", "test"]
    found = read_keys(options)
    assert sum(map(len, found.values())) == len(KEYS)
    assert found["validation"]
    for split, held in (("train", None), ("validation", "validation")):
        assert {draw_held_out(k.encode(), 0, HOLD_OUT.items()) for k in found[split]} == {held}
    assert verify_dataset(options.output.directory).ok


def test_by_key_of_the_splits_of_a_builder(make_options, make_dataset, read_keys):
    dataset = make_dataset({"train": [3] * 30, "test": [3] * 5}, labels=["up", "down"] * 15)
    folder = dataset.split("train").files[0].parent
    chosen = {"label": "label", "train_labels": ("up",)}
    options = make_options(f"tfds:{folder}", keep_splits=True, hold_out=HOLD_OUT, **chosen)
    assert preprocess(options).left_out == 15
    found = read_keys(options)
    keys = [f"train/{i}" for i in range(0, 30, 2)]
    held = {key for key in keys if draw_held_out(key.encode(), 0, HOLD_OUT.items())}
    assert found["validation"] == held
    assert found["train"] == {*keys} - held
    assert found["test"] == {f"test/{i}" for i in range(5)}


def test_pieces_go_with_their_sequence(make_options, write_npz, read_keys):
    path = write_npz("x.npz", {key: np.ones((5, 1)) for key in KEYS})
    cut = {"max_length": 2, "too_long": "split"}
    options = make_options(path, splits={"train": 1}, hold_out=HOLD_OUT, **cut)
    preprocess(options)
    wholes = {s: {k.partition("[")[0] for k in keys} for s, keys in read_keys(options).items()}
    assert wholes == expected(lambda key: "train", lambda key: key)
    assert verify_dataset(options.output.directory).ok


@pytest.mark.parametrize("form", ["npz", "ts"])
def test_a_form_without_fields_has_no_groups(make_options, tmp_path, form):
    (tmp_path / f"x.{form}").touch()
    path = str(tmp_path / f"x.{form}")
    options = make_options(path, splits={"train": 1}, group="person", hold_out=HOLD_OUT)
    message = rf"x\.{form}: `group` must be None with input of the form {form}, which has no such"
    with pytest.raises(ValueError, match=message):
        inputs.check_inputs(options)


def test_a_group_that_is_missing_or_not_one_is_rejected(make_options, write_csv, read_rejects):
    rows = [("a", 0, 1, "p"), ("b", 0, 1, ""), ("c", 0, 1, "p"), ("c", 1, 1, "q")]
    path = write_csv("x.csv", rows, header=("key", "time", "x", "person"))
    options = make_options(path, splits={"train": 1}, group="person", hold_out=HOLD_OUT)
    assert preprocess(options).rejected == {"conflicting_group": 1, "missing_group": 1}


def test_a_group_is_no_feature(make_options, write_csv):
    path = write_csv("x.csv", [], header=("key", "time", "x", "person"))
    options = make_options(path, splits={"train": 1}, group="person", hold_out=HOLD_OUT)
    assert inputs.check_inputs(options).columns.features == ("x",)


def test_a_group_that_is_all_there_is_leaves_nothing(make_options, write_csv):
    rows = [(key, 0, 1, "p8") for key in KEYS]
    path = write_csv("x.csv", rows, header=("key", "time", "x", "person"))
    options = make_options(path, splits={"train": 1}, group="person", hold_out={"held": 0.9})
    report = preprocess(options)
    assert report.empty_splits == ("train",)
    assert report.splits["held"].num_sequences == len(KEYS)


REJECTED = [
    ({"k": "fit"}, r"is about the split 'train', which the input must have, it has 'fit'"),
    ({"k": "train", "l": "validation"}, "a split that the input does not have, got 'validation'"),
]


@pytest.mark.parametrize(("folds", "message"), REJECTED)
def test_a_split_column_must_have_what_is_needed(make_options, write_csv, tmp_path, folds, message):
    rows = [(key, 0, 1, fold) for key, fold in folds.items()]
    path = write_csv("x.csv", rows, header=("key", "time", "x", "fold"))
    with pytest.raises(ValueError, match=f"^`hold_out` .*{message}"):
        preprocess(make_options(path, split="fold", hold_out=HOLD_OUT))
    assert [file.name for file in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize(("folds", "message"), REJECTED)
def test_kept_splits_must_have_what_is_needed(make_options, write_npz, tmp_path, folds, message):
    for key, fold in folds.items():
        (tmp_path / fold).mkdir()
        write_npz(f"{fold}/x.npz", {key: np.ones((1, 1))})
    options = make_options(f"{tmp_path}/*/*", keep_splits=True, hold_out=HOLD_OUT)
    with pytest.raises(ValueError, match=f"`hold_out` .*{message}"):
        inputs.check_inputs(options)


def test_write_dataset_needs_a_new_split(tmp_path):
    with pytest.raises(ValueError, match="that `splits` does not have, got 'validation'"):
        WriteDataset(Output(str(tmp_path / "out"), hold_out=HOLD_OUT))
