"""A dataset that changes while it is used is noticed; one that is written again the same is not."""

import os
import shutil

import pytest
from etils import epath

from padless.pipeline import open_dataset, open_records
from padless.pipeline.batching.damage import explained
from padless.pipeline.dataset import snapshot
from padless.pipeline.dataset.snapshot import DatasetChangedError


@pytest.fixture
def folder(make_dataset, tmp_path):
    dataset = make_dataset({"train": [3, 4, 5], "validation": [3]}, num_shards=2)
    return shutil.copytree(dataset.split("train").files[0].parent, tmp_path / "copy")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes() + b"x"), r"has \d+ bytes and had \d+"),
        (flip, "holds other bytes"),
    ],
    ids=["deleted", "longer", "flipped"],
)
@pytest.mark.parametrize("pattern", ["*train*00001-of*", "statistics.json", "provenance.json"])
def test_a_change_is_named(folder, change, message, pattern):
    dataset = open_dataset(folder)
    (file,) = folder.glob(pattern)
    dataset.check_unchanged()
    change(file)
    with pytest.raises(DatasetChangedError, match=rf"copy: .*{file.name} {message}"):
        dataset.check_unchanged()


def test_many_changes_are_counted(folder):
    dataset = open_dataset(folder)
    shutil.rmtree(folder)
    with pytest.raises(DatasetChangedError, match="is missing; and 6 more files"):
        dataset.check_unchanged()


def test_the_same_bytes_written_again_are_no_change(folder, tmp_path):
    dataset = open_dataset(folder)
    shutil.copytree(folder, tmp_path / "again")
    shutil.rmtree(folder)
    os.rename(tmp_path / "again", folder)
    dataset.check_unchanged()
    flip(folder / "lengths.json")
    with pytest.raises(DatasetChangedError, match=r"lengths\.json holds other bytes"):
        dataset.check_unchanged()


def test_records_that_padless_did_not_write_must_stay_what_they_were(folder):
    files = sorted(folder.glob("*train*"))
    dataset = open_records(files, open_dataset(folder).record_format)
    dataset.check_unchanged()
    os.utime(files[1], (0, 0))
    with pytest.raises(DatasetChangedError, match="-00001-of-00002 holds other bytes"):
        dataset.check_unchanged()


def test_records_at_an_address_are_looked_at_there(monkeypatch):
    asked = []
    monkeypatch.setattr(snapshot, "stamp_of", lambda path: asked.append(os.fspath(path)))
    taken = snapshot.Snapshot.take(epath.Path(), ["gs://bucket/x", "/data/x", "x"])
    taken.check()
    assert asked == ["gs://bucket/x", "/data/x", "x"] * 2


def test_reading_ends_in_an_error_if_the_dataset_has_changed(folder):
    split = open_dataset(folder).split("train")
    with pytest.raises(DatasetChangedError, match="copy: the dataset must stay"), explained(split):
        flip(folder / "features.json")
    with pytest.raises(DatasetChangedError) as caught, explained(split):
        raise FloatingPointError
    assert isinstance(caught.value.__cause__, FloatingPointError)
