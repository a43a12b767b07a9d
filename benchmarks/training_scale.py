"""Measures memory and time of an epoch of training as the data grow: sequences and lengths.

    python benchmarks/training_scale.py [--sequences 10000 100000 1000000] [--lengths 10 100 1000]
        [--features 2] [--units 8]

Each run is a process of its own, which trains one epoch on random sequences of about 24 timesteps
with as many distinct lengths as asked for: where there are more than 40, the others are a long tail
of up to about that many timesteps. The seconds are those of the loop, its start among them; memory
is the peak of the process, TensorFlow itself among it. In a last run one sequence has 100,000
timesteps.
"""

import argparse
import collections
import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from etils import epath
from measured_process import run_measured

LONGEST = 100_000


def draw_lengths(sequences, num_lengths):
    """Draws lengths about 24, and one sequence of each length that is missing then."""
    rng = np.random.default_rng(0)
    common = min(num_lengths, 40)
    lengths = 24 - common // 2 + rng.integers(0, common, sequences)
    tail = np.arange(45, 45 + max(0, num_lengths - 40))
    lengths[: len(tail)] = tail
    return rng.permutation(lengths)


def write(folder, lengths, num_features):
    """Writes random sequences as TFRecords."""
    from padless.pipeline.dataset.framing import frame_record
    from padless.pipeline.dataset.records import encode_example

    rng = np.random.default_rng(1)
    with (epath.Path(folder) / "records").open("wb") as file:
        for i, length in enumerate(lengths.tolist()):
            values = rng.normal(size=(length, num_features)).astype(np.float32)
            file.write(frame_record(encode_example(b"%d" % i, values)))


def train(folder, lengths, num_features, units):
    """Trains one epoch and returns its seconds and its number of steps."""
    import keras

    from padless.model import Architecture, SequenceAutoencoder, Trainer, TrainingOptions
    from padless.model.training.loop import TrainingLoop
    from padless.model.training.optimizer import FusedAdam
    from padless.model.training.replicas import mirrored_strategy
    from padless.model.training.state import RunState
    from padless.pipeline.dataset.directory import SequenceDataset, Split
    from padless.pipeline.dataset.records import RecordFormat

    files = (epath.Path(folder) / "records",)
    counts = dict(sorted(collections.Counter(lengths.tolist()).items()))
    split = Split("train", files, counts)
    dataset = SequenceDataset("scale", RecordFormat(num_features), {"train": split}, None)
    strategy = mirrored_strategy(1)
    with strategy.scope():
        model = SequenceAutoencoder(num_features, Architecture(units=units, latent_size=units))
        model.compile(optimizer=FusedAdam())
    options = TrainingOptions(epochs=1, checkpoint_minutes=None)
    plans = {"train": options.plan(counts, 1)}
    loop = TrainingLoop(
        Trainer(model, strategy), dataset, plans, options=options, state=RunState(model)
    )
    started = time.perf_counter()
    loop.run(keras.callbacks.CallbackList(model=model))
    return time.perf_counter() - started, plans["train"].steps_per_epoch


def measure(lengths, args):
    """Trains in a process of its own, and returns its seconds, steps and peak MiB."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder, lengths, args.features)
        np.save(os.path.join(folder, "lengths.npy"), lengths)
        sizes = [str(args.features), str(args.units)]
        measured = run_measured([sys.executable, __file__, "--child", folder, *sizes])
    return *json.loads(measured.output.splitlines()[-1]), measured.peak_mib


def run_child(folder, num_features, units):
    lengths = np.load(os.path.join(folder, "lengths.npy"))
    print(json.dumps(train(folder, lengths, int(num_features), int(units))))


def main():
    if sys.argv[1:2] == ["--child"]:
        run_child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--lengths", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--features", type=int, default=2)
    parser.add_argument("--units", type=int, default=8)
    args = parser.parse_args()
    print("| sequences | lengths | timesteps | steps | seconds | us per timestep | peak MiB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    cases = [draw_lengths(n, args.lengths[0]) for n in args.sequences]
    cases += [draw_lengths(args.sequences[0], n) for n in args.lengths[1:]]
    cases.append(np.append(draw_lengths(args.sequences[0], args.lengths[0]), LONGEST))
    for lengths in cases:
        seconds, steps, mebibytes = measure(lengths, args)
        shown = (
            f"{len(lengths):,}",
            f"{len(np.unique(lengths)):,}",
            f"{lengths.sum():,}",
            f"{steps:,}",
            f"{seconds:.1f}",
            f"{seconds / lengths.sum() * 1e6:.1f}",
            f"{mebibytes:,.0f}",
        )
        print(f"| {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
