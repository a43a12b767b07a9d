"""Recurrent layers on packed sequences, against padded rows whose length they know."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import FusedLSTM, Recurrent
from padless.model.kernels.packed_recurrent import run_cell, run_packed
from padless.model.kernels.timestep_loop import can_loop, run_loop
from padless.pipeline.batching.packing import Packing

LENGTHS = [6, 6, 4, 3, 3, 3, 1]
KINDS = [
    pytest.param({"cell": cell, "bidirectional": both} | option, id=name)
    for cell in ("lstm", "gru")
    for both in (False, True)
    for option in ({"return_sequences": True}, {"pooling": "last"}, {"pooling": "last_and_mean"})
    for name in ["-".join([cell, "both" if both else "forward", *map(str, option.values())])]
]


def make(units=4, num_features=3, **kind):
    keras.utils.set_random_seed(0)
    layer = Recurrent(units=units, **kind)
    layer.build((None, None, num_features))
    return layer


def draw(lengths=LENGTHS, num_features=3):
    """Draws padded rows, and says where their values are in the packed order."""
    padded = np.random.default_rng(0).normal(size=(len(lengths), max(lengths), num_features))
    packing = Packing.of(tf.constant(lengths))
    return padded.astype(np.float32), packing, tf.stack((packing.row, packing.time), 1)


def run_both(layer, lengths=LENGTHS, **options):
    """Runs a layer on packed and on padded rows: (outputs, gradients) of each, packed."""
    padded, packing, index = draw(lengths)
    values = tf.gather_nd(padded, index)
    weights = [variable.value for variable in layer.trainable_variables]
    results = []
    for sequences, length in ((values, packing), (padded, np.array(lengths))):
        sequences = tf.constant(sequences)
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            outputs = layer(sequences, length=length, training=True, **options)
            if layer.return_sequences and length is not packing:
                outputs = tf.gather_nd(outputs, index)
            scale = 1 + tf.range(tf.size(outputs), dtype=tf.float32) / 50
            scaled = tf.reshape(tf.cast(outputs, tf.float32), [-1]) * scale
            loss = tf.reduce_sum(tf.square(scaled))
        of_sequences, *of_weights = tape.gradient(loss, [sequences, *weights])
        if length is not packing:
            of_sequences = tf.gather_nd(of_sequences, index)
        results.append([outputs, of_sequences, *of_weights])
    return results


def assert_all_close(received, expected, tolerance=1e-5):
    for result, value in zip(received, expected, strict=True):
        result, value = np.asarray(result, np.float64), np.asarray(value, np.float64)
        assert np.linalg.norm(result - value) <= tolerance * np.linalg.norm(value)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_give_what_padded_rows_of_known_length_give(kind):
    assert_all_close(*run_both(make(**kind)))


@pytest.mark.parametrize("lengths", [[1], [5], [2, 2, 2], [9, 1]], ids=str)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_any_lengths_can_be_packed(cell, lengths):
    assert_all_close(*run_both(make(cell=cell, bidirectional=True), lengths))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_more_units_than_are_fused_give_the_same(cell):
    layer = make(units=FusedLSTM.MAX_FUSED_UNITS + 1, cell=cell, return_sequences=True)
    assert_all_close(*run_both(layer))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_packed_rows_begin_with_the_state_they_are_given(cell):
    states = np.random.default_rng(1).normal(size=(2, len(LENGTHS), 4)).astype(np.float32)
    states = [tf.constant(state) for state in states[: 1 + (cell == "lstm")]]
    layer = make(cell=cell, return_sequences=True)
    received, expected = run_both(layer, initial_state=states)
    assert_all_close(received, expected)
    from_zero, _ = run_both(layer)
    assert np.abs(received[0] - from_zero[0]).max() > 1e-2


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_halves_give_what_padded_rows_give(cell, precision):
    layer = make(cell=cell, bidirectional=True, pooling="mean", dtype=precision)
    received, expected = run_both(layer)
    assert {result.dtype for result in received[1:]} == {tf.float32}
    assert_all_close(received, expected, 2e-2)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_loop_over_the_cell_gives_the_same(cell):
    layer = make(cell=cell, return_sequences=True)
    padded, packing, index = draw()
    values, states = tf.gather_nd(padded, index), [tf.ones((len(LENGTHS), 4))] * 2
    states = states[: 1 + (cell == "lstm")]
    direction = layer.forward_layer
    expected = run_packed(direction, values, packing, states)
    outputs = run_cell(direction, values, packing, states, training=False)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_every_way_returns_the_states_at_the_end_of_each_row(cell):
    layer = make(cell=cell, return_sequences=True).forward_layer
    padded, packing, index = draw()
    values, states = tf.gather_nd(padded, index), [tf.ones((len(LENGTHS), 4))] * 2
    states = states[: 1 + (cell == "lstm")]
    mask = tf.sequence_mask(LENGTHS, max(LENGTHS))
    outputs, *ends = layer(padded, mask=mask, initial_state=states)
    for run in (run_packed, run_cell):
        results = run(layer, values, packing, states, training=False, with_states=True)
        first, *others = tf.split(results, len(states), axis=-1)
        np.testing.assert_allclose(first, tf.gather_nd(outputs, index), rtol=1e-5, atol=1e-6)
        for state, end in zip((first, *others), ends, strict=True):
            received = tf.gather(state, packing.last)
            np.testing.assert_allclose(received, end, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("units", [4, 5])
def test_slices_of_bands_change_nothing_but_rounding(units):
    layer = make(units=units, cell="lstm").forward_layer
    padded, packing, index = draw()
    values, states = tf.gather_nd(padded, index), [tf.ones((len(LENGTHS), units))] * 2

    def run(slices, own=True):
        inputs = [values, *states, *(variable.value for variable in layer.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = run_packed(
                layer, values, packing, states, slices=slices, own_gradient=own, with_states=True
            )
            loss = tf.reduce_sum(outputs * tf.sin(tf.range(2.0 * units)))
        return [outputs, *tape.gradient(loss, inputs)]

    expected = run(1, own=False)  # the gradient of TensorFlow
    assert_all_close(run(8, own=False), expected)
    for slices in (1, 2, 3, 8):
        received = run(slices)
        assert_all_close(received, expected)
        for once, again in zip(received, run(slices), strict=True):
            np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("lengths", [LENGTHS, [1], [9, 1], []], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU])
def test_formulas_and_their_gradient_are_those_of_the_cell(kind, bias, lengths):
    keras.utils.set_random_seed(0)
    layer = kind(5, use_bias=bias, bias_initializer="uniform")
    layer.build((None, None, 3))
    rng, packing = np.random.default_rng(0), Packing.of(tf.constant(lengths, tf.int32))
    num_states = 1 + (kind is keras.layers.LSTM)
    values, *states = (
        tf.constant(rng.normal(size=shape), tf.float32)
        for shape in [(sum(lengths), 3), *[(len(lengths), 5)] * num_states]
    )

    @tf.function(autograph=False)
    def run(own_gradient, way):
        inputs = [values, *states, *(variable.value for variable in layer.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = way(own_gradient)
            loss = tf.reduce_sum(outputs * tf.sin(tf.range(5.0 * num_states)))
        return [outputs, *tape.gradient(loss, inputs)]

    def loop(own_gradient):
        options = {"own_gradient": own_gradient, "with_states": True}
        return run_loop(layer, values, packing, states, **options)

    expected = run(
        False, lambda _: run_cell(layer, values, packing, states, training=False, with_states=True)
    )
    for own_gradient in (False, True):
        assert_all_close(run(own_gradient, loop), expected)


@pytest.mark.parametrize(
    ("layer", "training", "expected"),
    [
        (keras.layers.GRU(4), True, True),
        (keras.layers.LSTM(4, dropout=0.5), False, True),
        (keras.layers.LSTM(4, dropout=0.5), True, False),
        (keras.layers.GRU(4, reset_after=False), True, False),
        (keras.layers.LSTM(4, activation="relu"), True, False),
        (keras.layers.GRU(4, recurrent_activation="hard_sigmoid"), True, False),
        (keras.layers.SimpleRNN(4), True, False),
    ],
)
def test_what_the_formulas_do_not_say_is_left_to_the_cell(layer, training, expected):
    assert can_loop(layer, training) == expected


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_loop_keeps_no_operations_for_its_gradient(cell):
    """TensorFlow's own gradient would keep what each operation took, in lists."""
    layer = make(units=FusedLSTM.MAX_FUSED_UNITS + 1, cell=cell, bidirectional=True)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int64)],
    )
    def run(values, length):
        with tf.GradientTape() as tape:
            outputs = layer(values, length=Packing.of(length), training=True)
        return tape.gradient(outputs, [v.value for v in layer.trainable_variables])

    graph = run.get_concrete_function().graph.as_graph_def()
    inner = [node.op for function in graph.library.function for node in function.node_def]
    assert "TensorListPushBack" not in inner


@pytest.mark.parametrize(("units", "in_bands"), [(4, True), (FusedLSTM.MAX_FUSED_UNITS + 1, False)])
def test_one_trace_serves_all_lengths_and_runs_bands_up_to_a_size(units, in_bands):
    layer = make(units=units, cell="lstm", bidirectional=True)

    @tf.function(
        autograph=False,
        input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None,), tf.int64)],
    )
    def run(values, length):
        return layer(values, length=Packing.of(length))

    for lengths in (LENGTHS, [2], [8, 7]):
        padded, _, index = draw(lengths)
        outputs = run(tf.gather_nd(padded, index), np.array(lengths))
        expected = layer(padded, length=np.array(lengths))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    assert run.experimental_get_tracing_count() == 1
    graph = run.get_concrete_function().graph.as_graph_def()
    inner = [node.op for function in graph.library.function for node in function.node_def]
    assert ("BlockLSTM" in inner) == in_bands


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("return_sequences", [False, True])
def test_no_row_gives_no_output_and_gradients_of_zero(cell, return_sequences):
    layer = make(cell=cell, return_sequences=return_sequences)

    @tf.function(autograph=False)
    def run(values, length):
        with tf.GradientTape() as tape:
            outputs = layer(values, length=Packing.of(length))
            loss = tf.reduce_sum(outputs)
        return outputs, tape.gradient(loss, [v.value for v in layer.trainable_variables])

    outputs, gradients = run(tf.zeros((0, 3)), tf.zeros([0], tf.int64))
    assert outputs.shape == (0, 4)
    assert not any(np.asarray(gradient).any() for gradient in gradients)


def test_dropout_drops_packed_values_in_training_alone():
    layer, whole = make(cell="lstm", dropout=0.5), make(cell="lstm")
    layer.set_weights(whole.get_weights())
    padded, packing, index = draw()
    values = tf.gather_nd(padded, index)
    np.testing.assert_array_equal(layer(values, length=packing), whole(values, length=packing))
    dropped = layer(values, length=packing, training=True)
    assert np.abs(dropped - whole(values, length=packing)).max() > 1e-3


def test_a_masked_layer_rejects_packed_rows():
    padded, packing, index = draw()
    layer = make(cell="lstm", masked=True)
    with pytest.raises(ValueError, match="no padding that `masked` could mask"):
        layer(tf.gather_nd(padded, index), length=packing)
