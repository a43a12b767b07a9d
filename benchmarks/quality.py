"""Measures embeddings and scores, from raw files by the commands of padless.

    python benchmarks/quality.py --data FOLDER --seeds 5

`FOLDER` holds a folder per set: `japanese_vowels` and `spoken_arabic_digits` (UCI and UEA),
`ecg5000` (UCR, as one npz), `cmapss` (NASA, FD001). Each set is preprocessed once, and trained once
per seed with the default options, except the size of the embedding and the epochs. Each seed
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
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import quality_sets as sets
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, roc_auc_score

# Alarms are raised below these, which no label chooses.
_P_VALUES = (0.02, 0.05)


@dataclasses.dataclass(frozen=True)
class Set:
    """A set of sequences and how it is used.

    Attributes:
        folder: its folder under `--data`.
        prepare: returns the arguments of `padless preprocess`.
        latent_size: values of an embedding.
        epochs: of training.
        measure: computes measures from the columns of the training and of the test split.
        goal: value of the first measure to reach, or None.
    """

    folder: str
    prepare: Callable
    latent_size: int
    epochs: int
    measure: Callable
    goal: float | None = None


def classify(train, test) -> dict[str, float]:
    """Predicts labels from embeddings."""
    # Here, as it brings TensorFlow along, which has much to say.
    from padless.model.comparison.label_accuracy import label_accuracy

    columns = (train["embedding"], train["label"], test["embedding"], test["label"])
    return {"accuracy": label_accuracy(*columns)}


def detect(train, test) -> dict[str, float]:
    """Finds anomalies, of label "1", by their score and by their p-value."""
    is_anomaly = test["label"] == "1"
    normal = {name: values[~is_anomaly] for name, values in test.items()}
    found = {
        "AUROC": roc_auc_score(is_anomaly, test["score"]),
        "AUROC of the error alone": roc_auc_score(is_anomaly, test["error"]),
    }
    for p in _P_VALUES:
        found[f"F1 at p < {p}"] = f1_score(is_anomaly, test["p_value"] < p)
        found[f"false alarms at p < {p}"] = (normal["p_value"] < p).mean()
    return found | _length_dependence(normal)


def foresee(train, test) -> dict[str, float]:
    """Correlates the score with the distance to failure, which is the label."""
    distance = test["label"].astype(float)
    return {
        "rank correlation with distance to failure": spearmanr(test["score"], distance)[0],
        "that of the error alone": spearmanr(test["error"], distance)[0],
    }


def _length_dependence(normal) -> dict[str, float]:
    if len(set(normal["length"])) == 1:
        return {}
    by_length = np.argsort(normal["length"], kind="stable")
    alarm = normal["p_value"] < _P_VALUES[-1]
    quarters = [alarm[rows].mean() for rows in np.array_split(by_length, 4)]
    return {
        "the same, least of four quarters by length": min(quarters),
        "the same, most": max(quarters),
        "score ~ length": spearmanr(normal["score"], normal["length"])[0],
        "error ~ length": spearmanr(normal["error"], normal["length"])[0],
        "p ~ length": spearmanr(normal["p_value"], normal["length"])[0],
    }


SETS = {
    "japanese_vowels": Set("japanese_vowels", sets.japanese_vowels, 64, 150, classify, goal=0.985),
    "spoken_arabic_digits": Set(
        "spoken_arabic_digits", sets.spoken_arabic_digits, 128, 24, classify, goal=0.965
    ),
    "ecg5000": Set("ecg5000", sets.ecg5000, 32, 30, detect, goal=0.964),
    "ecg5000_cut": Set("ecg5000", sets.ecg5000_cut, 32, 30, detect),
    **{
        f"digit_{digit}_normal": Set(
            "spoken_arabic_digits", sets.one_digit_normal(digit), 32, 60, detect
        )
        for digit in range(10)
    },
    "cmapss": Set("cmapss", sets.cmapss, 16, 100, foresee),
}


def main() -> None:
    """Runs the sets and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--sets", type=lambda text: text.split(","), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="for a quick look")
    args = parser.parse_args()
    found = collections.defaultdict(list)
    for name in args.sets:
        with tempfile.TemporaryDirectory() as work:
            for seed, measured in run_set(SETS[name], args, pathlib.Path(work)):
                shown = ", ".join(f"{key} {value:.4f}" for key, value in measured.items())
                print(f"{name}, seed {seed}: {shown}", flush=True)
                # The ten digits are one set of the table.
                row = "one digit normal" if name.startswith("digit_") else name
                for key, value in measured.items():
                    found[row, key].append(value)
    print(_table(found))


def run_set(chosen: Set, args: argparse.Namespace, work: pathlib.Path):
    """Preprocesses a set, and yields each seed with the measures of its run."""
    data = work / "data"
    raw = chosen.prepare(args.data / chosen.folder, work / "raw")
    _padless("preprocess", *raw, "--output", data)
    epochs = max(1, round(chosen.epochs * args.epochs_scale))
    for seed in range(args.seeds):
        run = work / f"run-{seed}"
        size = ("--latent-size", chosen.latent_size, "--epochs", epochs)
        _padless("train", data, "--run", run, *size, "--seed", seed, "--quiet")
        scores = work / f"scores-{seed}.parquet"
        _padless("score", run, data, "--output", scores)
        table = pq.read_table(scores)
        yield seed, chosen.measure(*(_columns(table, split) for split in ("train", "test")))


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
    lines = [f"{'set':<22}{'measure':<44}{'runs':>5}{'mean':>9}{'least':>9}{'most':>9}{'goal':>8}"]
    for (name, key), values in found.items():
        goal = SETS[name].goal if name in SETS and key in ("accuracy", "F1 at p < 0.02") else None
        numbers = "".join(f"{n:>9.4f}" for n in (np.mean(values), min(values), max(values)))
        lines.append(f"{name:<22}{key:<44}{len(values):>5}{numbers}{goal or '':>8}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
