"""The run directory: what a training run writes, and how its model is loaded again.

```
config.json                             what was asked for, and of which data
calibration.npz                         scores of normal sequences, see `Calibration`
model.keras                             the model with its best weights, see `open_run`
saved_model/                            for TensorFlow without padless: `serve(sequence, length)`
checkpoints/                            the newest states of the run, see `Checkpoints`
steps.csv, history.csv, timing.csv      per step and per epoch, see `MetricsFiles`
tensorboard/                            the same as TensorBoard logs
```

`model.keras` comes last: a run that has it has finished. While a process trains, `lock` names it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf
from etils import epath

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.run_directory.config import CONFIG_FILE
from padless.model.run_directory.lock import LOCK_FILE
from padless.model.run_directory.model_file import check_model_file
from padless.pipeline.paths import is_local
from padless.pipeline.protected import check_unprotected
from padless.pipeline.written_whole import unfinished, written_whole

PValues: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From lengths, `(batch,)` int64, and scores, `(batch,)` float32, to p-values in a graph."""

MODEL_FILE = "model.keras"
CALIBRATION_FILE = "calibration.npz"
SAVED_MODEL_DIRECTORY = "saved_model"
TENSORBOARD_DIRECTORY = "tensorboard"
CHECKPOINT_DIRECTORY = "checkpoints"
# What a process may leave that was killed before it had written the configuration.
_BEFORE_CONFIG = {LOCK_FILE, unfinished(CONFIG_FILE)}


def make_run(run: os.PathLike, *, resume: bool) -> pathlib.Path:
    """Makes the directory of a run, or with `resume` takes the one that is there.

    Raises:
        FileExistsError: if it exists and is not to be resumed.
        FileNotFoundError: if it is to be resumed but holds something else than a run.
        ValueError: if it is not in a file system of this machine, is inside a dataset or another
            run, or holds a link.
    """
    if not is_local(run):
        raise ValueError(
            f"{run}: the run directory must be in a file system of this machine (a mounted one "
            "as well), as it is locked while it is written."
        )
    check_unprotected(run, "run")
    run = pathlib.Path(run)
    if not resume and run.exists():
        raise FileExistsError(
            f"{run}: the run directory must not exist. Resume the run (`resume`), delete it or "
            "name another one."
        )
    run.mkdir(parents=True, exist_ok=resume)
    _check_no_link(run)
    names = {path.name for path in run.iterdir()}
    if CONFIG_FILE not in names and names - _BEFORE_CONFIG:
        raise FileNotFoundError(
            f"{run / CONFIG_FILE} is missing: {run} is not a run of `padless train`, and not empty."
        )
    return run


def _check_no_link(run: pathlib.Path) -> None:
    """Checks that nothing in a run leads elsewhere, where a resumed run would write and delete."""
    for folder, directories, files in os.walk(run):
        for name in (*directories, *files):
            if os.path.islink(path := os.path.join(folder, name)):
                raise ValueError(
                    f"{path} must not be a link, as a resumed run would write where it leads: put "
                    "there what it leads to."
                )


@contextlib.contextmanager
def model_written(
    model: SequenceAutoencoder,
    run: epath.PathLike,
    offsets: Sequence[float] | None = None,
    p_values: PValues | None = None,
) -> Iterator[pathlib.Path]:
    """Writes `model.keras` and the SavedModel, free of optimizer, of any strategy and of cuDNN.

    Yields the model's file before it is in its place, for what has to be there first.

    The SavedModel is called with `sequence` `(batch, timesteps, features)` float32 in raw units and
    `length` `(batch,)` int64, so that a request may hold sequences of many lengths; the timesteps
    after them may have any value. It returns what `SequenceAutoencoder.analyze` does, and `p_value`
    `(batch,)` float32 if it is told how to compute it. Where the dataset has offsets, `sequence` is
    float64, and the SavedModel subtracts them.

    Args:
        model: the trained model.
        run: the run directory.
        offsets: of the dataset that it was trained on, or None.
        p_values: computes the p-values of scores in the graph of the SavedModel, or None.
    """
    run, alone = pathlib.Path(run), type(model).from_config(model.get_config())
    alone.set_weights(model.get_weights())
    with written_whole(run / MODEL_FILE) as beside:
        alone.save(str(beside))
        _export(alone, run / SAVED_MODEL_DIRECTORY, offsets, p_values)
        yield beside


def _export(
    model: SequenceAutoencoder,
    path: pathlib.Path,
    offsets: Sequence[float] | None,
    p_values: PValues | None,
) -> None:
    """Writes a SavedModel, in the place of one that is there."""
    for layer in (*model.encoder, *model.decoder):
        layer.avoid_cudnn()
    dtype = tf.float32 if offsets is None else tf.float64
    signature = [
        tf.TensorSpec((None, None, model.num_features), dtype, name="sequence"),
        tf.TensorSpec((None,), tf.int64, name="length"),
    ]

    def serve(sequence: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        if offsets is not None:
            sequence = tf.cast(sequence - tf.constant(list(offsets), tf.float64), tf.float32)
        found = model.analyze(sequence, length)
        if p_values is not None:
            found["p_value"] = p_values(length, found["score"])
        return found

    archive = tf.Module()
    archive.model_variables = [variable.value for variable in model.variables]
    # Keras' `ExportArchive` writes the same, but traces it outside of the saving, and then again.
    archive.serve = tf.function(serve, input_signature=signature, autograph=False)
    names = ("serve", tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY)
    with written_whole(path) as beside:
        tf.saved_model.save(archive, str(beside), dict.fromkeys(names, archive.serve))


def discard_model(run: pathlib.Path) -> None:
    """Deletes the model of a run that is resumed, so that it is not taken for the final one.

    The calibration goes with it: it holds scores of that model.
    """
    (run / MODEL_FILE).unlink(missing_ok=True)
    (run / CALIBRATION_FILE).unlink(missing_ok=True)


def load_model(run: epath.PathLike) -> SequenceAutoencoder:
    """Loads the model of a finished run, in Keras' safe mode.

    Args:
        run: run directory, whose configuration has been read.

    Raises:
        FileNotFoundError: if its training has not finished.
        ValueError: if the file is damaged or holds another model.
    """
    path = epath.Path(run) / MODEL_FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: the training of this run has not finished. If it was interrupted, "
            "resume it (`padless train --resume`)."
        )
    return _load(path)


def _load(path: epath.PathLike) -> SequenceAutoencoder:
    try:
        check_model_file(epath.Path(path))
        model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    except Exception as error:  # Keras passes on whatever comes of a configuration that was edited
        raise ValueError(f"{path} must hold a model of `padless train`: {error}") from error
    if not isinstance(model, SequenceAutoencoder):
        raise ValueError(f"{path} must hold a SequenceAutoencoder, got {type(model).__name__}.")
    return model
