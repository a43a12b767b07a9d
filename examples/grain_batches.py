"""Reads batches of one length with grain, without padding.

grain reads by index, and a batch of `BatchSampler` is a list of indices: the batches of an epoch
are the source, so that loading, sharding and checkpointing stay grain's.

    pip install grain
    python grain_batches.py
"""

import csv
import itertools
import operator
import pathlib

import grain
import numpy as np

from padless.pipeline import BatchSampler

FILE = pathlib.Path(__file__).resolve().parent / "japanese_vowels" / "train.csv"


def read_sequences(file):
    """Reads the sequences, `(timesteps, 12)` float32 each."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        np.float32([[row[f"c{i}"] for i in range(1, 13)] for row in sequence])
        for _, sequence in itertools.groupby(rows, operator.itemgetter("key"))
    ]


def main():
    sequences = read_sequences(FILE)
    sampler = BatchSampler([len(sequence) for sequence in sequences], batch_size=16)
    for epoch in range(2):
        batches = grain.MapDataset.source(sampler.batches(epoch))
        batches = batches.map(lambda batch: np.stack([sequences[i] for i in batch]))
        shapes = [batch.shape for batch in batches.to_iter_dataset()]
        rows = sum(rows for rows, *_ in shapes)
        print(f"epoch {epoch}: {len(shapes)} batches, {rows} sequences, the first {shapes[0]}")


if __name__ == "__main__":
    main()
