"""Our layers against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import DynamicRepeat, ReplicaDropout, Standardize, mirrored_strategy


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
def test_dynamic_repeat_rejects_wrong_ranks(inputs_shape, like_shape, message):
    with pytest.raises(ValueError, match=message):
        DynamicRepeat()(np.zeros(inputs_shape), like=np.zeros(like_shape))


@pytest.mark.parametrize("deviation", [1e-9, 1.0, 1e20])
def test_standardize_takes_any_scale(deviation):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(4, 5, 2)) * deviation).astype(np.float32)
    mean, variance = values.mean((0, 1), np.float64), values.var((0, 1), np.float64)
    layer = Standardize(mean, variance)
    expected = (values - mean) / np.sqrt(variance)
    np.testing.assert_allclose(layer(values), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.invert(layer(values)), values, rtol=1e-4)


def test_standardize_keeps_the_digits_of_a_large_mean():
    values = np.float32([[1e6], [1e6 + 1], [1e6 + 2]])
    np.testing.assert_allclose(Standardize([1e6 + 1], [1.0])(values), [[-1], [0], [1]])


def test_standardize_only_centres_a_constant_feature():
    np.testing.assert_allclose(Standardize([3.0], [0.0])(np.float32([[3], [5]])), [[0], [2]])


def test_standardize_reloads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.Input((None, 2)), Standardize([1.0, 2.0], [1e-18, 4.0])])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    values = np.ones((1, 3, 2), np.float32)
    np.testing.assert_array_equal(loaded(values), model(values))


def noise_on_replicas(layer, strategy, rows=2):
    """Drops ones on each replica, in the graph that training runs in."""

    @tf.function(autograph=False)
    def drop():
        return strategy.run(lambda: layer(tf.ones((rows, 50)), training=True))

    return [noise.numpy() for noise in strategy.experimental_local_results(drop())]


@pytest.fixture(scope="module", params=[1, 2], ids=["one replica", "two replicas"])
def dropout_and_strategy(request):
    strategy = mirrored_strategy(request.param)
    with strategy.scope():
        return ReplicaDropout(0.25, seed=3), strategy


def test_replica_dropout_drops_its_share_and_scales_the_rest():
    values = ReplicaDropout(0.25, seed=0)(tf.ones((100, 100)), training=True).numpy()
    assert set(np.unique(values)) == {0, np.float32(1 / 0.75)}
    assert np.mean(values == 0) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("options", [{}, {"training": False}], ids=str)
def test_replica_dropout_leaves_inference_alone(options):
    np.testing.assert_array_equal(ReplicaDropout(0.9)(vectors(), **options), vectors())


def test_replica_dropout_differs_by_row_by_call_and_by_replica(dropout_and_strategy):
    layer, strategy = dropout_and_strategy
    drawn = [noise_on_replicas(layer, strategy) for _ in range(3)]
    rows = np.concatenate([replica for call in drawn for replica in call])
    assert len(rows) == 3 * 2 * strategy.num_replicas_in_sync
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_replica_dropout_set_back_draws_the_same_again(dropout_and_strategy):
    layer, strategy = dropout_and_strategy
    (state,) = layer.variables
    before = state.numpy()
    drawn = [noise_on_replicas(layer, strategy) for _ in range(2)]
    state.assign(before)
    again = [noise_on_replicas(layer, strategy) for _ in range(2)]
    np.testing.assert_array_equal(again, drawn)


def test_replica_dropout_takes_the_seed_of_the_program():
    def draw(seed):
        keras.utils.set_random_seed(seed)
        return ReplicaDropout(0.5)(tf.ones((5, 5)), training=True).numpy()

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


def test_replica_dropout_gives_no_gradient_to_what_it_drops():
    inputs = tf.ones((10, 10))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = ReplicaDropout(0.5, seed=0)(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs), outputs)


def test_replica_dropout_reloads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.Input((3,)), ReplicaDropout(0.5, seed=4)])
    model.save(tmp_path / "model.keras")
    (layer,) = keras.saving.load_model(tmp_path / "model.keras").layers
    assert type(layer) is ReplicaDropout
    assert (layer.rate, layer.seed) == (0.5, 4)
