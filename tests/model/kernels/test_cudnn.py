"""Recurrent layers as cuDNN runs them, computed by its formulas, against those of a CPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cudnn_formulas import cudnn_by_formulas

from padless.model import Recurrent
from padless.model.kernels.packed_recurrent import run_packed
from padless.pipeline.batching.packing import Packing

LENGTHS = [6, 6, 4, 3, 3, 1]
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru"])


def make(cell, units=4, num_features=3, **options):
    keras.utils.set_random_seed(0)
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell](units, **options)
    layer.build((None, None, num_features))
    layer.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in layer.get_weights()])
    return layer


def run(layer, lengths=LENGTHS, **options):
    """Runs a layer and returns its outputs, the gradients of all that it takes."""
    rng = np.random.default_rng(0)
    values = tf.constant(rng.normal(size=(sum(lengths), 3)), tf.float32)
    num_states = len(tf.nest.flatten(layer.cell.state_size))
    drawn = rng.normal(size=(num_states, len(lengths), 4))
    states = tf.unstack(tf.constant(drawn, tf.float32))
    inputs = [values, *states, *(variable.value for variable in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        tape.watch(inputs[: 1 + num_states])
        outputs = run_packed(layer, values, Packing.of(tf.constant(lengths)), states, **options)
        loss = tf.reduce_sum(tf.square(outputs) * tf.range(1.0, 1 + outputs.shape[1]))
    return [outputs, *tape.gradient(loss, inputs)]


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no bias"])
@CELLS
def test_cudnn_is_given_what_a_cpu_computes(cell, use_bias):
    layer = make(cell, use_bias=use_bias)
    expected = run(layer)
    with cudnn_by_formulas():
        received = run(layer)
    for ours, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-5)


@CELLS
def test_the_states_are_those_at_the_end_of_each_row(cell):
    layer, packing = make(cell), Packing.of(tf.constant(LENGTHS))
    expected = run(layer, with_states=True)[0]
    with cudnn_by_formulas():
        received = run(layer, with_states=True)[0]
    assert received.shape == expected.shape
    for ours, other in ((received[:, :4], expected[:, :4]), (received, expected)):
        ends = [tf.gather(states, packing.last) for states in (ours, other)]
        np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-5)


@CELLS
def test_no_rows_give_no_output_and_no_gradient(cell):
    with cudnn_by_formulas():
        outputs, *gradients = run(make(cell), [])
    assert outputs.shape == (0, 4)
    assert not any(np.asarray(gradient).any() for gradient in gradients)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@CELLS
def test_halves_stay_halves(cell, precision):
    keras.utils.set_random_seed(0)
    layer = Recurrent(cell, 4, return_sequences=True, dtype=precision)
    layer.build((None, None, 3))
    values, packing = tf.ones((sum(LENGTHS), 3)), Packing.of(tf.constant(LENGTHS))
    expected = layer(values, length=packing)
    with cudnn_by_formulas():
        outputs = layer(values, length=packing)
    assert outputs.dtype == layer.compute_dtype
    np.testing.assert_allclose(*(tf.cast(o, tf.float32) for o in (outputs, expected)), atol=2e-2)
