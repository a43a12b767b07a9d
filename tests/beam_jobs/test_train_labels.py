"""A training split of some labels alone: what is left out of it, and is no reject."""

import collections
import dataclasses
import json
import pathlib

import apache_beam as beam
import numpy as np
import pytest

from padless.beam_jobs import Output, Rules, WriteDataset, preprocess
from padless.pipeline import verify_dataset
from padless.pipeline.dataset.directory import open_dataset

LABELS = ("normal", "idle", "broken")
FOLDS = ("train", "train", "test")


@pytest.fixture
def labelled(write_jsonl):
    """Writes 90 sequences of three labels in two folds, and one that is rejected."""
    records = [
        {"key": f"k{i}", "label": LABELS[i % 3], "fold": FOLDS[i // 3 % 3], "sequence": [[i]] * 5}
        for i in range(90)
    ]
    return write_jsonl("x.jsonl", [*records, records[0] | {"key": "bad", "sequence": []}])


@pytest.fixture
def read_labels(read_split):
    """Counts the labels of each split."""

    def read(options):
        splits = open_dataset(options.output.directory).splits
        return {
            name: collections.Counter(label for _, (label,) in read_split(split).values())
            for name, split in splits.items()
        }

    return read


def test_the_training_split_and_what_is_held_out_of_it_have_these_labels(
    make_options, labelled, read_labels
):
    options = make_options(
        labelled, label="label", split="fold", hold_out={"held": 0.3}, train_labels=("normal",)
    )
    report = preprocess(options)
    found = read_labels(options)
    assert found["test"] == dict.fromkeys(LABELS, 10)
    assert found["train"].keys() == found["held"].keys() == {"normal"}
    assert found["train"] + found["held"] == {"normal": 20}
    assert (report.read, report.accepted, report.left_out) == (91, 50, 40)
    assert report.rejected == {"zero_timesteps": 1}
    assert verify_dataset(options.output.directory).ok


def test_drawn_splits_stay_what_they_are(make_options, labelled, read_labels, tmp_path, digest):
    reports, files = [], []
    for number, chosen in enumerate((None, ("normal", "idle"))):
        directory = str(tmp_path / f"{number}/out")
        options = make_options(labelled, label="label", train_labels=chosen, directory=directory)
        reports.append(preprocess(options))
        files.append(digest(directory))
    assert read_labels(options)["train"].keys() == {"normal", "idle"}
    for split in ("validation", "test"):
        name = f"out-{split}.tfrecord-00000-of-00001"
        assert files[0][name] == files[1][name]
    assert reports[1].left_out == reports[0].accepted - reports[1].accepted > 0


def test_the_report_counts_what_is_left_out(make_options, labelled):
    options = make_options(labelled, label="label", split="fold", train_labels=("idle",))
    report = preprocess(options)
    (line,) = (line for line in str(report).splitlines() if line.startswith("left out"))
    assert line.split()[:5] == ["left", "out", "40", "by", "--train-where,"]
    path = pathlib.Path(options.output.directory, "provenance.json")
    made = json.loads(path.read_text())["made"]
    assert made["report"]["left_out"] == 40
    assert made["rules"]["train_labels"] == ["idle"]
    assert "left out" not in str(dataclasses.replace(report, left_out=0))


def test_what_is_left_out_is_neither_mended_nor_split(make_options, labelled):
    options = make_options(
        labelled,
        label="label",
        split="fold",
        train_labels=("normal",),
        max_length=2,
        too_long="split",
    )
    report = preprocess(options)
    assert report.mended == {"split_sequences": 50, "pieces": 150}
    assert (report.accepted, report.left_out) == (150, 40)
    assert verify_dataset(options.output.directory).ok


def test_a_lost_count_of_what_is_left_out_is_found(make_options, labelled):
    options = make_options(labelled, label="label", split="fold", train_labels=("normal",))
    preprocess(options)
    path = pathlib.Path(options.output.directory, "provenance.json")
    path.write_text(path.read_text().replace('"left_out": 40', '"left_out": 39'))
    (fault,) = verify_dataset(options.output.directory).faults
    assert "must be the 91 that were read" in fault.message
    assert fault.message.endswith("got 50 and 1, 39 left out.")


@pytest.mark.parametrize(
    ("labels", "folds", "message"),
    [
        (
            ("normal", "brokn"),
            {},
            r"which are 'broken', 'idle' and 'normal', got 'brokn'. Did you mean 'broken'\?",
        ),
        (("3",), {"10": "train", "9": "train"}, r"which are '9' and '10', got '3'\."),
        (("a",), {"a": "test", "b": "train"}, r"in 'train', whose labels are 'b', got 'a'"),
        (("a",), {"a": "fit"}, r"is about the split 'train', which the input .* has 'fit'"),
    ],
)
def test_labels_that_choose_nothing_end_the_job(
    make_options, labelled, write_jsonl, tmp_path, labels, folds, message
):
    records = [
        {"key": key, "label": key, "fold": fold, "sequence": [[1]]} for key, fold in folds.items()
    ]
    path = write_jsonl("y.jsonl", records) if folds else labelled
    options = make_options(path, label="label", split="fold", train_labels=labels)
    with pytest.raises(ValueError, match=f"^`train_labels` .*{message}"):
        preprocess(options)
    assert not (tmp_path / "out").exists()


def test_kept_splits_must_have_a_training_split(make_options, write_jsonl, tmp_path):
    (tmp_path / "test").mkdir()
    path = write_jsonl("test/x.jsonl", [{"key": "a", "label": "b", "sequence": [[1]]}])
    options = make_options(path, keep_splits=True, label="label", train_labels=("b",))
    with pytest.raises(ValueError, match=r"`train_labels` is about the split 'train', .*'test'"):
        preprocess(options)


def test_write_dataset_leaves_out_too(tmp_path, read_all):
    output = Output(str(tmp_path / "out"), splits={"train": 1})
    rules = Rules(train_labels=("up",))
    elements = [(f"k{i}", np.ones((1, 1)), ("up", "down")[i % 2]) for i in range(8)]
    with beam.Pipeline("FnApiRunner") as pipeline:
        written = WriteDataset(output, rules=rules, has_label=True)
        _ = pipeline | beam.Create(elements) | written
    assert {label for _, (label,) in read_all(output.directory).values()} == {"up"}
    with pytest.raises(ValueError, match=r"`train_labels` needs `has_label`, got 'up'"):
        WriteDataset(output, rules=rules)
