"""A fingerprint tells what has changed."""

import shutil

import pytest

from padless.pipeline import open_dataset
from padless.pipeline.dataset.fingerprint import changed_parts, fingerprint


@pytest.fixture
def folder(make_dataset, tmp_path):
    dataset = make_dataset({"train": [3, 4, 5], "validation": [3]}, num_shards=1)
    return shutil.copytree(dataset.split("train").files[0].parent, tmp_path / "copy")


def test_the_fingerprint_of_a_copy_is_the_same(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    before = fingerprint(open_dataset(folder))
    assert before == fingerprint(open_dataset(tmp_path / "other"))
    assert changed_parts(before, before) == []
    assert sorted(before) == [
        "lengths.json",
        "shards of train",
        "shards of validation",
        "statistics.json",
    ]


@pytest.mark.parametrize(
    ("pattern", "damage", "part"),
    [
        ("*-train.*", lambda data: data[:-1] + b"\x00", "shards of train"),
        ("*-validation.*", lambda data: b"\x00" + data[1:], "shards of validation"),
        ("*-train.*", lambda data: data + data, "shards of train"),
        ("statistics.json", lambda data: data + b"\n", "statistics.json"),
    ],
    ids=["last byte", "first byte", "size", "statistics"],
)
def test_the_part_that_has_changed_is_named(folder, pattern, damage, part):
    before = fingerprint(open_dataset(folder))
    (path,) = folder.glob(pattern)
    path.write_bytes(damage(path.read_bytes()))
    assert changed_parts(before, fingerprint(open_dataset(folder))) == [part]


def test_a_split_that_is_gone_is_a_change():
    assert changed_parts({"a": "1", "b": "2"}, {"b": "2", "c": "3"}) == ["a", "c"]
