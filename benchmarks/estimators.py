"""Measures the estimators as a user of scikit-learn has them, with default options.

    python benchmarks/estimators.py --data FOLDER

The demo's vowels: the accuracy of a pipeline on its test data, and the CPU time to score sequences
from memory and as raw files. With `--data`, whose folder `ecg5000` holds the UCR set as one npz:
what a detector finds that was fitted to 2,000 normal heart beats. Needs `padless[sklearn]`.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time

import numpy as np
import pyarrow as pa
from pyarrow import csv
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from padless.beam_jobs import open_raw
from padless.estimators import SequenceAnomalyDetector, SequenceEncoder
from padless.model import open_run

VOWELS = pathlib.Path(__file__).parents[1] / "examples" / "japanese_vowels"
LEVEL = 0.05
NORMAL_BEATS = 2_000


def read_vowels(split: str) -> tuple[pa.Table, list[int]]:
    """Reads a long table, and the speaker of each key in the order of the keys."""
    table = csv.read_csv(VOWELS / f"{split}.csv")
    speakers = dict(zip(table["key"].to_pylist(), table["speaker"].to_pylist(), strict=True))
    return table.drop_columns("speaker"), list(speakers.values())


def classify_vowels() -> None:
    pipeline = make_pipeline(SequenceEncoder(), StandardScaler(), LogisticRegression(max_iter=2000))
    started = time.process_time()
    pipeline.fit(*read_vowels("train"))
    print(f"vowels: fitted in {time.process_time() - started:.0f} CPU s", end=", ")
    print(f"accuracy {pipeline.score(*read_vowels('test')):.3f}", flush=True)


def find_beats(folder: pathlib.Path) -> None:
    with np.load(folder / "ecg5000_all.npz", allow_pickle=False) as data:
        beats, is_anomaly = data["x"][:, :, None], data["anomaly"].astype(bool)
    normal = np.random.default_rng(0).permutation(np.flatnonzero(~is_anomaly))[:NORMAL_BEATS]
    others = np.setdiff1d(np.arange(len(beats)), normal)
    detector = SequenceAnomalyDetector(level=LEVEL).fit(beats[normal])
    found, truth = detector.predict(beats[others]) == -1, is_anomaly[others]
    auroc = roc_auc_score(truth, -detector.score_samples(beats[others]))
    print(f"ECG5000, {len(others):,} beats: AUROC {auroc:.3f}", end=", ")
    print(f"{found[truth].mean():.1%} of the anomalies found", end=", ")
    print(f"{found[~truth].mean():.1%} of the normal beats reported", flush=True)


def time_scoring() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 12)) for length in rng.integers(7, 30, 1_000)]
    with tempfile.TemporaryDirectory() as folder:
        detector = SequenceAnomalyDetector(epochs=1, directory=folder).fit(sequences)
        run, raw_file = open_run(f"{folder}/run"), f"{folder}/raw.npz"
        for count in (10, 1_000, 10, 1_000):  # the first two trace
            np.savez(raw_file, **{str(i): one for i, one in enumerate(sequences[:count])})
            started = time.process_time()
            with open_raw([raw_file], rules=run.config.rules) as raw:
                run.write_scores(raw.dataset, f"{folder}/scores.parquet")
            by_job = time.process_time() - started
            started = time.process_time()
            detector.score_samples(sequences[:count])
            in_memory = time.process_time() - started
            print(f"{count:,} sequences: {in_memory:.3f} CPU s, as raw files {by_job:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=pathlib.Path, help="folder with a folder per set")
    args = parser.parse_args()
    classify_vowels()
    time_scoring()
    if args.data:
        find_beats(args.data / "ecg5000")


if __name__ == "__main__":
    main()
