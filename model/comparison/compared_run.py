"""One run of a comparison, in a process of its own, so that its peak of memory is its own."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import sys

import numpy as np
import tensorflow as tf

from padless.model.comparison.child_messages import MessagePipe, pass_on
from padless.model.comparison.label_accuracy import label_accuracy
from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.reporting.epoch_count import count_epoch
from padless.model.reporting.summary import summarize
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.scoring.inference import EMBEDDING, Inference
from padless.model.scoring.run import open_run
from padless.model.training.stopping import TrainingStopped
from padless.model.training.train import train
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.dataset.directory import SequenceDataset, open_dataset
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.written_whole import written_whole

# TensorFlow is started before this package imports it: it would say more than anybody asked for.
_COMMAND = f"""
import sys
from padless.pipeline.parent_process import end_with_parent
end_with_parent(int(sys.argv.pop()))
from padless.pipeline.tensorflow_start import start_tensorflow
start_tensorflow()
from {__name__} import train_and_evaluate
train_and_evaluate(*sys.argv[1:])
"""


@dataclasses.dataclass(frozen=True, slots=True)
class ComparedRun:
    """What one alignment came to.

    Attributes:
        alignment: its name.
        seconds_per_epoch: wall time of an epoch of training: reading and computing.
        computed_timesteps: timesteps that the first epoch computes, padded ones among them.
        valid_timesteps: timesteps that its sequences have.
        peak_bytes: most memory: of the GPU that held most, or of the whole process without GPUs.
        loss: error at valid timesteps, on the split that is compared.
        losses_by_length: the same by length: shortest, longest and loss of each range.
        accuracy: share of that split's labels predicted from the embedding; None where there are no
            labels, or the training split has one kind alone.
    """

    alignment: str
    seconds_per_epoch: float
    computed_timesteps: int
    valid_timesteps: int
    peak_bytes: int
    loss: float
    losses_by_length: list[tuple[int, int, float]]
    accuracy: float | None


def run_in_process(
    spec: dict, result: pathlib.Path, progress: ShowProgress = ignore_progress
) -> ComparedRun:
    """Trains and evaluates in a new process.

    Args:
        spec: `directory` and `run`, `architecture` and `options` as dicts, `split` to evaluate.
        result: file to write; one that is there is replaced.
        progress: called with how far the run is; what it logs, this process logs too.

    Raises:
        RuntimeError: if the process fails. What it printed says why.
        KeyboardInterrupt: if it was interrupted.
    """
    name = spec["architecture"]["alignment"]
    reading, writing = os.pipe()
    command = [sys.executable, "-c", _COMMAND, json.dumps(spec), str(result)]
    command += [str(writing), str(os.getpid())]
    with open(reading, encoding="utf-8") as lines:
        process = subprocess.Popen(command, pass_fds=[writing])
        os.close(writing)
        try:
            pass_on(lines, name, progress)
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code:
        raise RuntimeError(
            f"{spec['run']}: the run with the alignment {name!r} must end with exit code 0, got "
            f"{code}; what it printed says why."
        )
    return ComparedRun(**json.loads(result.read_text()))


def train_and_evaluate(spec: str, result: str, pipe: str) -> None:
    """Trains and evaluates what the JSON string `spec` says, and writes the file `result`.

    This is what the new process calls: an error that answers the user ends it with its message
    alone. The file appears whole or not at all. Progress and messages go to the file descriptor
    `pipe`.
    """
    with open(int(pipe), "w", encoding="utf-8") as file:
        messages = MessagePipe(file)
        messages.start()
        try:
            compared = _train_and_evaluate(json.loads(spec), messages.show)
        except (ArithmeticError, MemoryError, OSError, ValueError) as error:
            sys.exit(str(error))
        except TrainingStopped as stopped:
            sys.exit(128 + stopped.signal)
    with written_whole(pathlib.Path(result)) as beside:
        beside.write_text(json.dumps(dataclasses.asdict(compared)))


def _train_and_evaluate(spec: dict, progress: ShowProgress) -> ComparedRun:
    architecture = Architecture(**spec["architecture"])
    options = TrainingOptions(**spec["options"])
    report = train(
        spec["directory"],
        spec["run"],
        architecture=architecture,
        options=options,
        progress=progress,
    )
    peak_bytes = _peak_bytes()
    run, dataset = open_run(spec["run"]), open_dataset(spec["directory"])
    counted = count_epoch(dataset, run.plan(dataset), run.model, Shuffle(options.seed))
    summary = summarize(run.model, dataset, spec["split"], options.weighting)
    return ComparedRun(
        alignment=architecture.alignment,
        seconds_per_epoch=(report.times.computing + report.times.waiting) / report.epochs,
        computed_timesteps=counted.timesteps + counted.padded_timesteps,
        valid_timesteps=counted.timesteps,
        peak_bytes=peak_bytes,
        loss=summary.losses.model,
        losses_by_length=[(r.shortest, r.longest, r.losses.model) for r in summary.ranges],
        accuracy=_measure_accuracy(run.model, dataset, spec["split"]) if spec["labels"] else None,
    )


def _peak_bytes() -> int:
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _measure_accuracy(
    model: SequenceAutoencoder, dataset: SequenceDataset, split: str
) -> float | None:
    inference, parts = Inference(model, EMBEDDING), []
    for name in (TRAINING_SPLIT, split):
        windows = list(inference.windows(dataset, name))
        for column in ("embedding", "label"):
            parts.append(np.concatenate([window[column] for window in windows]))
        if len(np.unique(parts[1])) < 2:
            return None
    return label_accuracy(*parts)
