"""Keras' `compile`, `fit`, `evaluate` and `predict` on batches of padless, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import SequenceAutoencoder
from padless.pipeline import PackedSequences, equal_length_batches, packed_steps, plan_batches

LENGTHS = [3, 4, 4, 6, 7] * 5
both_layouts = pytest.mark.parametrize("packed", [False, True], ids=["equal lengths", "packed"])


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS)


@pytest.fixture(scope="module")
def batches_of(dataset):
    """Reads the data as batches of at most so many sequences of a length, or packed ones."""

    def read(batch_size=8, epochs=1, *, packed=False):
        lengths = dataset.split("train").lengths
        plan = plan_batches(lengths, batch_size=batch_size, group_size=2 if packed else None)
        read = packed_steps if packed else equal_length_batches
        return read(dataset, plan, epochs=range(epochs))

    return read


@pytest.fixture
def model(make_model, dataset):
    moments = dataset.moments
    return make_model(mean=moments.mean, variance=moments.variance)


def rows_of(batches):
    """Yields each sequence alone: `(timesteps, features)`."""
    for batch in batches:
        if "values" in batch:
            ragged = PackedSequences(batch["values"], batch["length"]).to_ragged()
            yield from (row.numpy() for row in ragged)
        else:
            yield from batch["sequence"].numpy()


def mean_loss(model, batches):
    """Computes what each sequence loses, alone, and averages."""
    return np.mean([model.sequence_losses(row[None])[0] for row in rows_of(batches)])


def test_losses_are_those_of_keras(model):
    assert model.losses == []


@both_layouts
def test_evaluate_is_the_mean_over_the_sequences(model, batches_of, packed):
    batches = batches_of(packed=packed)
    model.compile()
    assert model.evaluate(batches, verbose=0) == pytest.approx(mean_loss(model, batches), rel=1e-5)


def test_fit_takes_the_steps_of_the_trainer(model, make_trainer, dataset, batches_of, weights_of):
    batches = batches_of(packed=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    fitted = model.fit(batches, verbose=0, shuffle=False)
    trainer = make_trainer(dataset, optimizer=keras.optimizers.SGD(0.1))
    iterator = iter(batches)
    steps = [trainer.train_step(iterator) for _ in batches]
    np.testing.assert_allclose(weights_of(model), weights_of(trainer.model), rtol=1e-5, atol=1e-6)
    loss = sum(step.error for step in steps) / sum(step.weight for step in steps)
    assert fitted.history["loss"] == pytest.approx([float(loss)], rel=1e-5)


def test_fit_trains_with_the_optimizer_that_the_user_names(model, batches_of):
    batches = batches_of(epochs=4)
    before = mean_loss(model, batches_of())
    model.compile(optimizer=keras.optimizers.Adam(0.02, clipnorm=1.0))
    fitted = model.fit(
        batches,
        epochs=4,
        steps_per_epoch=len(batches) // 4,
        validation_data=batches_of(),
        shuffle=False,
        verbose=0,
    )
    assert len(fitted.history["loss"]) == 4
    after = mean_loss(model, batches_of())
    assert fitted.history["val_loss"][-1] == pytest.approx(after, rel=1e-5)
    assert after < 0.95 * before


def test_a_loss_of_the_user_compares_raw_units(model, batches_of):
    batches = batches_of(packed=True)
    model.compile(optimizer="adam", loss="mse", weighted_metrics=["mae"])
    got = model.evaluate(batches, verbose=0, return_dict=True)
    differences = [np.abs(row - model(row[None])[0]) for row in rows_of(batches)]
    assert got["mae"] == pytest.approx(np.concatenate(differences).mean(), rel=1e-5)
    before = model.get_weights()
    fitted = model.fit(batches, verbose=0, shuffle=False)
    assert np.isfinite(fitted.history["loss"]).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_loss_of_the_user_is_that_of_keras_where_nothing_is_padded(model, batches_of):
    (batch,) = batches_of().take(1).as_numpy_iterator()
    model.compile(loss="mse")
    expected = np.square(batch["sequence"] - model(batch["sequence"])).mean()
    assert model.evaluate(batches_of().take(1), verbose=0) == pytest.approx(expected, rel=1e-5)
    arrays = model.evaluate(batch["sequence"], batch["sequence"], verbose=0)
    assert arrays == pytest.approx(expected, rel=1e-5)


def test_metrics_alone_leave_the_objective(model, batches_of):
    batches = batches_of()
    model.compile(weighted_metrics=["mae"])
    got = model.evaluate(batches, verbose=0, return_dict=True)
    assert got["loss"] == pytest.approx(mean_loss(model, batches), rel=1e-5)
    assert got["mae"] > 0


def test_arrays_need_no_target(model):
    sequence = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    weight = np.float32([1, 1, 0, 2, 0, 1])
    model.compile(optimizer="sgd")
    losses = model.sequence_losses(sequence).numpy()
    got = model.evaluate(sequence, batch_size=4, verbose=0)
    assert got == pytest.approx(np.mean(losses), rel=1e-5)
    got = model.evaluate({"sequence": sequence, "weight": weight}, batch_size=4, verbose=0)
    assert got == pytest.approx(np.average(losses, weights=weight), rel=1e-5)
    assert len(model.fit(sequence, batch_size=4, epochs=2, verbose=0).history["loss"]) == 2


def test_a_batch_that_weighs_nothing_changes_nothing(model):
    sequence = np.random.default_rng(0).normal(size=(4, 5, 2)).astype(np.float32)
    model.compile(optimizer="sgd")
    before = model.get_weights()
    fitted = model.fit({"sequence": sequence, "weight": np.zeros(4, np.float32)}, verbose=0)
    assert fitted.history["loss"] == [0]
    for received, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(received, expected)


def test_predict_reconstructs_each_batch(model, batches_of):
    batches = batches_of().take(3)
    predicted = model.predict(batches, verbose=0)
    expected = [row for batch in batches for row in model(batch["sequence"]).numpy()]
    assert predicted.shape[0] == len(expected)
    for received, row in zip(predicted.to_list(), expected, strict=True):
        np.testing.assert_allclose(np.array(received), row, rtol=1e-5, atol=1e-6)


def test_a_call_takes_a_batch(model, batches_of):
    for batch in batches_of():
        np.testing.assert_array_equal(model(batch), model(batch["sequence"]))
    for batch in batches_of(packed=True):
        expected = model(PackedSequences(batch["values"], batch["length"]))
        np.testing.assert_array_equal(model(batch), expected)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_fit_goes_on_after_save_and_reload(dataset, batches_of, tmp_path, precision):
    model = SequenceAutoencoder.for_moments(dataset.moments, precision=precision)
    model.compile(optimizer="adam")
    model.fit(batches_of(), verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert int(reloaded.optimizer.iterations) == int(model.optimizer.iterations)
    got = [m.fit(batches_of(), verbose=0, shuffle=False).history for m in (model, reloaded)]
    assert got[0]["loss"] == pytest.approx(got[1]["loss"], rel=1e-6)


def test_fit_traces_once_more_for_all_other_lengths(model, batches_of):
    traces, reconstruct = [], model.reconstruct
    model.reconstruct = lambda *args, **options: traces.append(1) or reconstruct(*args, **options)
    model.compile()
    model.fit(batches_of(), verbose=0, shuffle=False)
    assert len(traces) <= 2  # the first length, and then any


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_compile_asks_for_no_xla(make_model, cell):
    model = make_model(cell=cell)
    model.compile()
    assert model.jit_compile is False


def test_summary_shows_every_layer(model, capsys):
    model.summary(line_length=100)
    printed = capsys.readouterr().out
    for layer in model.layers:
        assert layer.name in printed
    assert f"Total params: {model.count_params():,}" in printed


def test_a_target_of_the_user_is_what_packed_rows_are_compared_with(model, batches_of):
    (batch,) = batches_of(packed=True).take(1)
    model.compile(loss="mse")
    for target in (0.0, 100.0):
        targets = tf.fill(batch["values"].shape, target)
        pairs = tf.data.Dataset.from_tensors((batch, targets))
        expected = np.square(model(batch) - target).mean()
        assert model.evaluate(pairs, verbose=0) == pytest.approx(expected, rel=1e-5)
