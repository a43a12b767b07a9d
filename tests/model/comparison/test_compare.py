"""Comparisons: their words on made-up numbers, and what they run; `tests/cli` has real runs."""

import dataclasses
import os

import numpy as np
import pytest

from padless.model import (
    ALIGNMENTS,
    Architecture,
    Comparison,
    TrainingOptions,
    compare_alignments,
    draw_comparison,
)
from padless.model.comparison import compare, compared_run
from padless.model.comparison.child_messages import MessagePipe
from padless.model.comparison.compared_run import ComparedRun, train_and_evaluate
from padless.model.comparison.label_accuracy import label_accuracy

FIRST = ComparedRun(
    alignment="dynamic_repeat",
    seconds_per_epoch=1.0,
    computed_timesteps=100,
    valid_timesteps=100,
    peak_bytes=3 * 2**20,
    loss=0.5,
    losses_by_length=[(3, 5, 0.4), (6, 6, 0.6)],
    accuracy=0.9,
)


def other(alignment, **values):
    padded = {"alignment": alignment, "computed_timesteps": 230, "seconds_per_epoch": 4.0}
    return dataclasses.replace(FIRST, **padded | values)


def test_conclusion_says_time_padding_and_losses():
    runs = (
        FIRST,
        other("masked_repeat", loss=0.6),
        other("cropped_output", loss=0.505, seconds_per_epoch=2.0),
        other("propagated_mask", loss=0.495),
        other("padded", loss=0.4),
    )
    assert Comparison("digits", "test", 3, runs).conclusion() == (
        "On digits packed steps take 0.50 of the time of the fastest other answer "
        "(cropped_output), as padding computes up to 2.30 times the timesteps; their loss "
        "of 0.5000 is matched by cropped_output (0.5050) and propagated_mask (0.4950), missed by "
        "masked_repeat (0.6000), beaten by padded (0.4000)."
    )


def test_conclusion_where_packed_steps_are_slower():
    runs = (FIRST, other("padded", seconds_per_epoch=0.8))
    assert (
        Comparison("vowels", "test", 3, runs)
        .conclusion()
        .startswith(
            "On vowels packed steps take 1.25 times as long as the fastest other answer "
            "(padded), although padding computes up to 2.30 times the timesteps; "
        )
    )


def test_conclusion_on_equal_lengths_and_on_one_answer():
    equal = (FIRST, other("padded", computed_timesteps=100))
    assert "all sequences have one length" in Comparison("ecg", "test", 3, equal).conclusion()
    alone = Comparison("ecg", "test", 3, (other("padded"),)).conclusion()
    assert alone == "On ecg nothing was compared with 'dynamic_repeat'."


def test_table_shows_accuracy_where_there_are_labels():
    lines = str(Comparison("d", "test", 3, (FIRST, other("padded")))).splitlines()
    assert lines[0] == (
        "3 epochs each from the same weights; loss at valid timesteps and accuracy on test"
    )
    assert lines[2].split() == ["dynamic_repeat", "1.00", "1.00", "3", "0.5000", "0.9000"]
    assert lines[3].split() == ["padded", "4.00", "2.30", "3", "0.5000", "0.9000"]
    without = (dataclasses.replace(FIRST, accuracy=None),)
    assert "accuracy" not in str(Comparison("d", "test", 3, without))


@pytest.mark.parametrize("accuracy", [0.9, None])
def test_comparison_is_drawn(tmp_path, accuracy):
    runs = tuple(other(name, accuracy=accuracy) for name in ALIGNMENTS)
    draw_comparison(Comparison("d", "test", 3, runs), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_label_accuracy_is_that_of_labels_that_can_be_told():
    rng = np.random.default_rng(0)
    labels = np.array([b"a", b"b"] * 40)
    told = rng.normal(size=(80, 3)) + 9 * (labels == b"a")[:, None]
    assert label_accuracy(told[:40], labels[:40], told[40:], labels[40:]) == 1
    hidden = rng.normal(size=(80, 3))
    assert 0.2 < label_accuracy(hidden[:40], labels[:40], hidden[40:], labels[40:]) < 0.8


@pytest.fixture(scope="module")
def labelled(make_dataset):
    lengths = {"train": [3, 4, 4, 6, 9] * 6, "test": [3, 4, 8] * 4}
    return make_dataset(lengths, labels=["even", "odd"] * 15)


@pytest.fixture
def compared_specs(monkeypatch):
    """What would be run in a process each."""
    specs = []

    def note(spec, result, progress):
        specs.append(spec)
        return other(spec["architecture"]["alignment"])

    monkeypatch.setattr(compare, "run_in_process", note)
    return specs


def test_compare_runs_the_alignments_in_their_order(labelled, small, tmp_path, compared_specs):
    folder, runs = labelled.split("train").files[0].parent, tmp_path / "runs"
    alignments = ("padded", "dynamic_repeat")
    comparison = compare_alignments(
        folder, architecture=small, alignments=alignments, runs=runs, split="train"
    )
    assert tuple(run.alignment for run in comparison.runs) == alignments
    assert [spec["run"] for spec in compared_specs] == [str(runs / name) for name in alignments]
    assert {spec["split"] for spec in compared_specs} == {comparison.split} == {"train"}
    for spec, name in zip(compared_specs, alignments, strict=True):
        asked = dataclasses.replace(small, alignment=name)
        built = Architecture(**spec["architecture"])
        assert (built.alignment, built.units) == (name, asked.units)


def test_compare_measures_on_what_was_held_out(labelled, make_dataset, compared_specs):
    validated = make_dataset({"train": [3, 4] * 4, "validation": [3]})
    for dataset in (labelled, validated, make_dataset([3, 4] * 4)):
        folder = dataset.split("train").files[0].parent
        compare_alignments(folder, alignments=["padded"])
    measured = [(spec["split"], spec["labels"]) for spec in compared_specs]
    assert measured == [("test", True), ("validation", False), ("train", False)]


def test_compare_leaves_out_what_cannot_mask_missing_values(
    labelled, small, compared_specs, caplog
):
    folder = labelled.split("train").files[0].parent
    masking = dataclasses.replace(small, masks_missing=True)
    with caplog.at_level("INFO", "padless"):
        comparison = compare_alignments(folder, architecture=masking)
    names = ["dynamic_repeat", "cropped_output", "propagated_mask"]
    assert [run.alignment for run in comparison.runs] == names
    told = "left out: 'masked_repeat' and 'padded', which cannot mask missing values"
    assert told in caplog.messages
    with pytest.raises(ValueError, match="'padded' cannot mask missing values"):
        compare_alignments(folder, architecture=masking, alignments=["padded"])


def test_accuracy_needs_two_labels_in_the_training_split(
    labelled, make_dataset, make_model, small, monkeypatch, caplog
):
    model = make_model()
    accuracy = compared_run._measure_accuracy(model, labelled, "test")
    assert 0 <= accuracy <= 1
    alike = make_dataset({"train": [3, 4] * 4, "test": [3, 4]}, labels=["a"] * 8)
    assert compared_run._measure_accuracy(model, alike, "test") is None
    without = dataclasses.replace(FIRST, accuracy=None)
    monkeypatch.setattr(compare, "run_in_process", lambda *args: without)
    with caplog.at_level("INFO", "padless"):
        compare_alignments(alike.split("train").files[0].parent, architecture=small)
    told = "accuracy of labels: left out, as the training split has one label alone"
    assert told in caplog.messages


def test_compare_names_the_run_that_failed(make_dataset, small, capfd):
    """It fails before it trains; `test_train.py` tests what training says of a loss."""
    dataset = make_dataset([3, 4] * 8)
    (file,) = dataset.split("train").files
    file.write_bytes(b"")
    message = "the alignment 'padded' must end with exit code 0, got 1"
    with pytest.raises(RuntimeError, match=message):
        compare_alignments(file.parent, architecture=small, alignments=["padded"])
    printed = capfd.readouterr().err
    assert "a shard has lost records" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("kind", [ArithmeticError, FileNotFoundError, MemoryError, ValueError])
def test_an_error_that_answers_the_user_ends_the_process_with_its_message(
    monkeypatch, tmp_path, kind
):
    def fail(spec, progress):
        raise kind("The loss and its gradient must be finite.")

    monkeypatch.setattr(compared_run, "_train_and_evaluate", fail)
    monkeypatch.setattr(MessagePipe, "start", lambda pipe: None)
    writing = os.open(os.devnull, os.O_WRONLY)
    with pytest.raises(SystemExit, match="The loss and its gradient must be finite"):
        train_and_evaluate("{}", str(tmp_path / "result.json"), str(writing))
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        ({"alignments": ["mask"]}, {}, "`alignment` must be one of"),
        ({"alignments": ["padded"] * 2}, {}, "each named once, got 'padded' and 'padded'"),
        ({"alignments": []}, {}, "`alignments` must be at least one, .* got none"),
        ({"split": "later"}, {}, "later"),
        ({}, {"group_size": 65}, "`group_size` must be at most `batch_size`, 16"),
        ({}, {"batch_timesteps": 5}, "`batch_timesteps` must be at least the length"),
    ],
)
def test_compare_checks_before_it_trains(labelled, tmp_path, asked, options, message):
    folder, runs = labelled.split("train").files[0].parent, tmp_path / "runs"
    with pytest.raises(ValueError, match=message):
        compare_alignments(folder, options=TrainingOptions(**options), runs=runs, **asked)
    assert not runs.exists()


def test_compare_rejects_a_directory_that_exists(labelled, tmp_path):
    with pytest.raises(FileExistsError, match=str(tmp_path)):
        compare_alignments(
            labelled.split("train").files[0].parent,
            architecture=Architecture(),
            alignments=["padded"],
            runs=tmp_path,
        )
