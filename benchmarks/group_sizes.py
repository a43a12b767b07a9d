"""Compares group sizes: seconds per epoch, and loss after the same epochs.

A step takes groups of at most so many sequences of one length. Groups as large as a step make steps
of few lengths, groups of 1 make steps of any lengths.

    python benchmarks/group_sizes.py DATASET... [--epochs 10] [--repeats 3] [--group-sizes 64 8 1]

Each DATASET is a dataset directory with a split `validation`. The group sizes take turns, and each
repeat has another seed. The seconds are the median over the repeats of the mean epoch, reading and
computing without validation; the losses are means over the repeats.
"""

import argparse
import csv
import dataclasses
import pathlib
import statistics
import tempfile

from peers import PLAIN_FORM

from padless.model import Architecture, TrainingOptions, open_run, train


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--group-sizes", type=int, nargs="*", default=[64, 8, 1])
    args = parser.parse_args()
    print("| set | groups of | lengths per step | seconds per epoch | loss | validation loss |")
    print("|---|---|---|---|---|---|", flush=True)
    for directory in args.datasets:
        for row in measure(directory, args):
            print(f"| {' | '.join(row)} |", flush=True)


def measure(directory, args):
    """Trains with each group size, in turns, and returns the rows of the table."""
    ways = {
        size: TrainingOptions(epochs=args.epochs, batch_size=args.batch_size, group_size=size)
        for size in args.group_sizes
    }
    architecture = Architecture(units=args.units, **PLAIN_FORM)
    with tempfile.TemporaryDirectory() as folder:
        runs = {size: pathlib.Path(folder, str(size)) for size in ways}
        for repeat in range(args.repeats):
            for size, options in ways.items():
                seeded = dataclasses.replace(options, seed=repeat)
                train(
                    directory,
                    runs[size] / str(repeat),
                    architecture=architecture,
                    options=seeded,
                )
        seconds = {
            size: [seconds_per_epoch(runs[size] / str(r)) for r in range(args.repeats)]
            for size in ways
        }
        for size in ways:
            first = seconds[args.group_sizes[0]]
            ratios = [a / b for a, b in zip(seconds[size], first, strict=True)]
            histories = [
                read_rows(runs[size] / str(r) / "history.csv") for r in range(args.repeats)
            ]
            losses = (
                statistics.mean(float(history[-1][name]) for history in histories)
                for name in ("loss", "val_loss")
            )
            run = open_run(runs[size] / "0")
            yield [
                pathlib.Path(directory).name,
                str(size),
                f"{run.plan(run.open_dataset()).bands_per_step:.1f}",
                f"{statistics.median(seconds[size]):.2f} (x {statistics.median(ratios):.2f})",
                *(f"{loss:.4f}" for loss in losses),
            ]


def seconds_per_epoch(run):
    rows = read_rows(run / "timing.csv")
    return statistics.fmean(
        float(row["waiting_seconds"]) + float(row["computing_seconds"]) for row in rows
    )


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
