"""Layers that Keras lacks for sequences of any length."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from padless.pipeline.moments import scale_of


@keras.saving.register_keras_serializable(package="padless")
class DynamicRepeat(keras.layers.Layer):
    """Repeats a vector as often as another input has timesteps.

    `keras.layers.RepeatVector` takes the number of repeats when the model is built, and so ties an
    autoencoder to one length. Here it is read from the input at run time: one model, one trace, any
    length, nothing padded.

    Call arguments:
        inputs: vectors to repeat, `(batch, units)`.
        like: a sequence with the wanted number of timesteps, `(batch, timesteps, ...)`.

    Returns:
        The repeated vectors, `(batch, timesteps, units)`, in the dtype of `inputs`.

    Raises:
        ValueError: if `inputs` does not have 2 dimensions, or `like` fewer than 2.

    Example:
        >>> import numpy as np
        >>> DynamicRepeat()(np.ones((2, 8)), like=np.zeros((2, 5, 3))).shape
        TensorShape([2, 5, 8])
    """

    def call(self, inputs, like):
        """Repeats `inputs` along a new axis 1."""
        batch, units = keras.ops.shape(inputs)
        timesteps = keras.ops.shape(like)[1]
        return keras.ops.broadcast_to(inputs[:, None, :], (batch, timesteps, units))

    def build(self, inputs_shape, like_shape):
        """Checks the shapes; there are no weights."""
        self.compute_output_shape(inputs_shape, like_shape)
        self.built = True

    def compute_output_shape(self, inputs_shape, like_shape):
        """Returns `(batch, timesteps, units)`, None where unknown."""
        if len(inputs_shape) != 2:
            raise ValueError(
                f"`inputs` must have the shape (batch, units), got {tuple(inputs_shape)}."
            )
        if len(like_shape) < 2:
            raise ValueError(
                f"`like` must have the shape (batch, timesteps, ...), got {tuple(like_shape)}."
            )
        return (inputs_shape[0], like_shape[1], inputs_shape[1])


@keras.saving.register_keras_serializable(package="padless")
class Standardize(keras.layers.Layer):
    """Centres and scales each feature, and back again.

    `keras.layers.Normalization` divides by no less than 1e-7, and so silently ignores a feature in
    nanoamperes. Here the scale is taken in float64 and used as it is; a feature whose variance is 0
    is only centred.

    Args:
        mean: mean of each feature `(features,)`, raw units.
        variance: variance of each feature `(features,)`, raw units squared.

    Call arguments:
        inputs: `(..., features)`, raw units.

    Returns:
        `(inputs - mean) / sqrt(variance)`, `(..., features)`.
    """

    def __init__(self, mean, variance, **kwargs):
        super().__init__(**kwargs)
        self.mean = np.asarray(mean, np.float64).tolist()
        self.variance = np.asarray(variance, np.float64).tolist()
        self.scale = scale_of(self.variance)

    def build(self, inputs_shape):
        """Has no weights."""
        self.built = True

    def call(self, inputs):
        """Goes from raw units to units of the standard deviation."""
        return (inputs - self._constant(self.mean)) / self._constant(self.scale)

    def invert(self, standardized):
        """Goes back to raw units."""
        return standardized * self._constant(self.scale) + self._constant(self.mean)

    def get_config(self):
        """Returns the arguments that build this layer again."""
        return super().get_config() | {"mean": self.mean, "variance": self.variance}

    def _constant(self, values):
        return keras.ops.convert_to_tensor(values, self.compute_dtype)


@keras.saving.register_keras_serializable(package="padless")
class FusedLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`, run on a CPU as one operation where that is faster.

    Keras' own loop takes a hundred or more microseconds per timestep on a CPU, whatever the batch:
    most of the time, for the small batches that rare lengths give. Up to `MAX_FUSED_UNITS` units
    the sequence runs through TensorFlow's `BlockLSTM` instead, with the same weights and the same
    result. With more units Keras' products on several cores win, and on a GPU its cuDNN kernel;
    with a mask, dropout or unusual options Keras' own code runs as well.
    """

    MAX_FUSED_UNITS = 64

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.supports_jit = False

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the timesteps; Keras calls this from `call`."""
        if mask is not None or not self._can_fuse(sequences, training):
            return super().inner_loop(sequences, initial_state, mask, training)
        by_time = tf.transpose(sequences, (1, 0, 2))
        if self.go_backwards:
            by_time = tf.reverse(by_time, (0,))
        hidden, cell = initial_state
        peephole = tf.zeros((self.units,), by_time.dtype)  # not used, but asked for
        result = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.shape(by_time, tf.int64)[0],
            x=by_time,
            h_prev=hidden,
            cs_prev=cell,
            w=_by_fused_gates(tf.concat((self.cell.kernel, self.cell.recurrent_kernel), axis=0)),
            b=_by_fused_gates(tf.convert_to_tensor(self.cell.bias)),
            wci=peephole,
            wcf=peephole,
            wco=peephole,
            forget_bias=0.0,
            cell_clip=-1.0,
            use_peephole=False,
        )
        outputs = tf.transpose(result.h, (1, 0, 2))
        return result.h[-1], outputs, [result.h[-1], result.cs[-1]]

    def _can_fuse(self, sequences, training) -> bool:
        return (
            self.units <= self.MAX_FUSED_UNITS
            and self.use_bias
            and not self.unroll
            and self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and not (training and (self.dropout or self.recurrent_dropout))
            and sequences.dtype == tf.float32
            and not tf.config.get_visible_devices("GPU")
        )


def _by_fused_gates(weights: tf.Tensor) -> tf.Tensor:
    """Brings Keras' gates (input, forget, cell, output) into the order of `BlockLSTM`.

    `BlockLSTMV2` has Keras' order, but its registered gradient still takes them in this one.
    """
    into, forget, cell, output = tf.split(weights, 4, axis=-1)
    return tf.concat((into, cell, forget, output), axis=-1)
