"""Measures how many sequences a second are embedded and scored, beside PyTorch and Keras.

    python benchmarks/scoring_cost.py [--sequences 100000] [--features 12] [--repeats 3]

The sequences have lognormal lengths, median 40. All ways run an autoencoder of the same form as in
`training_cost.py`, untrained, without its decoder to embed, and with it to compute errors.

- padless: reads TFRecords, as `padless embed` and `padless score` do, and packs them;
- torch_packed: PyTorch, 256 sequences at a time as `PackedSequence`, read before from memory;
- keras_predict: Keras' `predict`, 256 sequences at a time, padded and masked, from memory.

Each way has a process of its own; they take turns, and a first turn is not counted, so that neither
start nor tracing is. The table shows medians. PyTorch needs
`pip install -r benchmarks/requirements.txt`; `--ways padless keras_predict` does without.
"""

import argparse
import statistics
import tempfile

import numpy as np
from peers import (
    LATENT_SIZE,
    PLAIN_FORM,
    UNITS,
    keras_tensors,
    take_turns,
    torch_device,
    torch_model,
)

BATCH_SIZE = 256


def make_sequences(count, num_features):
    """Draws the sequences that `generated.write_dataset` writes, but as they come."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(40), 0.5, count).astype(int), 1, None)
    return [
        rng.normal(size=(length, num_features)).cumsum(axis=0).astype(np.float32)
        for length in lengths.tolist()
    ]


def check_count(count, done):
    """Checks that all sequences came back."""
    if done != count:
        raise SystemExit(f"{count} sequences must come back, got {done}.")


def padless(count, num_features):
    """Makes a function that embeds or scores all sequences with padless."""
    from generated import write_dataset

    from padless.model import Architecture, Inference, SequenceAutoencoder
    from padless.model.scoring.inference import EMBEDDING, EVERYTHING

    folder = tempfile.TemporaryDirectory()
    dataset = write_dataset(folder.name, count, num_features)
    architecture = Architecture(units=UNITS, latent_size=LATENT_SIZE, **PLAIN_FORM)
    model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
    ways = {"embed": Inference(model, EMBEDDING), "score": Inference(model, EVERYTHING)}

    def run(work, folder=folder):
        windows = ways[work].windows(dataset, "train")
        check_count(count, sum(len(window["embedding"]) for window in windows))

    return run


def torch_packed(count, num_features):
    """Makes a function that embeds or scores all sequences with PyTorch."""
    import torch
    from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

    device = torch_device()
    sequences = [
        torch.tensor(sequence, device=device) for sequence in make_sequences(count, num_features)
    ]
    model = torch_model(num_features)

    def run_batch(work, batch):
        packed = pack_sequence(batch, enforce_sorted=False)
        outputs, (last, _) = model.encoder(packed)
        padded, length = pad_packed_sequence(outputs, batch_first=True)
        length = length.to(device)
        latent, state = model.embed(last, padded.sum(1) / length[:, None])
        if work == "embed":
            return latent.numpy(force=True)
        rows = torch.cat([torch.arange(n) for n in packed.batch_sizes.tolist()]).to(device)
        repeated = packed._replace(data=latent[packed.sorted_indices][rows])
        decoded, _ = model.decoder(repeated, state)
        errors = (model.head(decoded.data) - packed.data).square()
        padded, _ = pad_packed_sequence(decoded._replace(data=errors), batch_first=True)
        return (padded.sum(1) / length[:, None]).numpy(force=True)

    def run(work):
        with torch.no_grad():
            done = sum(
                len(run_batch(work, sequences[start : start + BATCH_SIZE]))
                for start in range(0, len(sequences), BATCH_SIZE)
            )
        check_count(count, done)

    return run


def keras_predict(count, num_features):
    """Makes a function that embeds or scores all sequences with Keras' `predict`."""
    import keras
    import tensorflow as tf

    sequences = make_sequences(count, num_features)
    inputs, latent, output = keras_tensors(num_features)
    squares = keras.ops.square(output - inputs)
    valid = keras.ops.cast(keras.ops.any(inputs != 0, axis=-1, keepdims=True), "float32")
    error = keras.ops.sum(squares * valid, axis=1) / keras.ops.sum(valid, axis=1)
    models = {
        "embed": keras.Model(inputs, latent),
        "score": keras.Model(inputs, [latent, error]),
    }
    ragged = tf.RaggedTensor.from_row_lengths(
        np.concatenate(sequences), [len(sequence) for sequence in sequences]
    )
    batches = (
        tf.data.Dataset.from_tensor_slices(ragged)
        .ragged_batch(BATCH_SIZE)
        .map(lambda batch: batch.to_tensor(shape=(None, None, num_features)))
        .prefetch(2)
    )

    def run(work):
        told = models[work].predict(batches, verbose=0)
        check_count(count, len(told if work == "embed" else told[0]))

    return run


WAYS = {way.__name__: way for way in (padless, torch_packed, keras_predict)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    names = ["padless", *(name for name in args.ways if name != "padless")]
    ways, data = {name: WAYS[name] for name in names}, (args.sequences, args.features)
    measured = take_turns(ways, data, [("embed",), ("score",)], args.repeats)
    # The first turn starts and traces.
    seconds = {key: [turn.seconds for turn in taken[1:]] for key, taken in measured.items()}
    print("| work | way | sequences per second | against padless |")
    print("|---|---|---|---|")
    for (call, name), taken in seconds.items():
        own = seconds[call, "padless"]
        ratio = statistics.median(a / b for a, b in zip(own, taken, strict=True))
        speed = args.sequences / statistics.median(taken)
        print(f"| {call[0]} | {name} | {speed:,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
