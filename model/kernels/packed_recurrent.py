"""Recurrent layers over packed sequences: no timestep is computed after the end of a row.

Rows are sorted by falling length, so that those that go on are always the first ones: their states
are the first rows of the states before.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from padless.model.kernels.band_lstm import joined, run_bands
from padless.model.kernels.cudnn import run_cudnn
from padless.model.kernels.fused_lstm import FusedLSTM
from padless.model.kernels.timestep_loop import can_loop, run_loop
from padless.pipeline.batching.packing import Bands, Packing


def run_packed(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    initial_state: Sequence[tf.Tensor] | None = None,
    *,
    training: bool = False,
    slices: int = 1,
    own_gradient: bool = False,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs a layer with one direction over packed sequences.

    On a GPU cuDNN runs it. On a CPU an LSTM that can be fused runs band by band, one operation
    each, and others run timestep by timestep by the formulas of `run_loop`. With unusual options
    Keras' cell runs timestep by timestep on both.

    Args:
        layer: a `FusedLSTM`, `keras.layers.LSTM` or `keras.layers.GRU`, built; its options but the
            cell's are not read.
        values: `(timesteps of all rows, features)`.
        packing: where they are.
        initial_state: what the states begin with, `(rows, units)` each; zeros if None.
        training: whether to drop what the cell is to drop.
        slices: number of parts of each band that run side by side.
        own_gradient: whether to take the gradient of `run_bands` or `run_loop`, the fastest one.
        with_states: whether to return all states, side by side; the first is the output. They are
            those of the row at its last timestep, and not defined before.

    Returns:
        The outputs, `(timesteps of all rows, units)`; with states `(..., units * states)`.
    """
    values = tf.cast(values, layer.compute_dtype)
    states = _states(layer, packing, initial_state)
    options = {"own_gradient": own_gradient, "with_states": with_states}
    single = tf.cast(values, tf.float32), [tf.cast(state, tf.float32) for state in states]
    if isinstance(layer, FusedLSTM) and layer.can_fuse(values.dtype, training):
        bands, weights = Bands.of(packing.length), layer.block_weights()
        outputs = run_bands(single[0], bands, single[1], weights, slices=slices, **options)
        return tf.cast(outputs, layer.compute_dtype)
    if can_loop(layer, training):
        if layer.use_cudnn is not False and tf.config.get_visible_devices("GPU"):
            return run_cudnn(layer, values, packing, states, with_states=with_states)
        outputs = run_loop(layer, single[0], packing, single[1], **options)
        return tf.cast(outputs, layer.compute_dtype)
    return run_cell(layer, values, packing, states, training=training, with_states=with_states)


def run_cell(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    *,
    training: bool,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs Keras' cell of a layer timestep by timestep, each on the rows that have it."""
    width = layer.units * (len(states) if with_states else 1)
    count = tf.size(packing.live)
    outputs = tf.TensorArray(
        states[0].dtype, size=count, infer_shape=False, element_shape=(None, width)
    )

    def run(time: tf.Tensor, states: tuple[tf.Tensor, ...], outputs: tf.TensorArray) -> tuple:
        rows, start = packing.live[time], packing.start[time]
        now = tf.ensure_shape(values[start : start + rows], (None, values.shape[1]))
        states = tuple(state[:rows] for state in states)
        output, after = layer.cell(now, states, training=training)
        written = tf.concat(after, -1) if with_states else output
        return time + 1, tuple(after), outputs.write(time, written)

    shapes = tuple(tf.TensorShape([None, state.shape[1]]) for state in states)
    *_, outputs = tf.while_loop(
        lambda time, *_: time < count,
        run,
        (0, tuple(states), outputs),
        shape_invariants=(tf.TensorShape([]), shapes, tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return joined(outputs, width, count)


def _states(
    layer: keras.layers.RNN, packing: Packing, initial_state: Sequence[tf.Tensor] | None
) -> list[tf.Tensor]:
    if initial_state is not None:
        return [tf.cast(state, layer.compute_dtype) for state in initial_state]
    sizes = tf.nest.flatten(layer.cell.state_size)
    return [tf.zeros((packing.num_rows, size), layer.compute_dtype) for size in sizes]
