"""What is written for TensorBoard, read back with TensorBoard's own reader."""

import csv
import importlib.util
import io
import logging

import keras
import numpy as np
import pytest
from matplotlib.image import imread

from padless.model import load_model
from padless.model.training.state import RunState
from padless.model.training.tensorboard_log import TensorBoardLog, read_some

EPOCHS, STEPS = 6, 4


def scalars(tensors):
    return {step: tensor.float_val[0] for step, tensor in tensors.items()}


def column(path, name):
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def log(finished, read_events):
    folder = finished[0] / "tensorboard"
    return {split: read_events(folder / split) for split in ("train", "validation")}


def test_log_holds_each_step_under_its_number_in_the_run(log, finished):
    losses = scalars(log["train"]["batch_loss"])
    assert list(losses) == list(range(1, EPOCHS * STEPS + 1))
    expected = column(finished[0] / "steps.csv", "loss")
    np.testing.assert_allclose(list(losses.values()), expected, rtol=1e-6)


@pytest.mark.parametrize(("split", "name"), [("train", "loss"), ("validation", "val_loss")])
def test_log_holds_each_epoch_as_keras_names_it(log, finished, split, name):
    losses = scalars(log[split]["epoch_loss"])
    assert list(losses) == list(range(1, EPOCHS + 1))
    expected = column(finished[0] / "history.csv", name)
    np.testing.assert_allclose(list(losses.values()), expected, rtol=1e-6)


def test_log_has_the_tags_of_keras(log, read_events, tmp_path):
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(loss="mse", optimizer="adam")
    ones = np.ones((4, 2)), np.ones((4, 1))
    callback = keras.callbacks.TensorBoard(str(tmp_path), write_graph=False, update_freq=1)
    model.fit(*ones, validation_data=ones, callbacks=[callback], verbose=0)
    keras_train = {tag for file in [tmp_path / "train"] for tag in read_events(file)}
    ours = set(log["train"])
    ours = {tag for tag in ours if not tag.startswith("epoch_length_")}
    assert {"epoch_loss", "epoch_learning_rate", "batch_loss"} == ours
    assert ours <= keras_train
    assert "epoch_loss" in read_events(tmp_path / "validation")


def test_log_holds_the_learning_rate_of_the_schedule(spoiled, read_events):
    rates = scalars(read_events(spoiled[0] / "tensorboard/train")["epoch_learning_rate"])
    expected = [0.01 * (1 + np.cos(np.pi * epoch / 9)) for epoch in (1, 2, 3, 4)]
    np.testing.assert_allclose(list(rates.values()), expected, rtol=1e-5, atol=1e-9)


def test_log_draws_at_powers_of_two_and_at_the_end(log):
    assert list(log["validation"]["reconstructions"]) == [1, 2, 4, 6]
    for tensor in log["validation"]["reconstructions"].values():
        width, height, png = tensor.string_val
        assert imread(io.BytesIO(png)).shape == (int(height), int(width), 4)


def test_log_draws_other_reconstructions_of_the_same_sequences(log):
    pictures = [
        imread(io.BytesIO(tensor.string_val[2]))
        for tensor in log["validation"]["reconstructions"].values()
    ]
    changed = (pictures[0] != pictures[-1]).any(axis=2).mean()
    assert 0 < changed < 0.2


def test_read_some_takes_a_short_a_middling_and_a_long_one(make_dataset, read_sequences):
    dataset = make_dataset([9, 3, 5, 4, 6, 8, 7, 5, 10, 2, 5], num_shards=3)
    some, sequences = read_some(dataset, "train"), read_sequences(dataset, "train")
    assert [len(sequence) for _, sequence in some] == [3, 5, 9]
    for key, sequence in some:
        np.testing.assert_array_equal(sequence, sequences[key])


@pytest.fixture
def play(make_model, tmp_path):
    """Calls the log of a dataset as a training of so many epochs does: its folder."""

    def train_on(dataset, epochs=1):
        model = make_model()
        model.compile(optimizer="sgd")
        calls = keras.callbacks.CallbackList(
            [TensorBoardLog(tmp_path, dataset)], model=model, epochs=epochs, steps=1, verbose=0
        )
        calls.on_train_begin()
        for epoch in range(epochs):
            calls.on_epoch_begin(epoch)
            calls.on_train_batch_end(0, {"loss": 1.0})
            calls.on_epoch_end(epoch, {"loss": 1.0})
        calls.on_train_end()
        return tmp_path

    return train_on


@pytest.mark.parametrize("count", [1, 2])
def test_log_draws_what_a_small_training_split_has(play, make_dataset, read_events, count):
    folder = play(make_dataset([1] * count))
    assert list(read_events(folder / "train")["reconstructions"]) == [1]


def test_log_leaves_the_training_as_it_is(make_trainer, make_dataset, deal, weights_of, tmp_path):
    """The state that random numbers come from, and the weights, are what they were without it."""
    dataset, weights = make_dataset([3, 4, 5, 6]), []
    trainer = make_trainer(dataset)
    state = RunState(trainer.model)
    start = state.capture()
    for folder in (None, tmp_path / "log"):
        keras.utils.set_random_seed(1)
        state.restore(*start)
        batches, plan = deal(trainer, dataset, 2)
        log = TensorBoardLog(folder, dataset) if folder else keras.callbacks.Callback()
        calls = keras.callbacks.CallbackList(
            [log], model=trainer.model, epochs=1, steps=plan.steps_per_epoch, verbose=0
        )
        calls.on_train_begin()
        calls.on_epoch_begin(0)
        for step in range(plan.steps_per_epoch):
            calls.on_train_batch_end(step, {"loss": float(trainer.train_step(batches)[0])})
        calls.on_epoch_end(0, {"loss": 1.0})
        calls.on_train_end()
        drawn = np.random.rand(), float(keras.random.uniform(()))
        weights.append([*weights_of(trainer.model), *drawn])
    assert (tmp_path / "log/train").exists()
    assert weights[0] == weights[1]


def test_log_says_once_that_a_picture_needs_matplotlib(
    play, make_dataset, read_events, monkeypatch, capsys, caplog
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name)
    )
    with caplog.at_level(logging.INFO, "padless"):
        folder = play(make_dataset([3, 4]), epochs=2)
    assert caplog.text.count("no pictures in the TensorBoard logs") == 1
    events = read_events(folder / "train")
    assert "reconstructions" not in events
    assert list(events["epoch_loss"]) == [1, 2]
    assert capsys.readouterr().out == ""


def test_log_shows_the_model_that_is_trained(finished, validated_dataset, read_sequences):
    """The last picture's sequences have the error that the final weights give them."""
    model = load_model(finished[0])
    log = TensorBoardLog("unused", validated_dataset)
    log.set_model(model)
    log.on_train_begin()
    for key, sequence in read_some(validated_dataset, "validation"):
        example = log._example(key, sequence)
        assert example.error == pytest.approx(float(model.analyze(sequence[None])["error"][0]))
        np.testing.assert_allclose(example.reconstruction, model(sequence[None])[0], rtol=1e-5)
