"""An LSTM that a CPU runs as one operation, whatever the number of timesteps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="padless")
class FusedLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`, run on a CPU as one operation where that is faster.

    Keras' own loop takes a hundred or more microseconds per timestep on a CPU, whatever the batch:
    most of the time, for the small batches that rare lengths give. Up to `MAX_FUSED_UNITS` units
    the sequence runs through TensorFlow's `BlockLSTM` instead, with the same weights and the same
    result. With more units Keras' products on several cores win, and on a GPU its cuDNN kernel,
    unless `use_cudnn` is False; with a mask, dropout or unusual options Keras' own code runs as
    well. In mixed precision the operation takes inputs and weights rounded to 16 bits, and computes
    in float32.
    """

    MAX_FUSED_UNITS = 64

    def __init__(self, units: int, **kwargs: Any):
        super().__init__(units, **kwargs)
        self.supports_jit = False

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Runs the timesteps; Keras calls this from `call`."""
        if mask is not None or not self.can_fuse(sequences.dtype, training):
            return super().inner_loop(sequences, initial_state, mask, training)
        # `BlockLSTM` knows no bfloat16; float32 holds the values of both halves.
        by_time = tf.cast(tf.transpose(sequences, (1, 0, 2)), tf.float32)
        if self.go_backwards:
            by_time = tf.reverse(by_time, (0,))
        hidden, cell = (tf.cast(state, tf.float32) for state in initial_state)
        outputs, cells = run_block(by_time, (hidden, cell), *self.block_weights())
        return outputs[-1], tf.transpose(outputs, (1, 0, 2)), [outputs[-1], cells[-1]]

    def block_weights(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the weights as `run_block` takes them."""
        kernels = (self.cell.kernel, self.cell.recurrent_kernel)
        kernel = tf.concat([make_even(tf.convert_to_tensor(part), 0) for part in kernels], axis=0)
        return _by_fused_gates(kernel), _by_fused_gates(tf.convert_to_tensor(self.cell.bias))

    def can_fuse(self, dtype: tf.DType, training: bool) -> bool:
        """Checks whether one operation computes what the layer's options ask for, and faster."""
        return (
            self.units <= self.MAX_FUSED_UNITS
            and self.use_bias
            and not self.unroll
            and self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and not (training and (self.dropout or self.recurrent_dropout))
            and dtype in (tf.float32, tf.float16, tf.bfloat16)
            and (self.use_cudnn is False or not tf.config.get_visible_devices("GPU"))
        )


def run_block(
    by_time: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor], weights: tf.Tensor, bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Runs an LSTM over a block in which all sequences have all timesteps, as one operation.

    An odd number of features or units gets a column of zeros, as `BlockLSTM` prints a warning each
    time that one of them and the number of rows are both odd.

    Args:
        by_time: `(timesteps, rows, features)` float32.
        state: hidden and cell state to begin with, `(rows, units)` float32 each.
        weights: `(features + units, 4 * units)` float32, see `FusedLSTM.block_weights`; both sizes
            here are the next even ones.
        bias: `(4 * units,)` float32, likewise.

    Returns:
        Hidden and cell states after each timestep, `(timesteps, rows, units)` each.
    """
    units = state[0].shape[1]
    by_time, hidden, cell = (make_even(values, -1) for values in (by_time, *state))
    result = tf.raw_ops.BlockLSTM(
        x=by_time,
        h_prev=hidden,
        cs_prev=cell,
        forget_bias=0.0,
        cell_clip=-1.0,
        **block_inputs(tf.shape(by_time)[0], weights, bias),
    )
    return result.h[:, :, :units], result.cs[:, :, :units]


def block_inputs(timesteps: tf.Tensor, weights: tf.Tensor, bias: tf.Tensor) -> dict[str, Any]:
    """Returns what `BlockLSTM` and its gradient take besides the values and the states."""
    peephole = tf.zeros(bias.shape[0] // 4)  # not used, but asked for
    return {
        "seq_len_max": tf.cast(timesteps, tf.int64),
        "w": weights,
        "b": bias,
        "wci": peephole,
        "wcf": peephole,
        "wco": peephole,
        "use_peephole": False,
    }


def _by_fused_gates(weights: tf.Tensor) -> tf.Tensor:
    """Brings Keras' gates (input, forget, cell, output) into the order of `BlockLSTM`.

    `BlockLSTMV2` has Keras' order, but its registered gradient still takes them in this one.
    """
    into, forget, cell, output = tf.split(tf.cast(weights, tf.float32), 4, axis=-1)
    gates = (into, cell, forget, output)
    return tf.concat([make_even(gate, -1) for gate in gates], axis=-1)


def make_even(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Appends zeros if there is an odd number of entries along an axis."""
    if values.shape[axis] % 2 == 0:
        return values
    paddings = np.zeros((values.shape.rank, 2), int)
    paddings[axis, 1] = 1
    return tf.pad(values, paddings)
