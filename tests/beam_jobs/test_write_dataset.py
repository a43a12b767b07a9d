"""A dataset from sequences of a user's own pipeline, on the real runner."""

import collections
import os
import pathlib
import tempfile

import apache_beam as beam
import numpy as np
import pytest

from padless.beam_jobs import Output, Rules, WriteDataset, preprocess
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.fragments import Reject
from padless.beam_jobs.readers.element_reader import element_item
from padless.pipeline import open_dataset
from padless.pipeline.dataset.framing import read_records


def run(elements, *arguments, **options):
    """Runs a pipeline, and gives the report that it has written."""
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline("FnApiRunner") as pipeline:
            report = pipeline | beam.Create(elements) | WriteDataset(*arguments, **options)
            _ = report | beam.Map(str) | beam.io.WriteToText(f"{folder}/report")
        (file,) = pathlib.Path(folder).iterdir()
        return file.read_text()


def test_write_dataset_gives_the_bytes_of_the_job(make_options, write_npz, sequences, tmp_path):
    options = make_options(write_npz("x.npz", sequences), seed=3)
    preprocess(options)
    run(list(sequences.items()), Output(str(tmp_path / "copy/out"), seed=3))
    for file in (tmp_path / "out").glob("*"):
        if file.is_file():
            assert (tmp_path / "copy/out" / file.name).read_bytes() == file.read_bytes(), file


def test_write_dataset_gives_the_report(tmp_path):
    report = run([("a", [[1, 2]]), ("b", [[1]]), (b"c", np.ones((2, 2)))], str(tmp_path / "out"))
    assert report.splitlines()[0].split() == ["read", "3", "sequences"]
    assert "wrong_num_features 1" in report
    assert "the PCollection, key 'b': a timestep must hold 2 values" in report


def test_write_dataset_keeps_labels_and_names(tmp_path):
    output = Output(str(tmp_path / "out"), splits={"train": 1})
    run([(7, np.ones((2, 2)), "up")], output, has_label=True, feature_names=["x", "y"])
    dataset = open_dataset(output.directory)
    assert dataset.feature_names == ("x", "y")
    (record,) = read_records(dataset.splits["train"].files[0])
    assert b"up" in record


REJECTED = [
    ("a", "bad_element"),
    (("a", [[1]], "label"), "bad_element"),
    ((None, [[1]]), "missing_key"),
    ((1.5, [[1]]), "bad_key"),
    ((b"\xff", [[1]]), "bad_key"),
    (("ragged", [[1], [2, 3]]), "bad_shape"),
    (("flat", [1, 2]), "bad_shape"),
    (("text", [["x"]]), "not_a_number"),
    (("infinite", [[float("inf")]]), "infinite"),
    (("missing", [[float("nan")], [1.0]]), "missing_value"),
    (("padding", [[float("nan")]]), "only_padding"),
    (("empty", []), "bad_shape"),
]


@pytest.mark.parametrize(("element", "reason"), REJECTED)
def test_an_element_that_breaks_a_rule_is_rejected_with_its_reason(element, reason):
    item = element_item(element, has_label=False)
    if isinstance(item, Reject):
        assert item.reason == reason
    else:
        key, part = item
        (result,) = Assembler(Rules(), 0, [("train", 1.0)]).assemble(key, [part]).results
        assert (result.key, result.reason) == (element[0].encode(), reason)


def test_elements_that_break_rules_are_counted_rejects(tmp_path, read_rejects):
    elements = [element for element, _ in REJECTED]
    report = run([*elements, ("good", [[1]])], str(tmp_path / "out"))
    counts = collections.Counter(reason for _, reason in REJECTED)
    assert collections.Counter(r["reason"] for r in read_rejects(tmp_path / "out")) == counts
    assert ", ".join(f"{reason} {counts[reason]}" for reason in sorted(counts)) + "\n" in report
    by_key = {element[0]: reason for element, reason in REJECTED[5:]}
    found = {r["key"]: r["reason"] for r in read_rejects(tmp_path / "out") if r["key"]}
    assert found == by_key


def test_too_many_rejects_fail_the_pipeline_and_write_nothing(tmp_path):
    rules = Rules(max_rejects=0)
    with pytest.raises(Exception, match=r"(?s)`max_rejects` allows 0, got 1 of 2.*infinite 1"):
        run([("a", [[np.inf]]), ("b", [[1]])], str(tmp_path / "out"), rules=rules)
    assert os.listdir(tmp_path) == []


def test_write_dataset_rejects_an_output_that_exists(tmp_path):
    with pytest.raises(FileExistsError, match="the output must not exist"):
        run([("a", [[1]])], str(tmp_path))


def test_write_dataset_has_no_order_of_the_input(tmp_path):
    with pytest.raises(ValueError, match="`order` must be 'hash': a PCollection has no order"):
        WriteDataset(Output(str(tmp_path / "out"), order="input"))


def test_known_labels_need_elements_with_labels(tmp_path):
    with pytest.raises(ValueError, match=r"`labels` needs `has_label`, got 'up' without it"):
        WriteDataset(str(tmp_path / "out"), rules=Rules(labels=("up",)))
