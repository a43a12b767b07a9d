"""Missing values that are masked: told to the model, and counted by no loss and no error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture
from padless.model.network.carrying import carry_forward
from padless.pipeline.batching.packing import PackedSequences, Packing

LENGTHS = np.array([9, 6, 6, 2])
MEAN, VARIANCE = [100.0, -3.0, 0.0], [25.0, 0.01, 1.0]
NAN = float("nan")


@pytest.fixture(scope="module")
def padded():
    """Draws sequences in which values are missing, of the last one all of the first feature."""
    rng = np.random.default_rng(0)
    values = rng.normal(MEAN, np.sqrt(VARIANCE), (len(LENGTHS), max(LENGTHS), 3))
    values[rng.random(values.shape) < 0.3] = NAN
    values[3, :, 0] = NAN
    values[3, :2, 1:] = [[-3.1, 0.5], [-2.9, 0.25]]
    return values.astype(np.float32)


@pytest.fixture(scope="module")
def packed(padded):
    packing = Packing.of(tf.constant(LENGTHS))
    values = tf.gather_nd(padded, tf.stack((packing.row, packing.time), 1))
    return PackedSequences(values, tf.constant(LENGTHS))


@pytest.fixture
def model(make_model):
    return make_model(num_features=3, mean=MEAN, variance=VARIANCE, masks_missing=True)


def losses_and_gradients(model, *sequence):
    with tf.GradientTape() as tape:
        losses = model.sequence_losses(*sequence, training=True)
        total = tf.reduce_sum(losses * [1.0, 0.5, 2.0, 3.0])
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    return losses.numpy(), np.concatenate([np.ravel(g) for g in gradients])


@pytest.mark.parametrize("kind", [{}, {"patch_length": 2}, {"own_scale": False}], ids=str)
def test_packed_and_padded_rows_have_one_loss_and_gradient(make_model, packed, padded, kind):
    model = make_model(num_features=3, mean=MEAN, variance=VARIANCE, masks_missing=True, **kind)
    losses, gradient = losses_and_gradients(model, packed)
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()
    padded_losses, padded_gradient = losses_and_gradients(model, padded, LENGTHS)
    np.testing.assert_allclose(losses, padded_losses, rtol=1e-5)
    np.testing.assert_allclose(gradient, padded_gradient, rtol=1e-3, atol=1e-5)


def test_errors_are_those_of_the_values_that_are_seen(model, padded):
    found = model.analyze(padded, LENGTHS, timesteps=True)
    reconstructed = model(padded, LENGTHS).numpy()
    squared = np.square((reconstructed - padded) / np.sqrt(VARIANCE))
    for row, length in enumerate(LENGTHS):
        by_timestep = found["timestep_error"][row].numpy()
        np.testing.assert_allclose(
            by_timestep[:length], squared[row, :length], rtol=2e-3, atol=1e-6
        )
        assert (by_timestep[length:] == 0).all()
        seen = [squared[row, :length, i][~np.isnan(padded[row, :length, i])] for i in range(3)]
        expected = [part.mean() if part.size else NAN for part in seen]
        np.testing.assert_allclose(found["feature_error"][row], expected, rtol=2e-3)
        np.testing.assert_allclose(found["error"][row], np.nanmean(expected), rtol=2e-3)
    assert np.isnan(found["feature_error"][3]).tolist() == [True, False, False]
    assert np.isfinite(found["unexplained"]).all()


def test_a_missing_value_is_not_taken_for_one_that_is_there(model, padded):
    """The last one is read in its place: only what is told beside tells them apart."""
    one = padded[:1, :6].copy()
    one[0, :, 2] = [1, 2, NAN, 1, 3, 1]
    filled = one.copy()
    filled[0, 2, 2] = 2.0
    assert np.abs(model.embed(one) - model.embed(filled)).max() > 1e-4


@pytest.mark.parametrize("longest", [1, 2, 9, 33])
def test_the_last_value_seen_is_carried(longest):
    rng = np.random.default_rng(longest)
    lengths = np.sort(rng.integers(1, longest + 1, 5))[::-1].astype(np.int32)
    lengths[0] = longest
    values = rng.normal(size=(5, longest, 2)).astype(np.float32)
    seen = rng.random(values.shape) < 0.3
    first = rng.normal(size=(5, 2)).astype(np.float32)
    expected = values.copy()
    for row, time, feature in np.ndindex(values.shape):
        before = np.flatnonzero(seen[row, : time + 1, feature])
        there = len(before) > 0
        expected[row, time, feature] = (
            values[row, before[-1], feature] if there else first[row, feature]
        )
    carried = carry_forward(tf.constant(values), tf.constant(seen), tf.constant(first), lengths)
    np.testing.assert_array_equal(carried, expected)
    packing = Packing.of(tf.constant(lengths))
    place = tf.stack((packing.row, packing.time), 1)
    packed = [tf.gather_nd(part, place) for part in (values, seen)]
    carried = carry_forward(*packed, tf.constant(first), packing)
    np.testing.assert_array_equal(carried, tf.gather_nd(expected, place))


def test_without_missing_values_the_losses_are_those_of_the_sequences(model, padded):
    filled = np.float32(MEAN) + np.float32([[-1], [2]])
    whole = np.where(np.isnan(padded[:, :2]), filled, padded[:, :2])
    scale, target = model.standardize(whole), model.standardize(model(whole))
    own = np.std(scale, axis=1)
    expected = (np.mean(np.square(scale - target), axis=1) / own**2).mean(axis=-1)
    np.testing.assert_allclose(model.sequence_losses(whole), expected, rtol=1e-3)


def test_the_saved_model_masks_too(model, padded, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.embed(padded, LENGTHS), model.embed(padded, LENGTHS))


@pytest.mark.parametrize("alignment", ["masked_repeat", "padded"])
def test_alignments_that_count_more_cannot_mask(alignment):
    with pytest.raises(ValueError, match=f"the alignment '{alignment}' cannot mask missing values"):
        Architecture(masks_missing=True, alignment=alignment)
