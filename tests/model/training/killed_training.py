"""A training in a process of its own, which a test kills, or which kills itself where told."""

import json
import multiprocessing
import os
import pathlib
import signal
import threading

import keras
import numpy as np

from padless.model import Architecture, TrainingOptions, train

# A schedule along all epochs would not let a run go on to fewer or more of them.
OPTIONS = {
    "dropout": 0.0,
    "epochs": 4,
    "batch_size": 6,
    "learning_rate": 0.02,
    "schedule": "constant",
}
# Seconds to wait for a process: for a busy machine, and only where something hangs.
PATIENCE = 600
# A new process takes a copy of one that has imported TensorFlow but not used it: 1 s, not 8.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["padless.model.training.train"])


def start(directory, run, *, killed_writing=None, killed_after=None, task=None, **options):
    """Starts a training, resumed if there is something to resume.

    Args:
        directory: dataset directory.
        run: run directory.
        killed_writing: the array, counted over all checkpoints, in whose writing it dies.
        killed_after: steps of this process after which it dies, and seconds until then.
        task: the number of this machine of a cluster, and the ports of all.
        options: of the training.

    An error it ends with is written into `<run>.error<number>`.
    """
    how = {"killed_writing": killed_writing, "killed_after": killed_after, "task": task}
    process = _context.Process(
        target=_train, args=(str(directory), str(run), OPTIONS | options), kwargs=how
    )
    process.start()
    return process


def run_to_the_end(directory, run, **options):
    """Trains in a process, and waits for its end."""
    process = start(directory, run, **options)
    process.join(PATIENCE)
    assert process.exitcode == 0


def _train(directory, run, options, *, killed_writing, killed_after, task):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if task is not None:
        _join_cluster(*task)
    if killed_writing is not None:
        _die_in_array(killed_writing)
    # Dropout draws from a random state, which must go on as well.
    architecture = Architecture(latent_size=3, units=4, dropout=options.pop("dropout"))
    train_options = {"options": TrainingOptions(**options), "resume": True}
    if killed_after is not None:
        train_options["callbacks"] = [_DieAfterSteps(*killed_after)]
    try:
        train(directory, run, architecture=architecture, **train_options)
    except Exception as error:
        path = pathlib.Path(f"{run}.error{task[0] if task else ''}")
        path.write_text(f"{type(error).__name__}: {error}")
        raise


def _join_cluster(index, ports):
    """Takes a place among processes that act as machines."""
    workers = [f"localhost:{port}" for port in ports]
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    os.environ["TF_CONFIG"] = json.dumps(config)


def _die_in_array(number):
    """Writes half of an array and dies as by `kill -9`."""
    write_array, left = np.lib.format.write_array, [number]

    def write(file, array, **options):
        if left[0] == 0:
            file.write(array.tobytes()[: array.nbytes // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        write_array(file, array, **options)

    np.lib.format.write_array = write


class _DieAfterSteps(keras.callbacks.Callback):
    """Dies as by `kill -9` some time after so many steps, whatever runs then."""

    def __init__(self, steps, seconds):
        super().__init__()
        self._left, self._seconds = steps, seconds

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            kill = os.getpid(), signal.SIGKILL
            threading.Timer(self._seconds, os.kill, kill).start()


def steps_done(run):
    """Counts the steps that a run has logged."""
    path = pathlib.Path(run) / "steps.csv"
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0
