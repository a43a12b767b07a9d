"""LSTM and GRU over packed sequences on a GPU: one call of cuDNN for all timesteps.

cuDNN is told the length of each row and computes nothing after it, but has no layout without gaps:
the values are in a rectangle during the call alone. Keras' layers call cuDNN as well, but with a
mask, which they make sure of and count on the card while the host waits.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from padless.pipeline.batching.packing import Packing, on_host


def run_cudnn(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    *,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs an LSTM or a GRU on a GPU.

    Args:
        layer: one that `can_loop`, built.
        values: `(timesteps of all rows, features)` in the layer's compute dtype, packed.
        packing: where they are.
        states: what the rows begin with, `(rows, units)` each.
        with_states: whether to return the cell states of an LSTM as well.

    Returns:
        The hidden states after each timestep, `(timesteps of all rows, units)`; with states, the
        cell state after the last timestep of its row beside each.
    """
    is_gru = isinstance(layer, keras.layers.GRU)
    with on_host():
        # No kernel takes a rectangle without rows: then there is one of one timestep.
        rows = tf.maximum(packing.num_rows, 1)
        timesteps = tf.maximum(tf.size(packing.live), 1)
        missing = [[0, rows - packing.num_rows]]
        length = tf.pad(packing.length, missing, constant_values=1)
        place = packing.row * timesteps + packing.time
    flat = tf.scatter_nd(place[:, None], values, (rows * timesteps, values.shape[1]))
    hidden, *cells = (tf.pad(state, [*missing, [0, 0]])[:, None] for state in states)
    # Not timestep by timestep: for rows of one length TensorFlow then makes descriptors that cuDNN
    # rejects, and keeps them for later rows.
    outputs, _, cell, *_ = tf.raw_ops.CudnnRNNV3(
        input=tf.reshape(flat, (rows, timesteps, values.shape[1])),
        input_h=hidden,
        input_c=cells[0] if cells else tf.zeros((), values.dtype),
        params=_gru_parameters(layer.cell) if is_gru else _lstm_parameters(layer.cell),
        sequence_lengths=length,
        rnn_mode="gru" if is_gru else "lstm",
        is_training=True,  # without, there is no gradient
        time_major=False,
    )
    outputs = tf.gather(tf.reshape(outputs, (rows * timesteps, layer.units)), place)
    if with_states and not is_gru:
        return tf.concat((outputs, tf.gather(cell[:, 0], packing.row)), -1)
    return outputs


def _lstm_parameters(cell: keras.layers.LSTMCell) -> tf.Tensor:
    """Returns the weights as cuDNN takes them, `(number of weights,)`.

    Each gate's transposed matrix comes after that of the gate before, of the inputs and then of the
    hidden state; then the biases of both, of which Keras has one.
    """
    kernels = (cell.kernel, cell.recurrent_kernel)
    flat = [tf.reshape(tf.transpose(tf.convert_to_tensor(kernel)), (-1,)) for kernel in kernels]
    none = tf.zeros((4 * cell.units,), flat[0].dtype)
    bias = tf.convert_to_tensor(cell.bias) if cell.use_bias else none
    return tf.concat((*flat, none, bias), 0)


def _gru_parameters(cell: keras.layers.GRUCell) -> tf.Tensor:
    """Returns the weights as cuDNN takes them: the same, and the reset gate comes first there."""
    kernels = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel))
    flat = [tf.reshape(_reset_first(tf.transpose(kernel)), (-1,)) for kernel in kernels]
    if not cell.use_bias:
        return tf.concat((*flat, tf.zeros((6 * cell.units,), flat[0].dtype)), 0)
    biases = tf.unstack(tf.convert_to_tensor(cell.bias))
    return tf.concat((*flat, *map(_reset_first, biases)), 0)


def _reset_first(gates: tf.Tensor) -> tf.Tensor:
    """Exchanges the first two of three gates, `(3 * units, ...)`."""
    update, reset, new = tf.split(gates, 3)
    return tf.concat((reset, update, new), 0)
