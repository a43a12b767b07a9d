"""Measures an epoch of training beside PyTorch and Keras: equal lengths, packed and padded.

    python benchmarks/training_cost.py DATASET... [--batch-size 64] [--repeats 5]
        [--ways padless torch_packed ...] [--json FILE] [--picture FILE]

All ways train an autoencoder of the same form on the training split of a dataset directory: a
bidirectional LSTM pooled as last and mean (in Keras as mean), an embedding of 32, an LSTM that
starts from it and reads it at each timestep, a linear layer; 64 units, about `--batch-size`
sequences per step, Adam, the gradient clipped; on the first GPU, or on the CPU. The ways of PyTorch
need `pip install -r benchmarks/requirements.txt`.

- padless: the trainer of padless, packed steps;
- torch_equal: PyTorch, batches of one length made by hand, whose gradients add up to steps;
- torch_packed: PyTorch, random batches as `PackedSequence`;
- torch_padded: PyTorch, random batches padded to their longest, which the backward direction reads;
- keras_padded: Keras' `fit` on random batches padded to their longest, masked;
- keras_longest: the same, all padded to the longest of all.

Each way has a process of its own, which keeps its data in memory and waits while the others train.
They take turns, epoch by epoch; a first epoch, which traces and warms up, is not counted. The table
shows medians, and the range of the ratio to padless in the same turn.
"""

import argparse
import os
import statistics

from peers import (
    LATENT_SIZE,
    PLAIN_FORM,
    UNITS,
    add_file_arguments,
    axes_by_set,
    initialize_as_keras,
    keras_tensors,
    save_rows,
    take_turns,
    torch_device,
    torch_model,
)


def padless(directory, batch_size, seed=0):
    """Makes a function that trains an epoch with the trainer of padless, and returns its loss."""
    import dataclasses

    import keras

    from padless.model import Architecture, SequenceAutoencoder, Trainer
    from padless.model.training.optimizer import FusedAdam
    from padless.model.training.replicas import mirrored_strategy
    from padless.pipeline import Shuffle, open_dataset, packed_steps, plan_batches
    from padless.pipeline.batching.untuned import iterate_untuned

    dataset = open_dataset(directory)
    numbers = dataclasses.replace(dataset.record_format, key=None, label=None)
    dataset = dataclasses.replace(dataset, record_format=numbers)
    keras.utils.set_random_seed(seed)
    strategy = mirrored_strategy(1)
    with strategy.scope():
        model = SequenceAutoencoder.for_moments(
            dataset.moments, Architecture(units=UNITS, latent_size=LATENT_SIZE, **PLAIN_FORM)
        )
        model.compile(optimizer=FusedAdam())
    trainer = Trainer(model, strategy, clip_norm=1.0)
    plan = plan_batches(dataset.split("train").lengths, batch_size=batch_size, group_size=8)
    batches = iterate_untuned(
        strategy.distribute_datasets_from_function(
            lambda context: packed_steps(dataset, plan, shuffle=Shuffle(seed), epochs=range(10**4))
        )
    )

    def train_epoch():
        steps = [trainer.train_step(batches) for _ in range(plan.steps_per_epoch)]
        return float(sum(step.error for step in steps) / sum(step.weight for step in steps))

    return train_epoch


def read_sequences(directory):
    """Reads the training split, standardized, as a list of arrays `(timesteps, features)`.

    Without TensorFlow, as PyTorch does not run beside it in one process.
    """
    import numpy as np

    from padless.pipeline import open_dataset
    from padless.pipeline.dataset.framing import read_records
    from padless.pipeline.dataset.records import decode_example

    dataset = open_dataset(directory)
    scale = np.sqrt(dataset.moments.variance)
    return [
        (
            (decode_example(record)["sequence"].reshape(-1, len(scale)) - dataset.moments.mean)
            / np.where(scale > 0, scale, 1)
        ).astype(np.float32)
        for file in dataset.split("train").files
        for record in read_records(file)
    ]


def torch_trainer(model):
    """Makes a function that takes a step with the gradients that were added up."""
    import torch

    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)

    def step(count):
        for parameter in model.parameters():
            parameter.grad /= count
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def mean_error(errors, num_sequences):
    """Returns the mean of the batches' sums of errors, when a GPU has done what it was given."""
    return sum(errors).item() / num_sequences


def torch_equal(directory, batch_size, seed=0):
    """Makes a function that trains an epoch on batches of one length, and returns its loss."""
    import collections

    import numpy as np
    import torch

    by_length = collections.defaultdict(list)
    for sequence in read_sequences(directory):
        by_length[len(sequence)].append(sequence)
    device = torch_device()
    blocks = {n: torch.tensor(np.stack(rows), device=device) for n, rows in by_length.items()}
    model = initialize_as_keras(torch_model(next(iter(blocks.values())).shape[2]), seed)
    step, rng = torch_trainer(model), np.random.default_rng(seed)

    def train_epoch():
        groups, errors = [], []
        for block in blocks.values():
            order = torch.tensor(rng.permutation(len(block)), device=device)
            groups += [block[part] for part in order.tensor_split(-(-len(block) // batch_size))]
        count = 0
        for i, number in enumerate(rng.permutation(len(groups))):
            batch = groups[number]
            outputs, (last, _) = model.encoder(batch)
            latent, state = model.embed(last, outputs.mean(1))
            repeated = latent[:, None].expand(-1, batch.shape[1], -1)
            given = model.head(model.decoder(repeated, state)[0])
            error = (given - batch).square().mean((1, 2)).sum()
            error.backward()
            errors.append(error.detach())
            count += len(batch)
            if count >= batch_size or i == len(groups) - 1:
                step(count)
                count = 0
        return mean_error(errors, sum(map(len, blocks.values())))

    return train_epoch


def torch_random(directory, batch_size, seed, train_batch):
    """Makes a function that trains an epoch on random batches, and returns its loss."""
    import numpy as np
    import torch

    device = torch_device()
    sequences = [torch.tensor(sequence, device=device) for sequence in read_sequences(directory)]
    model = initialize_as_keras(torch_model(sequences[0].shape[1]), seed)
    step, rng = torch_trainer(model), np.random.default_rng(seed)

    def train_epoch():
        order, errors = rng.permutation(len(sequences)), []
        for start in range(0, len(order), batch_size):
            batch = [sequences[i] for i in order[start : start + batch_size]]
            batch.sort(key=len, reverse=True)
            length = torch.tensor([len(sequence) for sequence in batch], device=device)
            error = train_batch(model, batch, length)
            error.backward()
            errors.append(error.detach())
            step(len(batch))
        return mean_error(errors, len(sequences))

    return train_epoch


def torch_packed(directory, batch_size, seed=0):
    """Makes a function that trains an epoch on random batches as `PackedSequence`."""
    import torch
    from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

    def train_batch(model, batch, length):
        packed = pack_sequence(batch)
        outputs, (last, _) = model.encoder(packed)
        padded, _ = pad_packed_sequence(outputs, batch_first=True)
        latent, state = model.embed(last, padded.sum(1) / length[:, None])
        rows = torch.cat([torch.arange(n) for n in packed.batch_sizes.tolist()]).to(length.device)
        decoded, _ = model.decoder(packed._replace(data=latent[rows]), state)
        errors = (model.head(decoded.data) - packed.data).square().mean(-1)
        return (errors / length[rows]).sum()

    return torch_random(directory, batch_size, seed, train_batch)


def torch_padded(directory, batch_size, seed=0):
    """Makes a function that trains an epoch on random batches, padded to their longest."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def train_batch(model, batch, length):
        padded = pad_sequence(batch, batch_first=True)
        valid = torch.arange(padded.shape[1], device=length.device) < length[:, None]
        outputs, (last, _) = model.encoder(padded)
        mean = (outputs * valid[:, :, None]).sum(1) / length[:, None]
        latent, state = model.embed(last, mean)
        repeated = latent[:, None].expand(-1, padded.shape[1], -1)
        given = model.head(model.decoder(repeated, state)[0])
        errors = (given - padded).square().mean(-1) * valid
        return (errors.sum(1) / length).sum()

    return torch_random(directory, batch_size, seed, train_batch)


def keras_padded(directory, batch_size, to_longest=False):
    """Makes a function that trains an epoch with `fit` on padded batches, and returns its loss."""
    import keras
    import numpy as np
    import tensorflow as tf

    sequences = read_sequences(directory)
    longest, num_features = max(map(len, sequences)), sequences[0].shape[1]
    inputs, _, output = keras_tensors(num_features, longest if to_longest else None)
    model = keras.Model(inputs, output)
    model.compile(keras.optimizers.Adam(clipnorm=1.0), "mse", jit_compile=False)
    ragged = tf.RaggedTensor.from_row_lengths(
        np.concatenate(sequences), [len(sequence) for sequence in sequences]
    )

    def pad(batch):
        values = batch.to_tensor(shape=(None, longest if to_longest else None, num_features))
        length = batch.row_lengths()
        valid = tf.sequence_mask(length, tf.shape(values)[1], tf.float32)
        return values, values, valid / tf.cast(length, tf.float32)[:, None]

    batches = (
        tf.data.Dataset.from_tensor_slices(ragged)
        .shuffle(len(sequences))
        .ragged_batch(batch_size)
        .map(pad, num_parallel_calls=2)
        .prefetch(2)
    )
    return lambda: model.fit(batches, shuffle=False, verbose=0).history["loss"][-1]


def keras_longest(directory, batch_size):
    """Does the same with all padded to the longest of all."""
    return keras_padded(directory, batch_size, to_longest=True)


WAYS = {
    way.__name__: way
    for way in (padless, torch_equal, torch_packed, torch_padded, keras_padded, keras_longest)
}


def measure(directory, batch_size, names, repeats):
    """Trains in turns: {way: [(seconds, CPU seconds), ...]}."""
    ways = {name: WAYS[name] for name in names}
    measured = take_turns(ways, (directory, batch_size), [()], repeats)
    return {
        name: [(turn.seconds, turn.cpu_seconds) for turn in taken[1:]]
        for (_, name), taken in measured.items()
    }


def ratios(measured, name):
    """Returns the time of a way over that of padless, turn by turn."""
    pairs = zip(measured[name], measured["padless"], strict=True)
    return [wall / own for (wall, _), (own, _) in pairs]


def rows_of(directory, measured):
    for name, seconds in measured.items():
        wall, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
        relative = ratios(measured, name)
        yield {
            "set": os.path.basename(os.path.normpath(directory)),
            "way": name,
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "against_padless": round(statistics.median(relative), 2),
            "from": round(min(relative), 2),
            "to": round(max(relative), 2),
        }


def draw(rows, path):
    """Draws a bar per set and way: how many times as long as padless it takes."""
    from padless.pipeline.figures import new_figure, save_figure

    figure = new_figure(figsize=(11, 3.2), layout="constrained")
    for axes, of_set in axes_by_set(figure, rows):
        shown = of_set[::-1]
        values = [row["against_padless"] for row in shown]
        spread = [
            [row["against_padless"] - row["from"] for row in shown],
            [row["to"] - row["against_padless"] for row in shown],
        ]
        colors = ["C0" if row["way"] == "padless" else "C7" for row in shown]
        axes.barh([row["way"] for row in shown], values, xerr=spread, color=colors)
        axes.axvline(1, color="C0", linewidth=1, linestyle=":")
    figure.supxlabel("time of an epoch, padless = 1", fontsize="medium")
    save_figure(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    add_file_arguments(parser)
    args = parser.parse_args()
    names = ["padless", *(name for name in args.ways if name != "padless")]
    print("| set | way | seconds | CPU seconds | against padless |")
    print("|---|---|---|---|---|", flush=True)
    rows = []
    for directory in args.datasets:
        measured = measure(directory, args.batch_size, names, args.repeats)
        for row in rows_of(directory, measured):
            relative = "{against_padless:.2f} ({from:.2f} to {to:.2f})".format(**row)
            cells = (row["set"], row["way"], f"{row['seconds']:.2f}", f"{row['cpu_seconds']:.2f}")
            print(f"| {' | '.join(cells)} | {relative} |", flush=True)
            rows.append(row)
    save_rows(rows, args, draw)


if __name__ == "__main__":
    main()
