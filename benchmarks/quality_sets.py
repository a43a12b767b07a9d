"""The sets of `quality.py`: converts the files of the archives to what padless reads.

Each function takes the folder of its set and a folder to write to, and returns the arguments of
`padless preprocess` that read it. The names of files or directories give the split.
"""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

_DIGITS = {"train": 660, "test": 220}
_TEST_SHARE = 0.2
# Of the sequences left: they choose the epoch, and scores are compared with theirs.
_VALIDATION_SHARE = 0.2
_HEALTHY_CYCLES = 125
_CUTS_PER_ENGINE = 8

Row = tuple[str, np.ndarray, str]


def japanese_vowels(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    """9 speakers who say two vowels, in the unchanged files of the UEA archive."""
    files = sorted(map(str, folder.glob("*_T*.ts")))
    return [*files, "--label-column", "label", "--keep-splits"]


def ucr_ragged(name: str):
    """Makes a set of sequences of one feature, in the unchanged files of the UCR archive."""

    def find(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
        files = [str(folder / f"{name}_{split}.ts") for split in ("TRAIN", "TEST")]
        return [*files, "--label-column", "label", "--keep-splits"]

    return find


def one_label_normal(name: str, normal: str):
    """Makes a set with one label in training and all in the test; nothing is held out."""

    def write(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
        rows = {
            split: [
                (key, sequence, str(int(label != normal)))
                for key, sequence, label in _ucr_rows(folder / f"{name}_{split.upper()}.ts")
            ]
            for split in ("train", "test")
        }
        trained_on = [row for row in rows["train"] if row[2] == "0"]
        return _write(work, {"train": trained_on, "test": rows["test"]})

    return write


def spoken_arabic_digits(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    """MFCC frames of spoken digits, in UCI's files: blocks of lines, digit after digit."""
    return _write(work, {split: _digits(folder, split) for split in _DIGITS})


def one_digit_normal(digit: int):
    """Makes a set with one digit in training and all ten in the test; the label is the digit."""

    def write(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
        splits = {
            split: [
                (key, sequence, str(int(label != str(digit))))
                for key, sequence, label in _digits(folder, split)
            ]
            for split in _DIGITS
        }
        normal = [row for row in splits["train"] if row[2] == "0"]
        # Those of one speaker stand together and stay so: the test split has other speakers too.
        return _write(work, _hold_out(normal, together=10) | {"test": splits["test"]})

    return write


def ecg5000(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    """Heart beats: the normal ones of four fifths in training, all of one fifth in the test."""
    return _ecg(folder, work, shortest=None)


def ecg5000_cut(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    """The same, each beat cut to its first 70 to 140 timesteps, drawn at random."""
    return _ecg(folder, work, shortest=70)


def cmapss(folder: pathlib.Path, work: pathlib.Path) -> list[str]:
    """Turbofan engines: cuts of 30 to 60 cycles.

    In training from the first 125 cycles of each engine, taken as healthy; in the test the last
    cycles before each record ends. The label is the distance to failure, in cycles.
    """
    rng = np.random.default_rng(0)
    left = [float(line) for line in _number_lines(folder / "RUL_FD001.txt")]
    train = []
    for unit, cycles in enumerate(_engines(folder / "train_FD001.txt")):
        for i in range(_CUTS_PER_ENGINE):
            length = int(rng.integers(30, 61))
            start = int(rng.integers(0, min(_HEALTHY_CYCLES, len(cycles)) - length + 1))
            cut, distance = cycles[start : start + length], len(cycles) - start - length
            train.append((f"train-{unit}-{i}", cut, str(distance)))
    test = [
        (f"test-{unit}", cycles[-int(rng.integers(30, 61)) :], str(int(distance)))
        for unit, (cycles, distance) in enumerate(
            zip(_engines(folder / "test_FD001.txt"), left, strict=True)
        )
    ]
    # Cuts of one engine stay together.
    return _write(work, _hold_out(train, together=_CUTS_PER_ENGINE) | {"test": test})


def _ecg(folder: pathlib.Path, work: pathlib.Path, *, shortest: int | None) -> list[str]:
    with np.load(folder / "ecg5000_all.npz", allow_pickle=False) as data:
        beats, labels = data["x"], data["anomaly"]
    rng = np.random.default_rng(0)
    in_test = rng.random(len(beats)) < _TEST_SHARE
    ends = rng.integers(shortest or beats.shape[1], beats.shape[1] + 1, len(beats))
    rows = [
        (f"beat-{i}", beat[:end, None], str(int(label)))
        for i, (beat, end, label) in enumerate(zip(beats, ends, labels, strict=True))
    ]
    normal = [row for row, test in zip(rows, in_test, strict=True) if not test and row[2] == "0"]
    test = [row for row, test in zip(rows, in_test, strict=True) if test]
    return _write(work, _hold_out(normal) | {"test": test})


def _hold_out(rows: list[Row], *, together: int = 1) -> dict[str, list[Row]]:
    """Draws the split `validation` from rows, of which some belong together."""
    drawn = np.random.default_rng(1).random(len(rows) // together) < _VALIDATION_SHARE
    held_out = np.repeat(drawn, together)
    return {
        split: [row for row, held in zip(rows, held_out, strict=True) if held == wanted]
        for split, wanted in (("train", False), ("validation", True))
    }


def _digits(folder: pathlib.Path, split: str) -> Iterator[Row]:
    path = folder / f"{split.capitalize()}_Arabic_Digit.txt.gz"
    with gzip.open(path, "rt") as file:
        blocks = file.read().split("\n\n")
    blocks = [block.split("\n") for block in map(str.strip, blocks) if block]
    for i, lines in enumerate(blocks):
        frames = np.array([line.split() for line in lines if line.strip()], np.float32)
        yield f"{split}-{i}", frames, str(i // _DIGITS[split])


def _ucr_rows(path: pathlib.Path) -> Iterator[Row]:
    """Reads a `.ts` file of one feature."""
    lines = path.read_text().partition("@data")[2].split("\n")[1:]
    for i, line in enumerate(filter(None, map(str.strip, lines))):
        values, _, label = line.rpartition(":")
        yield f"{path.stem}-{i}", np.array(values.split(","), np.float32)[:, None], label


def _engines(path: pathlib.Path) -> list[np.ndarray]:
    """Reads unit, cycle, 3 settings and 21 sensors; the cycles of each unit `(cycles, 24)`."""
    table = np.array([line.split() for line in _number_lines(path)], np.float32)
    return [table[table[:, 0] == unit][:, 2:] for unit in np.unique(table[:, 0])]


def _number_lines(path: pathlib.Path) -> list[str]:
    """Reads the lines that begin with a number, without a header."""
    return [line for line in path.read_text().splitlines() if line.strip()[:1].isdigit()]


def _write(work: pathlib.Path, splits: dict[str, Iterable[Row]]) -> list[str]:
    """Writes JSON lines, each split into the directory of its name."""
    for split, rows in splits.items():
        (work / split).mkdir(parents=True)
        with (work / split / "sequences.jsonl").open("w") as file:
            for key, sequence, label in rows:
                row = {"key": key, "sequence": sequence.tolist(), "label": label}
                file.write(json.dumps(row) + "\n")
    files = [str(work / split / "sequences.jsonl") for split in splits]
    return [*files, "--label-column", "label", "--keep-splits"]
