"""Recurrent layers over packed sequences: no timestep is computed after the end of a row.

Rows are sorted by falling length, so that those that go on are always the first ones: their states
are the first rows of the states before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from padless.model.network.fused_lstm import FusedLSTM, run_block
from padless.pipeline.batching.packing import Bands, Packing


def run_packed(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    initial_state: Sequence[tf.Tensor] | None = None,
    training: bool = False,
    *,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs a layer with one direction over packed sequences.

    An LSTM that a CPU fuses runs band by band, one operation each. Others run timestep by timestep,
    or on a GPU in a buffer that cuDNN is told the lengths of.

    Args:
        layer: a `FusedLSTM`, `keras.layers.LSTM` or `keras.layers.GRU`, built; its options but the
            cell's are not read.
        values: `(timesteps of all rows, features)`.
        packing: where they are.
        initial_state: what the states begin with, `(rows, units)` each; zeros if None.
        training: whether to drop what the cell is to drop.
        with_states: whether to return all states, side by side; the first is the output. They are
            those of the row at its last timestep, and not defined before.

    Returns:
        The outputs, `(timesteps of all rows, units)`; with states `(..., units * states)`.
    """
    values = tf.cast(values, layer.compute_dtype)
    states = _states(layer, packing, initial_state)
    if isinstance(layer, FusedLSTM) and layer.can_fuse(values.dtype, training):
        return run_bands(layer, values, packing, states, with_states=with_states)
    if layer.use_cudnn is not False and tf.config.get_visible_devices("GPU"):
        return run_in_buffer(layer, values, packing, states, training, with_states=with_states)
    return run_timesteps(layer, values, packing, states, training, with_states=with_states)


def run_bands(
    layer: FusedLSTM,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    *,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs an LSTM band by band: its rows all have its timesteps, as in a batch of one length."""
    bands = Bands.of(packing.length)
    ends = tf.cumsum(bands.rows * bands.timesteps)
    weights, bias = layer.block_weights()
    width = layer.units * (2 if with_states else 1)

    def run(band: tf.Tensor, states: tuple[tf.Tensor, ...]) -> tuple[tuple, tf.Tensor]:
        rows, timesteps = bands.rows[band], bands.timesteps[band]
        of_band = values[ends[band] - rows * timesteps : ends[band]]
        by_time = tf.reshape(of_band, (timesteps, rows, values.shape[1]))
        by_time = tf.cast(by_time, tf.float32)
        hidden, cell = (state[:rows] for state in states)
        hiddens, cells = run_block(by_time, (hidden, cell), weights, bias)
        written = tf.concat((hiddens, cells), -1) if with_states else hiddens
        return (hiddens[-1], cells[-1]), tf.reshape(written, (-1, width))

    states = [tf.cast(state, tf.float32) for state in states]
    return _run_in_turn(run, tf.size(bands.rows), states, width)


def run_timesteps(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    training: bool,
    *,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs the cell of a layer timestep by timestep, each on the rows that have it."""
    width = layer.units * (len(states) if with_states else 1)

    def run(time: tf.Tensor, states: tuple[tf.Tensor, ...]) -> tuple[tuple, tf.Tensor]:
        rows, start = packing.live[time], packing.start[time]
        now = tf.ensure_shape(values[start : start + rows], (None, values.shape[1]))
        states = tuple(state[:rows] for state in states)
        output, after = layer.cell(now, states, training=training)
        return tuple(after), tf.concat(after, -1) if with_states else output

    return _run_in_turn(run, tf.size(packing.live), states, width)


def run_in_buffer(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    training: bool,
    *,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs a layer on a rectangle and a mask, from which cuDNN takes the lengths.

    cuDNN computes what is before the ends alone, but has no layout without gaps.
    """
    index = tf.stack((packing.row, packing.time), axis=1)
    longest = tf.size(packing.live)
    width = layer.units * (len(states) if with_states else 1)

    def run() -> tf.Tensor:
        shape = tf.stack((packing.num_rows, longest, values.shape[1]))
        buffer = tf.ensure_shape(tf.scatter_nd(index, values, shape), (None, None, values.shape[1]))
        mask = tf.sequence_mask(packing.length, longest)
        outputs, *ends = layer(buffer, mask=mask, initial_state=list(states), training=training)
        others = ends[1:] if with_states else []
        by_row = [tf.gather(state, packing.row) for state in others]
        return tf.concat((tf.gather_nd(outputs, index), *by_row), -1)

    # No kernel takes a batch without rows.
    nothing = tf.zeros((0, width), values.dtype)
    outputs = tf.cond(packing.num_rows > 0, run, lambda: nothing)
    return tf.ensure_shape(outputs, (None, width))


def _states(
    layer: keras.layers.RNN, packing: Packing, initial_state: Sequence[tf.Tensor] | None
) -> list[tf.Tensor]:
    if initial_state is not None:
        return [tf.cast(state, layer.compute_dtype) for state in initial_state]
    sizes = tf.nest.flatten(layer.cell.state_size)
    return [tf.zeros((packing.num_rows, size), layer.compute_dtype) for size in sizes]


def _run_in_turn(
    run: Callable[[tf.Tensor, tuple[tf.Tensor, ...]], tuple[tuple, tf.Tensor]],
    count: tf.Tensor,
    states: Sequence[tf.Tensor],
    width: int,
) -> tf.Tensor:
    """Runs parts one after another, each from the states that the one before ends with.

    Args:
        run: takes the number of a part and the states before it, `(rows, units)` each, and returns
            the states after it, of as many rows or fewer, and its outputs `(values, width)`.
        count: number of parts.
        states: those before the first part.
        width: of the outputs.

    Returns:
        The outputs of all parts, `(values, width)`.
    """
    outputs = tf.TensorArray(
        states[0].dtype, size=count, infer_shape=False, element_shape=(None, width)
    )

    def run_next(part: tf.Tensor, states: tuple, outputs: tf.TensorArray) -> tuple:
        states, written = run(part, states)
        return part + 1, states, outputs.write(part, written)

    shapes = tuple(tf.TensorShape([None, state.shape[1]]) for state in states)
    *_, outputs = tf.while_loop(
        lambda part, *_: part < count,
        run_next,
        (0, tuple(states), outputs),
        shape_invariants=(tf.TensorShape([]), shapes, tf.TensorShape(None)),
        parallel_iterations=1,
    )
    return tf.ensure_shape(outputs.concat(), (None, width))
