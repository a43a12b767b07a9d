"""Measures how well an epoch is mixed, with and without records held in memory.

    python benchmarks/order.py [--sequences 200000] [--features 1] [--shards 4] [--epochs 3]
    python benchmarks/order.py --dataset DIRECTORY [--epochs 20]

- grouped: `Shuffle(held_bytes=0)`, every batch comes when the grouping has filled it;
- padless: the default, which holds a split that fits in memory, or the rare lengths of a larger.

Each way reads the same epochs in its own process. The table shows means over the epochs, and in
brackets the value in a random order (correlation and drift: two standard deviations of one epoch).
Memory is the peak of the process, including some 600 MB of TensorFlow itself.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from generated import write_dataset

from padless.pipeline import Shuffle, measure_order, open_dataset, plan_batches

WAYS = {"grouped": Shuffle(0, held_bytes=0), "padless": Shuffle(0)}
COLUMNS = ("correlation", "drift", "repeated_mates")
BY_CHANCE = ("correlation_by_chance", "drift_by_chance", "repeated_by_chance")


def measure(dataset, plan, shuffle, num_epochs):
    """Returns the means of the columns and of chance, CPU seconds per epoch and the peak in MB."""
    start = time.process_time()
    orders = list(measure_order(dataset, plan, shuffle=shuffle, epochs=range(num_epochs)))
    seconds = (time.process_time() - start) / num_epochs
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # The first epoch has no mates to compare with.
    means = [
        [np.mean([getattr(order, name) for order in orders[name.startswith("repeated") :]])]
        for name in COLUMNS + BY_CHANCE
    ]
    return np.ravel(means).tolist(), seconds, peak


def opened(args, stack):
    if args.dataset:
        return open_dataset(args.dataset)
    directory = stack.enter_context(tempfile.TemporaryDirectory())
    return write_dataset(directory, args.sequences, args.features, num_shards=args.shards)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", metavar="DIRECTORY", help="a dataset, not a generated one")
    parser.add_argument("--sequences", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=1)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        dataset = opened(args, stack)
        plan = plan_batches(dataset.split("train").lengths, batch_size=args.batch_size)
        print(f"{plan.num_sequences:,} sequences, {len(plan.lengths)} lengths, ", end="")
        print(f"{plan.num_batches:,} batches, {plan.steps_per_epoch:,} steps")
        print("way        correlation       drift             mates again      CPU s     MB")
        for way, shuffle in WAYS.items():
            pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(1))
            means, seconds, peak = pool.apply(measure, (dataset, plan, shuffle, args.epochs))
            (correlation, drift, mates), chance = means[:3], means[3:]
            print(
                f"{way:10} {correlation:+.3f} ({chance[0]:.3f})    {drift:+6.1%} ({chance[1]:.1%})"
                f"    {mates:6.1%} ({chance[2]:.1%})  {seconds:6.1f} {peak:6.0f}"
            )


if __name__ == "__main__":
    main()
