"""The run directory: what a training run leaves behind, and how it is opened again.

```
config.json                             what was asked for, and of which data
calibration.npz                         scores of normal sequences, see `Calibration`
model.keras                             the model with its best weights, see `load_model`
saved_model/                            for TensorFlow without padless: `serve(sequence)`
checkpoints/                            the newest states of the run, see `Checkpoints`
steps.csv, history.csv, timing.csv      per step and per epoch, see `MetricsFiles`
tensorboard/                            the same as TensorBoard logs
```

`model.keras` comes last: a run that has it has finished. While a process trains, `lock` names it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import zipfile

import keras
import tensorflow as tf
from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.run_directory.lock import LOCK_FILE
from padless.model.run_directory.training_options import TrainingOptions
from padless.pipeline.dataset.directory import SequenceDataset

CONFIG_FILE = "config.json"
MODEL_FILE = "model.keras"
CALIBRATION_FILE = "calibration.npz"
SAVED_MODEL_DIRECTORY = "saved_model"
TENSORBOARD_DIRECTORY = "tensorboard"
CHECKPOINT_DIRECTORY = "checkpoints"
_INCOMPLETE = "incomplete."
_NEEDED = (
    "dataset",
    "fingerprint",
    "num_features",
    "feature_names",
    "architecture",
    "training",
    "replicas",
    "batch_cost",
)
# What a process may leave that was killed before it had written the configuration.
_BEFORE_CONFIG = {LOCK_FILE, _INCOMPLETE + CONFIG_FILE}


def make_run(run: os.PathLike, *, resume: bool) -> pathlib.Path:
    """Makes the directory of a run, or with `resume` takes the one that is there.

    Raises:
        FileExistsError: if it exists and is not to be resumed.
        FileNotFoundError: if it is to be resumed but holds something else than a run.
        ValueError: if it is not in a file system of this machine.
    """
    if "://" in str(run):
        raise ValueError(
            f"{run}: the run directory must be in a file system of this machine (a mounted one "
            "as well), as it is locked while it is written."
        )
    run = pathlib.Path(run)
    if not resume and run.exists():
        raise FileExistsError(
            f"{run}: the run directory must not exist. Resume the run (`--resume`), delete it or "
            "name another one."
        )
    run.mkdir(parents=True, exist_ok=resume)
    names = {path.name for path in run.iterdir()}
    if CONFIG_FILE not in names and names - _BEFORE_CONFIG:
        raise FileNotFoundError(
            f"{run / CONFIG_FILE} is missing: {run} is not a run of `padless train`, and not empty."
        )
    return run


def write_config(run: pathlib.Path, config: dict) -> None:
    """Writes the configuration, whole or not at all."""
    beside = incomplete(run / CONFIG_FILE)
    beside.write_text(json.dumps(config, indent=2) + "\n")
    beside.replace(run / CONFIG_FILE)


def incomplete(path: pathlib.Path) -> pathlib.Path:
    """Names the file beside its place that a file is while it is written."""
    return path.with_name(_INCOMPLETE + path.name)


def read_config(run: epath.PathLike) -> dict:
    """Reads the configuration of a run.

    Raises:
        FileNotFoundError: if it is not a run directory.
        ValueError: if the file does not hold what `padless train` writes.
    """
    path = epath.Path(run) / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {run} is not a run of `padless train`.")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} must hold JSON: {error}") from error
    for key in _NEEDED:
        if key not in config:
            raise ValueError(f"{path} must hold {key!r}, as `padless train` wrote it; it does not.")
    return config


def read_options(run: epath.PathLike) -> tuple[Architecture, TrainingOptions]:
    """Reads what a run was asked for, as to resume it with something else.

    Example:
        >>> _, options = read_options("run")  # doctest: +SKIP
        >>> options = dataclasses.replace(options, epochs=100)  # doctest: +SKIP

    Raises:
        FileNotFoundError: if it is not a run directory.
        ValueError: if its configuration is not one of this version.
    """
    config = read_config(run)
    try:
        return Architecture(**config["architecture"]), TrainingOptions(**config["training"])
    except (KeyError, TypeError) as error:
        path = epath.Path(run) / CONFIG_FILE
        raise ValueError(f"{path} must hold the options of this version: {error}") from error


def save_model(model: SequenceAutoencoder, run: epath.PathLike) -> None:
    """Writes `model.keras`, and from it the SavedModel, free of any strategy and of cuDNN.

    The SavedModel is called with `(batch, timesteps, features)` float32 in raw units and returns
    what `SequenceAutoencoder.analyze` does.
    """
    run = pathlib.Path(run)
    beside = incomplete(run / MODEL_FILE)
    model.save(str(beside))
    _export(_load(beside), run / SAVED_MODEL_DIRECTORY)
    beside.replace(run / MODEL_FILE)


def _export(model: SequenceAutoencoder, path: pathlib.Path) -> None:
    """Writes a SavedModel beside its place, then in the place of one that is there."""
    beside = incomplete(path)
    shutil.rmtree(beside, ignore_errors=True)
    for layer in (*model.encoder, *model.decoder):
        layer.avoid_cudnn()
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = tf.TensorSpec((None, None, model.num_features), tf.float32, name="sequence")
    archive.add_endpoint("serve", model.analyze, input_signature=[signature])
    archive.write_out(str(beside), verbose=False)
    if path.exists():
        shutil.rmtree(path)
    beside.replace(path)


def discard_model(run: pathlib.Path) -> None:
    """Deletes the model of a run that goes on, so that none is taken for that of its end.

    The calibration goes with it: it holds scores of that model.
    """
    (run / MODEL_FILE).unlink(missing_ok=True)
    (run / CALIBRATION_FILE).unlink(missing_ok=True)


def is_finished(run: pathlib.Path) -> bool:
    """Tells whether a run has all that it ends with."""
    return (run / MODEL_FILE).exists() and (run / CALIBRATION_FILE).exists()


def load_model(run: epath.PathLike) -> SequenceAutoencoder:
    """Loads the model of a finished run, in Keras' safe mode.

    Raises:
        FileNotFoundError: if it is not a run directory, or its training has not finished.
        ValueError: if the file is damaged or holds another model.
    """
    path = epath.Path(run) / MODEL_FILE
    read_config(run)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: the training of this run has not finished. If it was interrupted, "
            "resume it (`padless train --resume`)."
        )
    return _load(path)


def _load(path: epath.PathLike) -> SequenceAutoencoder:
    try:
        model = keras.saving.load_model(str(path), compile=False, safe_mode=True)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} must hold a model of `padless train`: {error}") from error
    if not isinstance(model, SequenceAutoencoder):
        raise ValueError(f"{path} must hold a SequenceAutoencoder, got {type(model).__name__}.")
    return model


def check_features(run: epath.PathLike, dataset: SequenceDataset) -> None:
    """Checks that the run was trained on sequences of the same features as those of `dataset`.

    Raises:
        ValueError: if their number differs, or their names or order where both are known.
    """
    trained = read_config(run)
    num_features, names = trained["num_features"], trained["feature_names"]
    received = dataset.record_format.num_features
    if received != num_features:
        raise ValueError(
            f"{run}: the run was trained on {num_features} features per timestep, "
            f"dataset {dataset.name!r} has {received}."
        )
    if names and dataset.feature_names and tuple(names) != dataset.feature_names:
        raise ValueError(
            f"{run}: the run was trained on the features {names}, in this order, "
            f"dataset {dataset.name!r} has {list(dataset.feature_names)}."
        )
