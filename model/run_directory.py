"""The run directory: what a training run leaves behind, and how it is opened again.

```
config.json                    what was asked for, and of which data
model.keras                    the model with its best weights, see `load_model`
saved_model/                   the same for TensorFlow without padless: `serve(sequence)`
checkpoints/best.weights.h5    the best weights so far, while the run goes on
steps.csv, history.csv         metrics per step and per epoch
tensorboard/                   the same as TensorBoard logs
```
"""

from __future__ import annotations

import json
import zipfile

import keras
import tensorflow as tf
from etils import epath

from padless.model.autoencoder import SequenceAutoencoder
from padless.pipeline.directory import SequenceDataset

CONFIG_FILE = "config.json"
MODEL_FILE = "model.keras"
HISTORY_FILE = "history.csv"
STEPS_FILE = "steps.csv"
SAVED_MODEL_DIRECTORY = "saved_model"
TENSORBOARD_DIRECTORY = "tensorboard"
CHECKPOINT_FILE = "checkpoints/best.weights.h5"


def create_run(run: epath.PathLike, config: dict) -> epath.Path:
    """Makes the directory of a new run and writes its configuration.

    Raises:
        FileExistsError: if it exists.
    """
    run = epath.Path(run)
    if run.exists():
        raise FileExistsError(
            f"{run}: the run directory must not exist. Delete it or name another one."
        )
    (run / CHECKPOINT_FILE).parent.mkdir(parents=True)
    (run / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    return run


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
    for key in ("dataset", "num_features", "feature_names", "training", "replicas"):
        if key not in config:
            raise ValueError(f"{path} must hold {key!r}, as `padless train` wrote it; it does not.")
    return config


def save_model(model: SequenceAutoencoder, run: epath.PathLike) -> None:
    """Writes `model.keras`, and from it the SavedModel, free of any strategy.

    The SavedModel is called with `(batch, timesteps, features)` float32 in raw units and returns
    what `SequenceAutoencoder.analyze` does.
    """
    run = epath.Path(run)
    model.save(str(run / MODEL_FILE))
    model = load_model(run)
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = tf.TensorSpec((None, None, model.num_features), tf.float32, name="sequence")
    archive.add_endpoint("serve", model.analyze, input_signature=[signature])
    archive.write_out(str(run / SAVED_MODEL_DIRECTORY), verbose=False)


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
            "delete the directory and train again."
        )
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
