"""Measures how long training takes until it reaches a loss, beside PyTorch.

    python benchmarks/time_to_loss.py DATASET... [--epochs 10] [--seeds 3] [--batch-size 64]
        [--ways padless torch_equal ...] [--json FILE] [--picture FILE]

An epoch of batches of one length can be faster, and teach less: what a user waits for is a loss.
The ways are those of `training_cost.py`, with weights drawn from the same distributions, the same
objective, the mean over the sequences, and the same Adam. They take turns, epoch by epoch, each in
a process of its own. The loss of an epoch is the mean over its steps, as they were trained; its
seconds are the median of the epochs but for the first, which traces and warms up.

The table shows, as means over the seeds, when each way has reached the loss that PyTorch's batches
of one length have after the last epoch, between two epochs by a straight line, and how long that
took, against padless.
"""

import argparse
import os
import statistics

import numpy as np
from peers import add_file_arguments, axes_by_set, save_rows, take_turns
from training_cost import WAYS

TARGET = "torch_equal"
# Those whose loss is the same objective to the last digit.
NAMES = ["padless", TARGET, "torch_padded", "torch_packed"]


def measure(directory, args, seed):
    """Trains in turns: {way: (seconds per epoch, losses of the epochs)}."""
    ways = {name: WAYS[name] for name in args.ways}
    measured = take_turns(ways, (directory, args.batch_size, seed), [()], args.epochs - 1)
    return {
        name: (
            statistics.median(turn.seconds for turn in turns[1:]),
            [turn.result for turn in turns],
        )
        for (_, name), turns in measured.items()
    }


def epochs_until(losses, target):
    """Returns how many epochs it takes to a loss, or None where it was not reached."""
    lowest = np.minimum.accumulate(losses)
    if lowest[-1] > target:
        return None
    # From the highest loss to the lowest, as `interp` takes ascending values.
    return float(np.interp(-target, -lowest, np.arange(1, len(losses) + 1)))


def rows_of(directory, seeds):
    """Returns a row per way, of what `measure` returned for each seed."""
    targets = [measured[TARGET][1][-1] for measured in seeds]
    rows = []
    for name in seeds[0]:
        seconds, losses = zip(*(measured[name] for measured in seeds), strict=True)
        row = {
            "set": os.path.basename(os.path.normpath(directory)),
            "way": name,
            "seconds_per_epoch": statistics.mean(seconds),
            "losses": np.mean(losses, 0).tolist(),
            "target": statistics.mean(targets),
        }
        epochs = list(map(epochs_until, losses, targets))
        if None not in epochs:
            row["epochs_to_target"] = statistics.mean(epochs)
            row["seconds_to_target"] = float(np.multiply(seconds, epochs).mean())
        rows.append(row)
    return rows


def draw(rows, path):
    """Draws for each set the loss of each way against the seconds that it took."""
    from padless.pipeline.figures import new_figure, save_figure

    figure = new_figure(figsize=(11, 3.2), layout="constrained")
    for axes, shown in axes_by_set(figure, rows):
        for row in shown:
            seconds = row["seconds_per_epoch"] * np.arange(1, len(row["losses"]) + 1)
            own = row["way"] == "padless"
            axes.plot(seconds, row["losses"], label=row["way"], linewidth=2.5 if own else 1.2)
        axes.axhline(row["target"], color="C7", linewidth=1, linestyle=":")
        axes.set_xlabel("seconds of training")
    axes.legend()
    figure.supylabel("loss", fontsize="medium")
    save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=NAMES, default=NAMES)
    add_file_arguments(parser)
    args = parser.parse_args()
    args.ways = list(dict.fromkeys(["padless", TARGET, *args.ways]))
    print("| set | way | seconds per epoch | last loss | epochs to target | against padless |")
    print("|---|---|---|---|---|---|", flush=True)
    rows = []
    for directory in args.datasets:
        measured = [measure(directory, args, seed) for seed in range(args.seeds)]
        own, *others = rows_of(directory, measured)
        for row in (own, *others):
            cells = [row["set"], row["way"], f"{row['seconds_per_epoch']:.2f}"]
            cells += [f"{row['losses'][-1]:.4f}", "not reached", ""]
            if "epochs_to_target" in row:
                cells[-2] = f"{row['epochs_to_target']:.1f}"
            if "seconds_to_target" in row and "seconds_to_target" in own:
                cells[-1] = f"{row['seconds_to_target'] / own['seconds_to_target']:.2f}"
            print(f"| {' | '.join(cells)} |", flush=True)
            rows.append(row)
    save_rows(rows, args, draw)


if __name__ == "__main__":
    main()
