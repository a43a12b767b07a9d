"""Compares ways to handle rare lengths: seconds per epoch, and loss after the same epochs.

Ways to train on the same data: batches of one length that add up to full steps (the default), each
batch a step of its own, neighbouring lengths merged under a bound on the padding, and packed steps,
whose groups of one length have at most so many sequences; groups of 1 are steps of any lengths.

    python benchmarks/long_tail.py DATASET... [--epochs 10] [--max-padding 0.05] [--repeats 3]
        [--group-sizes 8 1]

Each DATASET is a dataset directory with a split `validation`. The ways alternate, and each repeat
has another seed. The seconds are the median over the repeats of the mean epoch, reading and
computing without validation; the losses are means over the repeats.
"""

import argparse
import csv
import dataclasses
import pathlib
import statistics
import tempfile

from padless.model import Architecture, TrainingOptions, open_run, train
from padless.pipeline import BatchPlan, open_dataset


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--max-padding", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--group-sizes", type=int, nargs="*", default=[8, 1])
    args = parser.parse_args()
    print("| set | way | batches | steps | padded | seconds per epoch | loss | validation loss |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for directory in args.datasets:
        for row in measure(directory, args):
            print(f"| {' | '.join(row)} |", flush=True)


def measure(directory, args):
    """Trains in each way, alternating, and returns the rows of the table."""
    common = {"epochs": args.epochs, "batch_size": args.batch_size}
    ways = {
        "accumulated": TrainingOptions(**common),
        "small steps": TrainingOptions(**common, accumulate=False),
        f"merged, {args.max_padding:.0%}": TrainingOptions(**common, max_padding=args.max_padding),
    } | {
        f"packed, groups of {size}": TrainingOptions(**common, group_size=size)
        for size in args.group_sizes
    }
    architecture = Architecture(units=args.units)
    seconds = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        runs = {way: pathlib.Path(folder, str(i)) for i, way in enumerate(ways)}
        for repeat in range(args.repeats):
            for way, options in ways.items():
                run = runs[way] / str(repeat)
                seeded = dataclasses.replace(options, seed=repeat)
                train(directory, run, architecture=architecture, options=seeded)
                seconds[way].append(seconds_per_epoch(run))
        first = statistics.median(seconds["accumulated"])
        for way, options in ways.items():
            run = runs[way] / "0"
            taken = statistics.median(seconds[way])
            histories = [read_rows(runs[way] / str(r) / "history.csv") for r in range(args.repeats)]
            losses = (
                statistics.mean(float(history[-1][name]) for history in histories)
                for name in ("loss", "val_loss")
            )
            yield [
                pathlib.Path(directory).name,
                way,
                *describe(plan_of(directory, run, options)),
                f"{taken:.2f} (x {taken / first:.2f})",
                *(f"{loss:.4f}" for loss in losses),
            ]


def plan_of(directory, run, options) -> BatchPlan:
    cost = open_run(run).config.batch_cost
    return options.plan(open_dataset(directory).split("train").lengths, 1, cost)


def describe(plan):
    return f"{plan.num_batches:,}", f"{plan.steps_per_epoch:,}", f"{plan.padding:.1%}"


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
