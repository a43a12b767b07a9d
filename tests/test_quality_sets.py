"""The sets of benchmarks/quality.py, from small folders in the archives' forms."""

import gzip
import json
import pathlib
import runpy

import numpy as np
import pytest

BENCHMARKS = pathlib.Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module")
def sets():
    return runpy.run_path(str(BENCHMARKS / "quality_sets.py"))


def read(arguments):
    """Reads the files that `padless preprocess` is given: split -> rows."""
    files = [pathlib.Path(argument) for argument in arguments if argument.endswith(".jsonl")]
    return {
        file.parent.name: [json.loads(line) for line in file.read_text().splitlines()]
        for file in files
    }


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Two timesteps per sequence; the first value numbers the sequences."""
    folder = tmp_path_factory.mktemp("digits")
    for name, count in (("Train", 6600), ("Test", 2200)):
        blocks = "".join(f"{i} 1.5\n{i} 2.5\n\n" for i in range(count))
        with gzip.open(folder / f"{name}_Arabic_Digit.txt.gz", "wt") as file:
            file.write("            \n" + blocks)
    return folder


def test_digits_are_labelled_by_their_place(sets, digits, tmp_path):
    arguments = sets["spoken_arabic_digits"](digits, tmp_path)
    splits = read(arguments)
    assert arguments[-3:] == ["--label-column", "label", "--keep-splits"]
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 6600, "test": 2200}
    assert splits["train"][660]["sequence"] == [[660.0, 1.5], [660.0, 2.5]]
    assert [splits["train"][i]["label"] for i in (0, 659, 660, 6599)] == ["0", "0", "1", "9"]
    assert [splits["test"][i]["label"] for i in (219, 220)] == ["0", "1"]


def test_one_digit_is_normal(sets, digits, tmp_path):
    splits = read(sets["one_digit_normal"](3)(digits, tmp_path))
    numbers = {split: [int(row["sequence"][0][0]) for row in splits[split]] for split in splits}
    assert sorted(numbers["train"] + numbers["validation"]) == list(range(1980, 2640))
    speakers = {split: {number // 10 for number in numbers[split]} for split in splits}
    assert not speakers["train"] & speakers["validation"]
    assert 60 < len(numbers["validation"]) < 200
    assert {row["label"] for row in splits["train"] + splits["validation"]} == {"0"}
    labels = [row["label"] for row in splits["test"]]
    assert labels.count("0") == 220
    assert set(labels[660:880]) == {"0"}


def test_ecg_trains_on_normal_beats_and_is_cut_as_drawn(sets, tmp_path):
    beats = np.arange(1000 * 140, dtype=np.float32).reshape(1000, 140)
    np.savez(tmp_path / "ecg5000_all.npz", x=beats, anomaly=np.arange(1000) % 2)
    whole = read(sets["ecg5000"](tmp_path, tmp_path / "whole"))
    cut = read(sets["ecg5000_cut"](tmp_path, tmp_path / "cut"))
    again = read(sets["ecg5000_cut"](tmp_path, tmp_path / "again"))
    assert cut == again
    assert {row["label"] for row in whole["train"] + whole["validation"]} == {"0"}
    assert len(whole["train"]) + len(whole["validation"]) > 350
    assert 50 < len(whole["validation"]) < 110
    assert 150 < len(whole["test"]) < 250
    assert {row["label"] for row in whole["test"]} == {"0", "1"}
    keys = [row["key"] for rows in whole.values() for row in rows]
    assert len(keys) == len(set(keys))
    assert {len(row["sequence"]) for row in whole["train"]} == {140}
    lengths = [len(row["sequence"]) for row in cut["test"]]
    assert (min(lengths), max(lengths)) == pytest.approx((70, 140), abs=3)


def test_cmapss_cuts_healthy_cycles_and_the_ends_of_records(sets, tmp_path):
    def engine(unit, cycles):
        row = " ".join(["0.5"] * 23)
        return "".join(f"{unit} {cycle} {cycle} {row}\n" for cycle in range(1, cycles + 1))

    (tmp_path / "train_FD001.txt").write_text("unit cycle ...\n" + engine(1, 200) + engine(2, 128))
    (tmp_path / "test_FD001.txt").write_text(engine(1, 31) + engine(2, 90))
    (tmp_path / "RUL_FD001.txt").write_text("RUL\n112\n98\n")
    splits = read(sets["cmapss"](tmp_path, tmp_path / "raw"))
    healthy = splits["train"] + splits["validation"]
    assert len(healthy) == 16
    assert len(splits["train"]) % 8 == 0
    for row in healthy:
        assert 30 <= len(row["sequence"]) <= 60
        assert row["sequence"][-1][0] <= 125
        end = 200 if row["key"].startswith("train-0") else 128
        assert int(row["label"]) == end - row["sequence"][-1][0]
    assert [row["label"] for row in splits["test"]] == ["112", "98"]
    assert [row["sequence"][-1][0] for row in splits["test"]] == [31, 90]
