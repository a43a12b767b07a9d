"""The form of the autoencoder in PyTorch and in Keras, and processes that take turns.

`training_cost.py`, `time_to_loss.py` and `scoring_cost.py` measure padless beside these, all on the
first GPU of the machine where it has one that they see. For PyTorch the data lie there from the
start.
"""

import json
import multiprocessing
import os
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The processes share the GPU, whose memory TensorFlow else takes whole.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

UNITS, LATENT_SIZE = 64, 32
# What an `Architecture` leaves out to be of that form.
PLAIN_FORM = {
    "own_scale": False,
    "position": False,
    "pooling": "last_and_mean",
    "embedding": "code",
    "patch_length": 1,
}


def torch_model(num_features):
    """Builds the autoencoder in PyTorch, as layers and an embedding from what they pool."""
    import torch

    class Autoencoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.LSTM(num_features, UNITS, batch_first=True, bidirectional=True)
            self.latent = torch.nn.Linear(4 * UNITS, LATENT_SIZE)
            self.state = torch.nn.Linear(LATENT_SIZE, 2 * UNITS)
            self.decoder = torch.nn.LSTM(LATENT_SIZE, UNITS, batch_first=True)
            self.head = torch.nn.Linear(UNITS, num_features)

        def embed(self, last, mean):
            latent = self.latent(torch.cat((last[0], last[1], mean), -1))
            hidden, cell = torch.tanh(self.state(latent)).chunk(2, -1)
            return latent, (hidden[None].contiguous(), cell[None].contiguous())

    return Autoencoder().to(torch_device())


def initialize_as_keras(model, seed):
    """Draws the weights of a PyTorch autoencoder from the distributions that Keras draws from."""
    import torch

    torch.manual_seed(seed)
    for name, weights in model.named_parameters():
        if "weight_hh" in name:
            torch.nn.init.orthogonal_(weights)
        elif "weight" in name:
            torch.nn.init.xavier_uniform_(weights)
        else:
            torch.nn.init.zeros_(weights)
        if "bias_ih" in name:
            weights.data[UNITS : 2 * UNITS] = 1  # of the forget gate
    return model


def torch_device():
    """Chooses the first GPU that PyTorch sees, or else the CPU."""
    import torch

    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")


def keras_tensors(num_features, timesteps=None):
    """Builds the autoencoder in Keras, masked and pooled as mean: (inputs, latent, output)."""
    import keras

    from padless.model import DynamicRepeat

    inputs = keras.Input((timesteps, num_features))
    recurrent = keras.layers.LSTM(UNITS, return_sequences=True)
    outputs = keras.layers.Bidirectional(recurrent)(keras.layers.Masking()(inputs))
    latent = keras.layers.Dense(LATENT_SIZE)(keras.layers.GlobalAveragePooling1D()(outputs))
    states = [keras.layers.Dense(UNITS, activation="tanh")(latent) for _ in range(2)]
    decoder = keras.layers.LSTM(UNITS, return_sequences=True)
    decoded = decoder(DynamicRepeat()(latent, like=inputs), initial_state=states)
    return inputs, latent, keras.layers.Dense(num_features)(decoded)


class Turn(NamedTuple):
    """One call: its seconds, its CPU seconds, and what it returned."""

    seconds: float
    cpu_seconds: float
    result: Any


def take_turns(ways, arguments, calls, repeats):
    """Lets each way do each call in a process of its own, one after another.

    Args:
        ways: name -> function of a module that takes `arguments` and makes the function to time.
        arguments: of each way.
        calls: arguments of that function, a tuple for each call.
        repeats: number of turns after the first one, which starts and traces.

    Returns:
        A dict of (arguments of the call, name) -> list of `Turn`, the first one included.
    """
    context, processes, pipes = multiprocessing.get_context("spawn"), [], {}
    for name, way in ways.items():
        pipes[name], other = context.Pipe()
        served = (way, arguments, other)
        processes.append(context.Process(target=_serve, args=served, daemon=True))
        processes[-1].start()
        other.close()
    measured = {(call, name): [] for call in calls for name in ways}
    for _ in range(repeats + 1):
        for (call, name), taken in measured.items():
            pipes[name].send(call)
            taken.append(Turn(*pipes[name].recv()))
    for process, pipe in zip(processes, pipes.values(), strict=True):
        pipe.send(None)
        process.join()
    return measured


def _serve(way, arguments, connection):
    run = way(*arguments)
    while (call := connection.recv()) is not None:
        wall, cpu = time.perf_counter(), time.process_time()
        result = run(*call)
        connection.send((time.perf_counter() - wall, time.process_time() - cpu, result))


def add_file_arguments(parser):
    """Adds the files that `save_rows` writes."""
    parser.add_argument("--json")
    parser.add_argument("--picture")


def save_rows(rows, args, draw):
    """Writes rows into the files that were asked for; `draw` takes them and the picture's path."""
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    if args.picture:
        draw(rows, args.picture)


def axes_by_set(figure, rows):
    """Yields axes side by side, each with the name of a set, and the rows of that set."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    for axes, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        axes.set_title(name)
        yield axes, [row for row in rows if row["set"] == name]
