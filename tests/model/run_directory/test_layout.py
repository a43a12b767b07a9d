"""Runs that are not what they should be."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import load_model
from padless.model.run_directory.layout import make_run


@pytest.fixture
def run(make_model, create_run, save_model):
    """A finished run, without the training."""
    path = create_run()
    save_model(make_model(mean=[1.0, 2.0], variance=[4.0, 0.0]), path)
    return path


def test_load_model_gives_back_what_was_saved(run, make_model):
    model = load_model(run)
    sequence = np.ones((1, 4, 2), np.float32)
    np.testing.assert_array_equal(
        model(sequence), make_model(mean=[1.0, 2.0], variance=[4.0, 0.0])(sequence)
    )


def test_the_model_is_saved_without_its_optimizer(make_model, create_run, save_model):
    model, path, sizes = make_model(), create_run(), []
    for _ in range(2):
        save_model(model, path)
        sizes.append((path / "model.keras").stat().st_size)
        model.compile(optimizer="adam")
        model.optimizer.build(model.trainable_variables)
    assert sizes[1] == sizes[0]
    assert not keras.saving.load_model(path / "model.keras").compiled


def test_the_saved_model_subtracts_the_offsets_in_float64(make_model, create_run, save_model):
    path, model = create_run(), make_model()
    save_model(model, path, (0.0, 5812345.0))
    sequence = np.array([[[1.0, 0.25], [2.0, 0.375], [3.0, 0.125]]])
    loaded = tf.saved_model.load(str(path / "saved_model"))
    raw = tf.constant(sequence + np.array([0, 5812345.0]))
    served = loaded.serve(raw, tf.constant([3], tf.int64))
    expected = model.analyze(sequence.astype(np.float32))
    assert served.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(served[name], value, rtol=1e-5, atol=1e-6)


def test_make_run_makes_the_folders_above(tmp_path):
    assert make_run(tmp_path / "a" / "b", resume=False).is_dir()


def test_make_run_rejects_what_exists(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(FileExistsError, match=rf"{path}: .* must not exist.*\(`resume`\)"):
            make_run(path, resume=False)


def test_load_model_rejects_an_unfinished_run(create_run):
    run = create_run()
    message = r"model.keras is missing: the training of this run has not finished"
    with pytest.raises(FileNotFoundError, match=message):
        load_model(run)


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
