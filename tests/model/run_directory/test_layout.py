"""Runs that are not what they should be."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from padless.model import load_model
from padless.model.run_directory.layout import (
    check_features,
    make_run,
    read_config,
    save_model,
    write_config,
)

CONFIG = {
    "dataset": "data",
    "num_features": 2,
    "feature_names": ["x", "y"],
    "fingerprint": {},
    "architecture": {},
    "training": {},
    "batch_cost": {},
    "replicas": 1,
}


def create_run(path, config):
    run = make_run(path, resume=False)
    write_config(run, config)
    return run


@pytest.fixture
def run(make_model, tmp_path):
    """A finished run, without the training."""
    path = create_run(tmp_path / "run", CONFIG)
    save_model(make_model(mean=[1.0, 2.0], variance=[4.0, 0.0]), path)
    return path


@pytest.fixture
def named_dataset(make_dataset):
    def make(names, num_features=2):
        return dataclasses.replace(
            make_dataset([3], num_features=num_features), feature_names=names
        )

    return make


def test_load_model_gives_back_what_was_saved(run, make_model):
    model = load_model(run)
    sequence = np.ones((1, 4, 2), np.float32)
    np.testing.assert_array_equal(
        model(sequence), make_model(mean=[1.0, 2.0], variance=[4.0, 0.0])(sequence)
    )


def test_make_run_makes_the_folders_above(tmp_path):
    run = create_run(tmp_path / "a" / "b", CONFIG)
    assert read_config(run) == CONFIG


def test_make_run_rejects_what_exists(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(FileExistsError, match=f"{path}: the run directory must not exist"):
            make_run(path, resume=False)


@pytest.mark.parametrize("read", [load_model, read_config])
def test_reading_rejects_what_is_no_run(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing: .* is not a run of `pad"):
        read(tmp_path)


@pytest.mark.parametrize("missing", CONFIG)
def test_read_config_names_what_is_missing(tmp_path, missing):
    create_run(tmp_path / "run", {key: CONFIG[key] for key in CONFIG.keys() - {missing}})
    with pytest.raises(ValueError, match=f"config.json must hold '{missing}'"):
        read_config(tmp_path / "run")


@pytest.mark.parametrize("read", [load_model, read_config])
def test_reading_rejects_a_damaged_configuration(tmp_path, read):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json must hold JSON"):
        read(tmp_path)


def test_load_model_rejects_an_unfinished_run(tmp_path):
    create_run(tmp_path / "run", CONFIG)
    message = r"model.keras is missing: the training of this run has not finished"
    with pytest.raises(FileNotFoundError, match=message):
        load_model(tmp_path / "run")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not a model",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + b"\xff" * 9 + data[209:],
        lambda data: data[: len(data) // 2] + b"\xff" * 99 + data[len(data) // 2 + 99 :],
    ],
    ids=["empty", "text", "truncated", "flipped configuration", "flipped weights"],
)
def test_load_model_rejects_a_damaged_model(run, damage):
    path = run / "model.keras"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path} must hold a model of `padless train`: "):
        load_model(run)


def test_load_model_rejects_a_model_of_another_class(run):
    os.remove(run / "model.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(run / "model.keras")
    with pytest.raises(ValueError, match="must hold a SequenceAutoencoder, got Sequential"):
        load_model(run)


@pytest.mark.parametrize("names", [("x", "y"), None])
def test_check_features_takes_the_same_or_unnamed(run, named_dataset, names):
    check_features(run, named_dataset(names))


@pytest.mark.parametrize(
    ("names", "num_features", "message"),
    [
        (None, 3, "trained on 2 features per timestep, dataset '.*' has 3"),
        (("x", "z"), 2, r"features \['x', 'y'\], in this order, .* has \['x', 'z'\]"),
        (("y", "x"), 2, r"features \['x', 'y'\], in this order, .* has \['y', 'x'\]"),
    ],
    ids=["number", "names", "order"],
)
def test_check_features_rejects(run, named_dataset, names, num_features, message):
    with pytest.raises(ValueError, match=message):
        check_features(run, named_dataset(names, num_features))
