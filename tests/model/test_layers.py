"""The dynamic repeat against Keras' own, whose number of repeats is fixed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import DynamicRepeat, mirrored_strategy


def vectors(batch=3, units=4):
    return np.random.default_rng(0).normal(size=(batch, units)).astype(np.float32)


def like(timesteps, batch=3, features=2):
    return np.zeros((batch, timesteps, features), np.float32)


@pytest.fixture(scope="module")
def model():
    """Repeats the sum of a sequence as often as it has timesteps."""
    sequence = keras.Input((None, 2))
    total = keras.ops.sum(sequence, axis=1)
    return keras.Model(sequence, DynamicRepeat()(total, like=sequence))


@pytest.mark.parametrize("timesteps", [1, 2, 17])
def test_dynamic_repeat_is_repeat_vector_of_any_length(timesteps):
    repeated = DynamicRepeat()(vectors(), like=like(timesteps))
    np.testing.assert_array_equal(repeated, keras.layers.RepeatVector(timesteps)(vectors()))


def test_dynamic_repeat_needs_one_trace_for_all_lengths():
    layer = DynamicRepeat()

    @tf.function(input_signature=[tf.TensorSpec((None, 4)), tf.TensorSpec((None, None, 2))])
    def repeat(inputs, sequence):
        return layer(inputs, like=sequence)

    for timesteps in (1, 2, 17):
        expected = np.repeat(vectors()[:, None], timesteps, axis=1)
        np.testing.assert_array_equal(repeat(vectors(), like(timesteps)), expected)
    assert repeat.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("timesteps", [1, 5])
def test_dynamic_repeat_in_a_functional_model_takes_any_length(model, timesteps):
    assert model.output_shape == (None, None, 2)
    sequence = np.random.default_rng(1).normal(size=(3, timesteps, 2)).astype(np.float32)
    expected = np.repeat(sequence.sum(axis=1, keepdims=True), timesteps, axis=1)
    np.testing.assert_allclose(model(sequence), expected, rtol=1e-6)


def test_dynamic_repeat_reloads_without_custom_objects(model, tmp_path):
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(reloaded.layers[-1]) is DynamicRepeat
    for timesteps in (1, 5):
        sequence = like(timesteps) + 3
        np.testing.assert_array_equal(reloaded(sequence), model(sequence))


def test_dynamic_repeat_gives_each_vector_the_sum_of_its_gradients():
    inputs = tf.constant(vectors())
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(DynamicRepeat()(inputs, like=like(7)))
    np.testing.assert_array_equal(tape.gradient(total, inputs), np.full((3, 4), 7.0))


def test_dynamic_repeat_runs_on_two_replicas():
    strategy = mirrored_strategy(2)
    with strategy.scope():
        layer = DynamicRepeat()
    rows = vectors(batch=4)

    @tf.function
    def repeat():
        values = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(rows[context.replica_id_in_sync_group :: 2])
        )
        return strategy.run(lambda own: layer(own, like=like(5, batch=2)), args=(values,))

    for replica, repeated in enumerate(strategy.experimental_local_results(repeat())):
        expected = np.repeat(rows[replica::2, None], 5, axis=1)
        np.testing.assert_array_equal(repeated, expected)


@pytest.mark.parametrize(
    ("inputs_shape", "like_shape", "expected"),
    [
        ((2, 8), (2, 5, 3), (2, 5, 8)),
        ((None, 8), (None, None, 3), (None, None, 8)),
        ((None, 8), (None, 5), (None, 5, 8)),
    ],
)
def test_dynamic_repeat_computes_its_output_shape(inputs_shape, like_shape, expected):
    assert DynamicRepeat().compute_output_shape(inputs_shape, like_shape) == expected


@pytest.mark.parametrize(
    ("inputs_shape", "like_shape", "message"),
    [
        ((2, 5, 8), (2, 5, 3), r"`inputs` must have the shape \(batch, units\), got \(2, 5, 8\)"),
        ((8,), (2, 5, 3), r"`inputs` must have the shape \(batch, units\), got \(8,\)"),
        ((2, 8), (2,), r"`like` must have the shape \(batch, timesteps, ...\), got \(2,\)"),
    ],
)
def test_dynamic_repeat_refuses_wrong_ranks(inputs_shape, like_shape, message):
    with pytest.raises(ValueError, match=message):
        DynamicRepeat()(np.zeros(inputs_shape), like=np.zeros(like_shape))
