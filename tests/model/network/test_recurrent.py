"""Recurrent layers against Keras' own, and padded batches against each sequence alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import FusedLSTM, Recurrent

KINDS = [
    pytest.param({"cell": cell, "bidirectional": both, "return_sequences": every}, id=name)
    for cell in ("lstm", "gru")
    for both in (False, True)
    for every in (False, True)
    for name in [f"{cell}-{'both' if both else 'forward'}-{'every' if every else 'last'}"]
]
POOLED = [
    pytest.param({"cell": cell, "bidirectional": both, "return_sequences": False} | option, id=name)
    for cell, both, option in (
        ("lstm", False, {"pooling": "mean"}),
        ("gru", True, {"pooling": "last_and_mean"}),
        ("lstm", True, {"pooling": "last_and_mean", "masked": True}),
        ("gru", False, {"masked": True}),
    )
    for name in ["-".join([cell, "both" if both else "forward", *map(str, option.values())])]
]
all_kinds = pytest.mark.parametrize("kind", KINDS)
all_and_pooled = pytest.mark.parametrize("kind", KINDS + POOLED)
HALVES = ["mixed_float16", "mixed_bfloat16"]


def close_by_norm(received, expected, tolerance):
    assert np.linalg.norm(received - expected) <= tolerance * np.linalg.norm(expected)


def operations_of(function, *specs):
    graph = tf.function(function, autograph=False).get_concrete_function(*specs).graph
    return {operation.type for operation in graph.get_operations()}


@pytest.fixture(scope="module")
def fused_and_keras():
    """Builds a `FusedLSTM` and Keras' own LSTM with the same weights."""

    def build(units=5, num_features=3, **options):
        keras.utils.set_random_seed(0)
        layers = [cls(units, **options) for cls in (FusedLSTM, keras.layers.LSTM)]
        for layer in layers:
            layer.build((None, None, num_features))
        layers[1].set_weights(layers[0].get_weights())
        return layers

    return build


def output_and_gradients(layer, sequences, **options):
    with tf.GradientTape() as tape:
        outputs = layer(sequences, **options)
        loss = sum(tf.reduce_sum(tf.square(output)) for output in tf.nest.flatten(outputs))
    variables = [variable.value for variable in layer.trainable_variables]
    return [*tf.nest.flatten(outputs), *tape.gradient(loss, variables)]


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("timesteps", [1, 6])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_sequences": True},
        {"return_sequences": True, "return_state": True},
        {"go_backwards": True},
        {"return_sequences": True, "go_backwards": True},
        {"units": FusedLSTM.MAX_FUSED_UNITS + 1},
        {"activation": "relu"},
        {"use_bias": False},
    ],
    ids=str,
)
def test_fused_lstm_is_keras_lstm(fused_and_keras, options, batch, timesteps):
    fused, reference = fused_and_keras(**options)
    sequences = np.random.default_rng(0).normal(size=(batch, timesteps, 3)).astype(np.float32)
    results = output_and_gradients(fused, sequences)
    expected = output_and_gradients(reference, sequences)
    for result, value in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("units", [4, 5])
@pytest.mark.parametrize("num_features", [2, 3])
def test_fused_lstm_gives_the_operation_even_sizes(fused_and_keras, units, num_features):
    fused, reference = fused_and_keras(units, num_features, return_sequences=True)
    sequences = np.random.default_rng(0).normal(size=(3, 6, num_features)).astype(np.float32)
    results = output_and_gradients(fused, sequences)
    for result, value in zip(results, output_and_gradients(reference, sequences), strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-4, atol=1e-5)
    spec = tf.TensorSpec((None, None, num_features))
    graph = tf.function(fused, autograph=False).get_concrete_function(spec).graph
    (operation,) = (op for op in graph.get_operations() if op.type == "BlockLSTM")
    _, by_time, cell, *_ = operation.inputs  # or TensorFlow warns at each call with odd rows
    assert (by_time.shape[2] % 2, cell.shape[1] % 2) == (0, 0)


def test_fused_lstm_takes_a_mask(fused_and_keras):
    fused, reference = fused_and_keras()
    sequences = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    mask = np.array([[True] * 5, [True] * 3 + [False] * 2])
    np.testing.assert_allclose(
        fused(sequences, mask=mask), reference(sequences, mask=mask), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("units", "is_fused"),
    [(FusedLSTM.MAX_FUSED_UNITS, True), (FusedLSTM.MAX_FUSED_UNITS + 1, False)],
)
def test_fused_lstm_is_one_operation_up_to_a_size(fused_and_keras, units, is_fused):
    fused, _ = fused_and_keras(units)
    operations = operations_of(fused, tf.TensorSpec((None, None, 3)))
    assert ("BlockLSTM" in operations) == is_fused


def test_fused_lstm_reloads_without_custom_objects(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), FusedLSTM(4)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    sequences = np.ones((2, 5, 3), np.float32)
    assert type(loaded.layers[0]) is FusedLSTM
    np.testing.assert_array_equal(loaded(sequences), model(sequences))


@pytest.mark.parametrize("precision", HALVES)
def test_fused_lstm_takes_halves(fused_and_keras, precision):
    fused, _ = fused_and_keras()
    half, _ = fused_and_keras(dtype=precision)
    sequences = np.random.default_rng(0).normal(size=(4, 20, 3)).astype(np.float32)
    expected = output_and_gradients(fused, sequences)
    results = output_and_gradients(half, sequences)
    assert results[0].dtype == half.compute_dtype
    assert {result.dtype for result in results[1:]} == {tf.float32}
    for result, value in zip(results, expected, strict=True):
        close_by_norm(tf.cast(result, tf.float32), value, 2e-2)


@pytest.mark.parametrize("precision", HALVES)
def test_fused_lstm_is_one_operation_in_halves(fused_and_keras, precision):
    fused, _ = fused_and_keras(dtype=precision)
    operations = operations_of(fused, tf.TensorSpec((None, None, 3)))
    assert "BlockLSTM" in operations
    assert "While" not in operations


@pytest.fixture(scope="module")
def make_recurrent():
    """Builds a small layer with the same weights for the same arguments."""

    def make(features=3, **kind):
        keras.utils.set_random_seed(0)
        layer = Recurrent(units=4, **kind)
        layer.build((None, None, features))
        return layer

    return make


def keras_layer(layer, kind):
    """Builds Keras' own layer of this kind, with the same weights."""
    cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind["cell"]]
    reference = cell(4, return_sequences=kind["return_sequences"])
    if kind["bidirectional"]:
        reference = keras.layers.Bidirectional(reference)
    reference.build((None, None, 3))
    reference.set_weights(layer.get_weights())
    return reference


def results_of(layer, sequences, **options):
    """Runs a layer: (outputs, gradient of the sequences, gradients of the weights)."""
    sequences, variables = tf.constant(sequences), [v.value for v in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(sequences)
        outputs = layer(sequences, **options)
        if layer.return_sequences and options.get("length") is not None:
            valid = tf.sequence_mask(options["length"], outputs.shape[1])
            outputs = tf.where(valid[:, :, None], outputs, 0.0)
        loss = tf.reduce_sum(tf.square(outputs))
    of_sequences, *of_weights = tape.gradient(loss, [sequences, *variables])
    return outputs.numpy(), of_sequences.numpy(), [np.array(g) for g in of_weights]


@all_kinds
def test_recurrent_is_keras_on_equal_lengths(make_recurrent, kind):
    layer = make_recurrent(**kind)
    sequences = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
    results = results_of(layer, sequences)
    expected = results_of(keras_layer(layer, kind), sequences)
    for result, value in zip(tf.nest.flatten(results), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-4, atol=1e-5)


@all_and_pooled
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_recurrent_gives_a_padded_row_what_it_gives_the_sequence_alone(make_recurrent, kind, dtype):
    layer, length = make_recurrent(**kind), np.array([2, 6, 1, 5], dtype)
    sequences = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    outputs, of_sequences, of_weights = results_of(layer, sequences, length=length)
    alone = [results_of(layer, row[None, :n]) for row, n in zip(sequences, length, strict=True)]
    for i, (output, of_sequence, _) in enumerate(alone):
        received = outputs[i, : length[i]] if kind["return_sequences"] else outputs[i]
        np.testing.assert_allclose(received, output[0], rtol=1e-5, atol=1e-6)
        close_by_norm(of_sequences[i, : length[i]], of_sequence[0], 1e-5)
        assert not of_sequences[i, length[i] :].any()
    for received, *terms in zip(of_weights, *(weights for *_, weights in alone), strict=True):
        close_by_norm(received, sum(terms), 1e-5)


@all_and_pooled
def test_recurrent_computes_its_output_shape(make_recurrent, kind):
    layer = make_recurrent(**kind)
    expected = layer(np.zeros((2, 5, 3), np.float32)).shape
    assert layer.compute_output_shape((2, 5, 3)) == tuple(expected)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_recurrent_stays_one_operation_with_lengths(make_recurrent, return_sequences):
    layer = make_recurrent(cell="lstm", bidirectional=True, return_sequences=return_sequences)
    operations = operations_of(
        lambda sequences, length: layer(sequences, length=length),
        tf.TensorSpec((None, None, 3)),
        tf.TensorSpec((None,), tf.int64),
    )
    assert {"BlockLSTM", "ReverseSequence"} <= operations
    assert "While" not in operations


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_drops_inputs_in_training_alone(make_recurrent, cell):
    layer, whole = make_recurrent(cell=cell, dropout=0.5), make_recurrent(cell=cell)
    layer.set_weights(whole.get_weights())
    sequences = np.ones((2, 6, 3), np.float32)
    np.testing.assert_array_equal(layer(sequences), whole(sequences))
    first, second = layer(sequences, training=True), layer(sequences, training=True)
    assert np.abs(first - whole(sequences)).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(whole(sequences, training=True), whole(sequences))


@all_and_pooled
def test_recurrent_reloads_without_custom_objects(tmp_path, kind):
    sequence = keras.Input((None, 3))
    layer = Recurrent(units=4, dropout=0.25, **kind)
    model = keras.Model(sequence, layer(sequence))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    sequences = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(sequences), model(sequences))
    assert loaded.layers[-1].get_config() == layer.get_config()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_pools_the_valid_outputs_of_each_direction(make_recurrent, cell):
    kind = {"cell": cell, "bidirectional": True}
    sequences = np.random.default_rng(0).normal(size=(3, 6, 3)).astype(np.float32)
    length = np.array([6, 1, 4])
    every = make_recurrent(**kind, return_sequences=True)(sequences, length=length).numpy()
    last = make_recurrent(**kind)(sequences, length=length).numpy()
    mean = np.stack([row[:n].mean(axis=0) for row, n in zip(every, length, strict=True)])
    pooled = make_recurrent(**kind, pooling="mean")(sequences, length=length)
    np.testing.assert_allclose(pooled, mean, rtol=1e-5, atol=1e-6)
    both = make_recurrent(**kind, pooling="last_and_mean")(sequences, length=length)
    np.testing.assert_allclose(both, np.concatenate([last, mean], axis=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_masked_recurrent_repeats_its_last_output_to_the_end(make_recurrent, cell):
    layer = make_recurrent(cell=cell, return_sequences=True, masked=True)
    sequences = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    outputs = layer(sequences, length=np.array([2, 6])).numpy()
    np.testing.assert_array_equal(outputs[0, 2:], np.repeat(outputs[:1, 1], 4, axis=0))
    assert np.abs(np.diff(outputs[1], axis=0)).min() > 0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_begins_with_the_state_it_is_given(make_recurrent, cell):
    layer = make_recurrent(cell=cell)
    sequences = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    _, *state = layer.forward_layer(sequences[:, :2])
    rest = layer(sequences[:, 2:], initial_state=state)
    np.testing.assert_allclose(rest, layer(sequences), rtol=1e-5, atol=1e-6)


def test_recurrent_rejects_an_unknown_pooling():
    with pytest.raises(ValueError, match=r"`pooling` must be one of 'last', .*got 'max'"):
        Recurrent("gru", 4, pooling="max")


def test_recurrent_rejects_an_unknown_cell():
    with pytest.raises(ValueError, match=r"`cell` must be one of 'gru' and 'lstm', got 'rnn'"):
        Recurrent("rnn", 4)
