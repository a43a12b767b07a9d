"""Measures preprocessing and one epoch of batches at growing sizes: time and memory of processes.

    python benchmarks/preprocess_scale.py [--sequences 100000,1000000] [--features 12] [--folder F]

Parquet files with lognormal lengths, median 40, are generated. `padless preprocess` makes a dataset
of them with its default options, and one epoch of its packed steps is read, shuffled as in
training. Memory is the peak of all processes of a step together.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

from measured_process import run_measured
from raw_parquet import write_parquet

EPOCH = """
import sys
from padless.pipeline import Shuffle, open_dataset, packed_steps, plan_batches
dataset = open_dataset(sys.argv[1])
plan = plan_batches(dataset.split("train").lengths, batch_size=64, group_size=8)
count = 0
for batch in packed_steps(dataset, plan, shuffle=Shuffle(seed=0)):
    count += len(batch["length"])
assert count == dataset.split("train").num_sequences, count
print(count)
"""


def measure(folder, num_sequences, num_features):
    raw, data = folder / f"raw-{num_sequences}", folder / f"data-{num_sequences}"
    num_bytes = write_parquet(raw, num_sequences, num_features)
    padless = [sys.executable, "-m", "padless.cli.main"]
    preprocess = run_measured([*padless, "preprocess", f"{raw}/*.parquet", "--output", str(data)])
    epoch = run_measured([sys.executable, "-c", EPOCH, str(data)])
    shutil.rmtree(raw)
    shutil.rmtree(data)
    return num_bytes, preprocess, epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", default="100000,1000000")
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--folder", help="where to write some 5 GB (by default a temporary one)")
    args = parser.parse_args()
    sizes = list(map(int, args.sequences.split(",")))
    print("sequences  raw GB  step        seconds  CPU seconds  us CPU/sequence  peak MiB")
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for size in sizes:
            num_bytes, *steps = measure(pathlib.Path(folder), size, args.features)
            for name, step in zip(("preprocess", "epoch"), steps, strict=True):
                print(
                    f"{size:9,} {num_bytes / 1e9:7.2f}  {name:10} {step.seconds:8.1f} "
                    f"{step.cpu_seconds:12.1f} {step.cpu_seconds / size * 1e6:16.1f} "
                    f"{step.peak_mib:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
