"""Trains a PyTorch model on sequences of different lengths, without padding.

`BatchSampler` needs NumPy alone. It learns which of nine men spoke two Japanese vowels, from 7 to
29 timesteps each, once on batches of one length, which PyTorch stacks, and once on packed steps of
many lengths.

    pip install torch
    python torch_batches.py
"""

import argparse
import csv
import itertools
import operator
import pathlib

import torch
from torch.nn.utils.rnn import pack_sequence

from padless.pipeline import BatchSampler

NUM_SPEAKERS = 9
FOLDER = pathlib.Path(__file__).resolve().parent / "japanese_vowels"


def read_sequences(file):
    """Reads pairs of a sequence, `(timesteps, 12)` float32, and the number of its speaker."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    pairs = []
    for _, sequence in itertools.groupby(rows, operator.itemgetter("key")):
        timesteps = list(sequence)
        values = [[float(row[f"c{i}"]) for i in range(1, 13)] for row in timesteps]
        pairs.append((torch.tensor(values), int(timesteps[0]["speaker"]) - 1))
    return pairs


def pack(pairs):
    """Packs the sequences of a step, which come by falling length."""
    sequences, labels = zip(*pairs, strict=True)
    return pack_sequence(sequences), torch.tensor(labels)


class Classifier(torch.nn.Module):
    """Takes a stacked batch `(batch, timesteps, 12)` or a `PackedSequence`."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(12, 32, batch_first=True)
        self.head = torch.nn.Linear(32, NUM_SPEAKERS)

    def forward(self, sequences):
        """Returns a score of each speaker, `(batch, 9)`."""
        _, (last, _) = self.lstm(sequences)
        return self.head(last[0])


def train(pairs, group_size, epochs):
    """Trains a model; with a group size on steps of many lengths."""
    torch.manual_seed(0)
    sampler = BatchSampler([len(x) for x, _ in pairs], batch_size=16, group_size=group_size)
    collate = {} if group_size is None else {"collate_fn": pack}
    loader = torch.utils.data.DataLoader(pairs, batch_sampler=sampler, **collate)
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(epochs):
        for sequences, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(sequences), labels).backward()
            optimizer.step()
    return model, sampler


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args(argv)
    training, test = (read_sequences(FOLDER / f"{name}.csv") for name in ("train", "test"))
    for name, group_size in (("one length", None), ("many lengths", 4)):
        model, sampler = train(training, group_size, args.epochs)
        with torch.no_grad():
            right = sum(int(model(x[None]).argmax()) == label for x, label in test)
        print(f"{name}: {len(sampler)} batches per epoch, test accuracy {right / len(test):.3f}")


if __name__ == "__main__":
    main()
