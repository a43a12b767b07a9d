"""Prepared builders and directories of TensorFlow Datasets: what is read, and what is rejected."""

import json
import pathlib
import shutil
import sys

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tensorflow_datasets as tfds
from hypothesis import strategies as st
from tensorflow_datasets.core.dataset_info import DatasetIdentity

from padless.beam_jobs import Columns, PreprocessOptions
from padless.beam_jobs.fragments import (
    Place,
    Reject,
    RejectedPart,
    Source,
    UnreadableInputError,
    Whole,
)
from padless.beam_jobs.preprocess_job import preprocess
from padless.beam_jobs.readers.inputs import check_input
from padless.beam_jobs.readers.tfds_reader import FORM, parse_example, parse_values

PLACE = Place(0, 1, "tfds:x", "example")


def draw_example(i):
    return {
        "id": f"run/{i}",
        "number": i,
        "plain": np.arange(i + 1),
        "flat": np.full((i + 1, 2), i, np.float32),
        "deep": np.arange((i + 1) * 6, dtype=np.float32).reshape(i + 1, 2, 3),
        "even": [[float(i)] * 2] * (i + 1),
        "ragged": [[0.5] * (j + 1) for j in range(i + 1)],
        "class": i - 1,
        "text": f"é{i}",
        "fold": "train" if i else "bad name",
        "words": ["a"],
        "flags": [True],
        "both": {"x": [1.0]},
    }


FEATURES = {
    "id": tfds.features.Text(),
    "number": np.int64,
    "plain": tfds.features.Sequence(np.int64),
    "flat": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
    "deep": tfds.features.Tensor(shape=(None, 2, 3), dtype=np.float32),
    "even": tfds.features.Sequence(tfds.features.Sequence(np.float32)),
    "ragged": tfds.features.Sequence(tfds.features.Sequence(np.float32)),
    "class": tfds.features.ClassLabel(names=["up", "down"]),
    "text": tfds.features.Text(),
    "fold": tfds.features.Text(),
    "words": tfds.features.Sequence(tfds.features.Text()),
    "flags": tfds.features.Sequence(np.bool_),
    "both": tfds.features.Sequence({"x": np.float32}),
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Where TFDS looks for builders; it holds one with two examples in `test`, one in `train`."""
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    identity = DatasetIdentity(
        name="padless_runs",
        version=tfds.core.Version("1.0.0"),
        data_dir=str(root / "padless_runs" / "1.0.0"),
        module_name=__name__,
    )
    (root / "padless_runs" / "1.0.0").mkdir(parents=True)
    info = tfds.core.DatasetInfo(builder=identity, features=tfds.features.FeaturesDict(FEATURES))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=10)
    writer.initialize_splits(["test", "train"])
    writer.add_examples({"test": [draw_example(0), draw_example(1)], "train": [draw_example(2)]})
    writer.close_all()
    return root


@pytest.fixture(scope="module")
def prepared(data_dir):
    return f"tfds:{data_dir}/padless_runs/1.0.0"


@pytest.fixture
def without_network(monkeypatch):
    def reject(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(
        "tensorflow_datasets.core.dataset_info.DatasetInfo.initialize_from_bucket", reject
    )
    monkeypatch.setattr("tensorflow_datasets.core.utils.gcs_utils.gcs_path", reject)
    monkeypatch.setattr("socket.socket.connect", reject)


def directory_of(dataset):
    return pathlib.Path(dataset.split("train").files[0]).parent


def read(path, columns=None, index=4):
    columns = columns or Columns()
    check_input(path, FORM, columns)
    return [
        item
        for part in check_input(path, FORM, columns).parts
        for item in FORM.read(Source(index, path, FORM.unit, FORM.name, part), columns)
    ]


@pytest.mark.parametrize("num_shards", [1, 3])
def test_what_padless_writes_is_read(make_dataset, num_shards):
    dataset = make_dataset(
        {"train": [3, 1, 2, 5, 4], "test": [2]}, num_shards=num_shards, labels=list("abcde")
    )
    path = f"tfds:{directory_of(dataset)}"
    items = read(path, Columns(label="label"))
    lengths = {key.decode(): len(whole.values) for key, whole in items}
    assert lengths == {f"train/{i}": n for i, n in enumerate([3, 1, 2, 5, 4])} | {"test/0": 2}
    assert {key: whole.label for key, whole in items}[b"train/4"] == b"e"
    assert sorted(whole.place.position for _, whole in items) == [1, 2, 3, 4, 5, 6]
    parts = check_input(path, FORM, Columns()).parts
    assert len(parts) == (2 if num_shards == 1 else 4)
    assert {FORM.split_of(path, part) for part in parts} == {"train", "test"}


def test_parts_are_read_on_their_own(prepared):
    columns = Columns(key="id", sequence="flat")
    assert check_input(prepared, FORM, columns).parts == (("test", 0, 2), ("train", 0, 1))
    ((key, whole),) = FORM.read(Source(0, prepared, "example", "tfds", ("test", 1, 2)), columns)
    assert (key, str(whole.place)) == (b"run/1", f"{prepared}, example 2")


def test_parts_are_shards_and_not_too_many(make_dataset, monkeypatch):
    path = f"tfds:{directory_of(make_dataset([1, 2, 3, 4, 5], num_shards=7))}"
    assert check_input(path, FORM, Columns()).parts == tuple(("train", i, i + 1) for i in range(5))
    monkeypatch.setattr("padless.beam_jobs.readers.tfds_reader._MAX_PARTS", 3)
    assert check_input(path, FORM, Columns()).parts == (("train", 0, 3), ("train", 3, 5))


def test_a_dataset_of_padless_comes_out_of_the_job_as_it_went_in(make_dataset, tmp_path):
    source = directory_of(make_dataset({"train": [3, 1, 2], "test": [2, 4]}))
    first, second = tmp_path / "x", tmp_path / "again" / "x"
    for inputs, output in ((source, first), (first, second)):
        output.parent.mkdir(exist_ok=True)
        preprocess(PreprocessOptions((f"tfds:{inputs}",), str(output), keep_splits=True))
    shards = sorted(file.name for file in first.glob("*.tfrecord-*"))
    assert len(shards) == 2
    for shard in shards:
        assert (first / shard).read_bytes() == (second / shard).read_bytes()


@pytest.mark.parametrize(
    ("sequence", "shape", "last"),
    [
        ("plain", (3, 1), [2]),
        ("flat", (3, 2), [2, 2]),
        ("deep", (3, 6), [12, 13, 14, 15, 16, 17]),
        ("even", (3, 2), [2, 2]),
    ],
)
def test_any_tensor_of_numbers_is_two_dimensional(prepared, sequence, shape, last):
    _, whole = read(prepared, Columns(sequence=sequence))[2]
    assert whole.values.dtype in (np.float32, np.float64)
    assert whole.values.shape == shape
    assert whole.values[-1].tolist() == last


def test_ragged_timesteps_are_a_fault(prepared):
    (key, whole), (_, fault), _ = read(prepared, Columns(key="number", sequence="ragged"))
    assert (key, whole.values.shape) == (b"0", (1, 1))
    assert isinstance(fault, RejectedPart)
    assert (fault.reason, fault.whole) == ("ragged_row", True)


def test_without_a_key_tfds_names_the_examples(prepared):
    keys = [key.decode() for key, _ in read(prepared, Columns(sequence="flat"))]
    assert keys == [
        "padless_runs-test.tfrecord-00000__0",
        "padless_runs-test.tfrecord-00000__1",
        "padless_runs-train.tfrecord-00000__0",
    ]


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("class", ["missing_label", b"up", b"down"]),
        ("number", [b"0", b"1", b"2"]),
        ("text", [f"é{i}".encode() for i in range(3)]),
        ("words", ["bad_label"] * 3),
    ],
)
def test_labels_are_texts_numbers_or_the_names_of_classes(prepared, label, labels):
    items = read(prepared, Columns(sequence="flat", label=label))
    assert [getattr(part, "label", None) or part.reason for _, part in items] == labels


def test_a_feature_may_hold_the_split(prepared):
    items = read(prepared, Columns(sequence="flat", split="fold"))
    assert [getattr(part, "split", None) or part.reason for _, part in items] == [
        "bad_split",
        b"train",
        b"train",
    ]


def test_a_feature_may_hold_the_group(prepared):
    items = read(prepared, Columns(sequence="flat", group="class"))
    groups = [getattr(part, "group", None) or part.reason for _, part in items]
    assert groups == ["missing_group", b"up", b"down"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(), r"must have the feature 'sequence', it has 'both', 'class'"),
        (Columns(sequence="flat", key="name"), "must have the feature 'name'"),
        (Columns(sequence="flat", label="name"), "must have the feature 'name'"),
        (Columns(sequence="flat", group="name"), "must have the feature 'name'"),
        (Columns(sequence="text"), "'text' must hold numbers of the shape .*it is Text"),
        (Columns(sequence="number"), "'number' must hold numbers"),
        (Columns(sequence="words"), "'words' must hold numbers"),
        (Columns(sequence="flags"), "'flags' must hold numbers"),
        (Columns(sequence="both"), "'both' must hold numbers"),
    ],
)
def test_check_rejects_features(prepared, columns, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_input(prepared, FORM, columns)
    assert str(caught.value).startswith(prepared)


@pytest.mark.parametrize("name", ["padless_runs", "padless_runs:1.0.0", "padless_runs:1.*.*"])
def test_a_prepared_builder_is_found_by_name(monkeypatch, without_network, data_dir, name):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(data_dir))
    assert len(read(f"tfds:{name}", Columns(sequence="flat"))) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", r"Prepare it once.*tfds\.builder\('mnist'\)\.download_and_prepare\(\)"),
        ("mnist:9.9.9", r"tfds\.builder\('mnist:9\.9\.9'\)"),
        ("padless_unknown", "TFDS does not know the name; name the directory"),
        ("huggingface:mnist", "TFDS does not know the name; name the directory"),
        ("a b", "Parsing builder name string a b failed"),
        ("", "Parsing builder name string  failed"),
        ("./nowhere", r"the directory must hold dataset_info\.json"),
        ("/nowhere", r"the directory must hold dataset_info\.json"),
    ],
)
def test_what_is_not_prepared_is_not_downloaded(
    monkeypatch, without_network, tmp_path, name, message
):
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=message) as caught:
        check_input(f"tfds:{name}", FORM, Columns())
    assert str(caught.value).startswith(f"tfds:{name}: must be a prepared builder or directory: ")


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', None])
def test_damaged_metadata_is_answered(make_dataset, file, content):
    path = directory_of(make_dataset([2]))
    (path / file).unlink() if content is None else (path / file).write_text(content)
    with pytest.raises(ValueError, match=r"must be a prepared builder") as caught:
        check_input(f"tfds:{path}", FORM, Columns())
    assert str(caught.value).startswith(f"tfds:{path}")


def test_a_builder_without_examples_is_rejected(make_dataset):
    path = directory_of(make_dataset([2]))
    info = json.loads((path / "dataset_info.json").read_text())
    info["splits"] = []
    (path / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="must hold an example, it holds none"):
        check_input(f"tfds:{path}", FORM, Columns())


@pytest.mark.parametrize("damage", ["cut", "flip", "drop", "unlink"])
def test_damaged_shards_are_unreadable(make_dataset, damage):
    path = directory_of(make_dataset([2, 3]))
    (shard,) = path.glob("*.tfrecord*")
    data = bytearray(shard.read_bytes())
    data[40] ^= damage == "flip"
    shard.write_bytes({"cut": data[:-5], "drop": b""}.get(damage, data))
    if damage == "unlink":
        shard.unlink()
    with pytest.raises(
        UnreadableInputError, match=r"examples 0 to 1 of the split 'train' must be readable by TFDS"
    ):
        read(f"tfds:{path}")


SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
VALUES = (
    st.none()
    | st.binary(max_size=4)
    | st.floats(width=32)
    | st.integers(-(2**63), 2**63 - 1).map(np.int64)
    | hnp.arrays(hnp.scalar_dtypes(), SHAPES)
    | hnp.arrays(object, SHAPES, elements=st.none() | st.binary() | st.integers())
)


@hypothesis.given(
    example=st.fixed_dictionaries(dict.fromkeys(("key", "sequence", "label"), VALUES)),
    label=st.sampled_from([None, "label"]),
)
def test_any_example_is_answered(example, label):
    features = {"key": None, "sequence": None, "label": tfds.features.ClassLabel(names=["a", "b"])}
    item = parse_example(example, features, PLACE, Columns(label=label))
    assert isinstance(item, Reject) or isinstance(item[1], Whole | RejectedPart)


@hypothesis.given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=4, max_side=3),
        elements=st.floats(width=32, allow_infinity=False),
    )
)
def test_parse_values_keeps_the_timesteps(array):
    np.testing.assert_array_equal(parse_values(array), array.reshape(len(array), -1))


def name_class(content, name):
    content["featuresDict"]["features"]["text"]["pythonClassName"] = name


def name_class_in_a_string(content, name):
    inner = {"type": name, "content": {}}
    legacy = {"type": "tensorflow_datasets.core.features.features_dict.FeaturesDict"}
    legacy["content"] = {"text": inner}
    content.clear()
    content.update(legacy)


@pytest.mark.parametrize("change", [name_class, name_class_in_a_string])
def test_a_class_of_another_package_is_not_imported(data_dir, tmp_path, monkeypatch, change):
    (tmp_path / "evil_payload.py").write_text("raise SystemExit('It was imported.')")
    monkeypatch.syspath_prepend(tmp_path)
    data = shutil.copytree(data_dir / "padless_runs" / "1.0.0", tmp_path / "data")
    content = json.loads((data / "features.json").read_text())
    change(content, "evil_payload.X")
    (data / "features.json").write_text(json.dumps(content))
    options = PreprocessOptions([f"tfds:{data}"], str(tmp_path / "out"), Columns(sequence="flat"))
    with pytest.raises(
        ValueError, match=r"must be one of tensorflow_datasets, got 'evil_payload\.X'"
    ):
        preprocess(options)
    assert "evil_payload" not in sys.modules
