"""Measures scoring by Beam's workers against `padless score` in one process: time and memory.

    python benchmarks/bulk_scoring.py [--sequences 40000] [--features 12] [--folder F]

Parquet files with lognormal lengths, median 40, are generated, and a model of the default form is
trained on a few of them. Each way is a command of its own, from the raw files and from a dataset
directory of them, with its start.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

from measured_process import run_measured
from raw_parquet import write_parquet

NUM_TRAINED = 2_000
WORKERS = "--direct_running_mode=multi_processing"
WAYS = {
    "one process, one file": ("--output", "OUT.parquet"),
    "Beam, in one process": ("--output-directory", "OUT", "--runner=FnApiRunner"),
    "Beam, 2 threads": ("--output-directory", "OUT", "--direct_num_workers=2"),
    "Beam, 1 worker process": ("--output-directory", "OUT", "--direct_num_workers=1", WORKERS),
    "Beam, 2 worker processes": ("--output-directory", "OUT", "--direct_num_workers=2", WORKERS),
}


def call(*arguments):
    return run_measured([sys.executable, "-m", "padless.cli.main", *map(str, arguments)])


def prepare(folder, num_sequences, num_features):
    """Writes raw files and a dataset of them, and trains; returns the two inputs and the run."""
    raw, data, run = (folder / name for name in ("raw", "data", "run"))
    write_parquet(raw, num_sequences, num_features)
    write_parquet(folder / "few", NUM_TRAINED, num_features)
    splits = ("--splits", "train=0.8,validation=0.2")
    call("preprocess", f"{folder}/few/*.parquet", "--output", folder / "trained", *splits, "-q")
    call("train", folder / "trained", "--run", run, "--epochs", 1, "-q")
    shards = ("--splits", "train=1", "--shard-bytes", 4 * 1024 * 1024)
    call("preprocess", f"{raw}/*.parquet", "--output", data, *shards, "-q")
    return {"raw files": f"{raw}/*.parquet", "dataset": data}, run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=40_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--folder", help="where to write (by default a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = pathlib.Path(folder)
        inputs, run = prepare(folder, args.sequences, args.features)
        print("| input | way | seconds | sequences per second | CPU seconds | peak MiB |")
        print("|---|---|---|---|---|---|")
        for name, source in inputs.items():
            for way, options in WAYS.items():
                options = [option.replace("OUT", str(folder / "out")) for option in options]
                done = call("score", run, source, *options, "-q")
                speed = args.sequences / done.seconds
                print(
                    f"| {name} | {way} | {done.seconds:.1f} | {speed:,.0f} | "
                    f"{done.cpu_seconds:.1f} | {done.peak_mib:,.0f} |",
                    flush=True,
                )
                shutil.rmtree(folder / "out", ignore_errors=True)
                (folder / "out.parquet").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
