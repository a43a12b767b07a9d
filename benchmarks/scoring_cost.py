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
import multiprocessing
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from training_cost import LATENT_SIZE, UNITS, torch_model

BATCH_SIZE = 256


def make_sequences(count, num_features):
    """Draws the sequences that `generated.write_dataset` writes, but as they come."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(40), 0.5, count).astype(int), 1, None)
    return [
        rng.normal(size=(length, num_features)).cumsum(axis=0).astype(np.float32)
        for length in lengths.tolist()
    ]


def padless(count, num_features):
    """Makes a function that embeds or scores all sequences with padless."""
    from generated import write_dataset

    from padless.model import Architecture, Inference, SequenceAutoencoder
    from padless.model.scoring.inference import EMBEDDING, EVERYTHING

    folder = tempfile.TemporaryDirectory()
    dataset = write_dataset(folder.name, count, num_features)
    architecture = Architecture(units=UNITS, latent_size=LATENT_SIZE)
    model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
    ways = {"embed": Inference(model, EMBEDDING), "score": Inference(model, EVERYTHING)}

    def run(work, folder=folder):
        return sum(len(window["embedding"]) for window in ways[work].windows(dataset, "train"))

    return run


def torch_packed(count, num_features):
    """Makes a function that embeds or scores all sequences with PyTorch."""
    import torch
    from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

    sequences = [torch.tensor(sequence) for sequence in make_sequences(count, num_features)]
    model = torch_model(num_features)

    def run_batch(work, batch):
        packed = pack_sequence(batch, enforce_sorted=False)
        outputs, (last, _) = model.encoder(packed)
        padded, length = pad_packed_sequence(outputs, batch_first=True)
        latent, state = model.embed(last, padded.sum(1) / length[:, None])
        if work == "score":
            repeated = pack_sequence(
                [latent[i].expand(n, -1) for i, n in enumerate(length.tolist())],
                enforce_sorted=False,
            )
            decoded, _ = model.decoder(repeated, state)
            errors = (model.head(decoded.data) - packed.data).square()
            decoded = decoded._replace(data=errors)
            padded, length = pad_packed_sequence(decoded, batch_first=True)
            padded.sum(1) / length[:, None]
        return len(latent)

    def run(work):
        with torch.no_grad():
            return sum(
                run_batch(work, sequences[start : start + BATCH_SIZE])
                for start in range(0, len(sequences), BATCH_SIZE)
            )

    return run


def keras_predict(count, num_features):
    """Makes a function that embeds or scores all sequences with Keras' `predict`."""
    import keras
    import tensorflow as tf

    from padless.model import DynamicRepeat

    sequences = make_sequences(count, num_features)
    inputs = keras.Input((None, num_features))
    recurrent = keras.layers.LSTM(UNITS, return_sequences=True)
    outputs = keras.layers.Bidirectional(recurrent)(keras.layers.Masking()(inputs))
    latent = keras.layers.Dense(LATENT_SIZE)(keras.layers.GlobalAveragePooling1D()(outputs))
    states = [keras.layers.Dense(UNITS, activation="tanh")(latent) for _ in range(2)]
    decoder = keras.layers.LSTM(UNITS, return_sequences=True)
    decoded = decoder(DynamicRepeat()(latent, like=inputs), initial_state=states)
    squares = keras.ops.square(keras.layers.Dense(num_features)(decoded) - inputs)
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
        return len(told if work == "embed" else told[0])

    return run


WAYS = {way.__name__: way for way in (padless, torch_packed, keras_predict)}


def serve(name, count, num_features, connection):
    """Runs in a process of its own: embeds or scores whenever it is asked to."""
    run = WAYS[name](count, num_features)
    while work := connection.recv():
        start = time.perf_counter()
        if run(work) != count:
            raise SystemExit(f"{name}: {count} sequences must come back.")
        connection.send(time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    args = parser.parse_args()
    context, pipes = multiprocessing.get_context("spawn"), {}
    for name in ["padless", *(name for name in args.ways if name != "padless")]:
        pipes[name], other = context.Pipe()
        served = (name, args.sequences, args.features, other)
        context.Process(target=serve, args=served, daemon=True).start()
        other.close()
    works = ("embed", "score")
    seconds = {(work, name): [] for work in works for name in pipes}
    for repeat in range(args.repeats + 1):
        for (work, name), taken in seconds.items():
            pipes[name].send(work)
            took = pipes[name].recv()
            if repeat:
                taken.append(took)
    for pipe in pipes.values():
        pipe.send(None)
    print("| work | way | sequences per second | against padless |")
    print("|---|---|---|---|")
    for (work, name), taken in seconds.items():
        own = seconds[work, "padless"]
        ratio = statistics.median(a / b for a, b in zip(own, taken, strict=True))
        print(
            f"| {work} | {name} | {args.sequences / statistics.median(taken):,.0f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
