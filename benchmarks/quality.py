"""Measures embeddings and scores, from raw files by the commands of padless with default options.

    python benchmarks/quality.py --data FOLDER --seeds 3

`FOLDER` holds a folder per set: `japanese_vowels` and `spoken_arabic_digits` (UCI and UEA),
`ucr_ragged` (eight sets of the UCR archive), `ecg5000` (UCR, as one npz), `cmapss` (NASA, FD001).
Each set is preprocessed once, and trained once per seed; nothing is chosen per set. Each seed
prints a line; the table at the end shows the mean, the smallest and the largest value. Needs
`padless[compare]`.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow.parquet as pq
import quality_measures as measures
import quality_sets as sets


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of sequences and how it is used.

    Attributes:
        folder: its folder under `--data`.
        prepare: returns the arguments of `padless preprocess`.
        measure: computes measures of a run.
        row: the row of the table that it is averaged in; its own if empty.
        published: what others have published for the first measure.
    """

    folder: str
    prepare: Callable
    measure: Callable
    row: str = ""
    published: str = ""


# Accuracy of a support vector machine on the embeddings of TS2Vec and of T-Loss.
_UCR = {
    "AllGestureWiimoteX": ".777, .763",
    "AllGestureWiimoteY": ".796, .726",
    "GestureMidAirD1": ".608, .608",
    "GestureMidAirD2": ".479, .546",
    "GesturePebbleZ1": ".930, .919",
    "ShakeGestureWiimoteZ": ".940, .920",
}
# Those that are averaged in a row besides, and those that are not: the goals do not name them.
_AVERAGED = tuple(_UCR)
_UCR |= {"PickupGestureWiimoteZ": "", "PLAID": ""}
# Labels of which one is normal at a time.
_ONE_NORMAL = {
    "AllGestureWiimoteX": range(1, 11),
    "GesturePebbleZ1": range(1, 7),
    "PLAID": range(11),
}

SETS = {
    **{
        name: Set("ucr_ragged", sets.ucr_ragged(name), measures.classify, published=published)
        for name, published in _UCR.items()
    },
    "japanese_vowels": Set(
        "japanese_vowels", sets.japanese_vowels, measures.classify, published=".984, .989"
    ),
    "spoken_arabic_digits": Set(
        "spoken_arabic_digits", sets.spoken_arabic_digits, measures.classify, published=".988, .956"
    ),
    "ecg5000": Set("ecg5000", sets.ecg5000, measures.detect),
    "ecg5000_cut": Set("ecg5000", sets.ecg5000_cut, measures.detect),
    "cmapss": Set("cmapss", sets.cmapss, measures.foresee),
    **{
        f"digit_{digit}_normal": Set(
            "spoken_arabic_digits",
            sets.one_digit_normal(digit),
            measures.detect,
            row="one digit normal",
        )
        for digit in range(10)
    },
    **{
        f"{name}_{label}_normal": Set(
            "ucr_ragged",
            sets.one_label_normal(name, str(label)),
            measures.separate,
            row=f"one of {name} normal",
        )
        for name, labels in _ONE_NORMAL.items()
        for label in labels
    },
}


def main() -> None:
    """Runs the sets and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", default="", help="options of `padless train`, in one argument")
    args = parser.parse_args()
    found = collections.defaultdict(list)
    for name in args.sets:
        with tempfile.TemporaryDirectory() as work:
            for seed, measured in run_set(SETS[name], args, pathlib.Path(work)):
                shown = ", ".join(f"{key} {value:.4f}" for key, value in measured.items())
                print(f"{name}, seed {seed}: {shown}", flush=True)
                for key, value in measured.items():
                    found[SETS[name].row or name, key].append(value)
    if averaged := [name for name in _AVERAGED if (name, "SVM") in found]:
        for key in [key for name, key in found if name == averaged[0]]:
            means = np.mean([found[name, key] for name in averaged], axis=0)
            found[f"mean of {len(averaged)} gestures", key] = list(means)
    print(_table(found))


def run_set(
    chosen: Set, args: argparse.Namespace, work: pathlib.Path
) -> Iterator[tuple[int, dict[str, float]]]:
    """Preprocesses a set, and yields each seed with the measures of its run."""
    data = work / "data"
    raw = chosen.prepare(args.data / chosen.folder, work / "raw")
    _padless("preprocess", *raw, "--output", data)
    for seed in range(args.seeds):
        run, scores = work / f"run-{seed}", work / f"scores-{seed}.parquet"
        start = time.monotonic()
        _padless("train", data, "--run", run, "--seed", seed, "--quiet", *args.train.split())
        seconds = time.monotonic() - start
        _padless("score", run, data, "--output", scores)
        table = pq.read_table(scores)
        columns = [_columns(table, split) for split in ("train", "test")]
        measured = chosen.measure(measures.Scored(data, seed, *columns))
        yield seed, measured | {"seconds of training": seconds}


def _padless(*arguments) -> None:
    command = [sys.executable, "-m", "padless.cli.main", *map(str, arguments)]
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")


def _columns(table, split: str) -> dict[str, np.ndarray]:
    rows = table.filter(np.array(table["split"].to_pylist()) == split)
    columns = {name: np.array(rows[name].to_pylist()) for name in rows.column_names}
    return columns | {"embedding": np.stack(columns["embedding"])}


def _table(found) -> str:
    lines = [
        f"{'set':<30}{'measure':<44}{'runs':>5}{'mean':>9}{'least':>9}{'most':>9}  TS2Vec, T-Loss"
    ]
    for (name, key), values in found.items():
        published = SETS[name].published if name in SETS and key == "SVM" else ""
        numbers = "".join(f"{n:>9.4f}" for n in (np.mean(values), min(values), max(values)))
        lines.append(f"{name:<30}{key:<44}{len(values):>5}{numbers}  {published}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
