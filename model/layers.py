"""Layers that Keras lacks for sequences of any length."""

from __future__ import annotations

import keras


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
