"""Metadata that someone has edited: errors that name the file, and `verify` sees every edit."""

import json
import shutil

import pytest
from edits import answer_to, edits_of

from padless.pipeline import open_dataset, plan_batches, verify_dataset

FILES = ("lengths.json", "dataset_info.json", "statistics.json", "provenance.json", "features.json")


@pytest.fixture
def data(make_dataset, tmp_path):
    dataset = make_dataset({"train": [3, 4, 5, 6, 7, 4], "test": [2, 4]}, num_shards=2)
    return shutil.copytree(dataset.split("train").files[0].parent, tmp_path / "data")


def plan(data):
    plan_batches(open_dataset(data).split("train").lengths, batch_size=4, group_size=2)


@pytest.mark.parametrize("count", [60, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", FILES)
def test_edited_metadata_are_answered_by_name(data, file, count):
    before = (data / file).read_bytes()
    for edited in edits_of(before, count):
        (data / file).write_bytes(edited)
        answer = answer_to(lambda: plan(data))
        assert answer is None or str(data) in answer or "must have a split" in answer, edited
        report = verify_dataset(data)
        assert report.ok == (edited == before), edited
        assert str(report)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"7": -1}, "lengths and counts must be integers from 1"),
        ({"-7": 1}, "lengths and counts must be integers from 1"),
        ({"7": 2**41}, "lengths and counts must be integers from 1"),
        ({"07": 1}, "a length must be written as a number alone, got '07'"),
    ],
)
def test_lengths_that_nothing_has_are_rejected(data, change, message):
    content = json.loads((data / "lengths.json").read_text())
    content["train"].update(change)
    (data / "lengths.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"lengths\.json: .*{message}"):
        open_dataset(data)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mean", float("nan"), "must have a mean that is finite, got nan"),
        ("maximum", float("inf"), "must have a maximum that is finite, got inf"),
        ("variance", -1.0, "must have a variance of at least 0, got -1"),
        ("minimum", 1e9, "must have minima that are at most its maxima"),
    ],
)
def test_moments_of_no_values_are_rejected(data, name, value, message):
    content = json.loads((data / "statistics.json").read_text())
    content["splits"]["train"][name][0] = value
    (data / "statistics.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"statistics\.json: the split 'train' .*({message})"):
        open_dataset(data)


def test_static_columns_that_no_record_carries_are_named(data):
    content = json.loads((data / "statistics.json").read_text())
    content["static_columns"] = ["age"]
    (data / "statistics.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"statistics\.json: `static_columns` .* got 'age'"):
        open_dataset(data)
    faults = [str(fault) for fault in verify_dataset(data).faults]
    assert any("`meta/age` must be one string, got none" in fault for fault in faults)
