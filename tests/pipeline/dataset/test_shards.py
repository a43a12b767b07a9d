"""Single shards of a dataset."""

import dataclasses
import os
import pathlib
import pickle

import pytest

from padless.pipeline.dataset.shards import list_shards


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset({"train": [3, 7, 1, 3], "test": [2, 9]}, num_shards=3)


@pytest.fixture
def directory(dataset):
    return pathlib.Path(dataset.split("train").files[0]).parent


def test_shards_are_listed_by_split_without_empty_ones(dataset, directory, monkeypatch):
    monkeypatch.chdir(directory.parent)
    opened, shards = list_shards(directory.name)
    assert opened.splits.keys() == dataset.splits.keys()
    assert [(s.split, s.num_records) for s in shards] == [
        *[("train", 2), ("train", 1), ("train", 1)],
        *[("test", 1), ("test", 1)],
    ]
    assert all(os.path.isabs(shard.file) for shard in shards)
    _, chosen = list_shards(directory, ["test"])
    assert chosen == shards[3:]
    with pytest.raises(ValueError, match="Did you mean 'train'"):
        list_shards(directory, ["tarin"])


def test_a_path_that_leads_back_out_of_a_link_is_kept(directory, monkeypatch, tmp_path):
    (directory.parent / "folder").mkdir(exist_ok=True)
    (tmp_path / "link").symlink_to(directory.parent / "folder")
    monkeypatch.chdir(tmp_path)
    _, shards = list_shards(f"link/../{directory.name}")
    assert shards[0].file.startswith(f"{tmp_path}/link/../")
    assert shards[0].open().split("train").num_sequences == 2


def test_a_shard_is_pickled_and_opened_as_a_dataset(directory):
    shard = pickle.loads(pickle.dumps(list_shards(directory)[1][0]))
    opened = shard.open()
    assert opened.record_format == shard.record_format
    assert {name: split.lengths for name, split in opened.splits.items()} == {"train": {3: 2}}


def test_a_shard_that_has_lost_records_is_named(directory):
    shard = dataclasses.replace(list_shards(directory)[1][0], num_records=3)
    with pytest.raises(ValueError, match=f"{shard.file}: the shard must hold the 3 .* got 2"):
        shard.open()
