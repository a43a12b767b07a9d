"""Layers that Keras lacks for sequences of any length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from padless.pipeline.batching.packing import Packing
from padless.pipeline.dataset.moments import scale_of

# None where a size is not known before the layer is called.
Shape: TypeAlias = tuple[int | None, ...]
# What Keras turns into a tensor.
Array: TypeAlias = tf.Tensor | np.ndarray


@keras.saving.register_keras_serializable(package="padless")
class DynamicRepeat(keras.layers.Layer):
    """Repeats a vector as often as another input has timesteps.

    `keras.layers.RepeatVector` takes the number of repeats when the model is built, and so ties an
    autoencoder to one length. Here it is read from the input at run time: one model, one trace, any
    length, nothing padded.

    Call arguments:
        inputs: vectors to repeat, `(batch, units)`.
        like: a sequence with the wanted number of timesteps, `(batch, timesteps, ...)`; or the
            `Packing` of packed sequences, one for each vector.

    Returns:
        The repeated vectors, `(batch, timesteps, units)`, packed `(timesteps of all rows, units)`,
        in the dtype of `inputs`.

    Raises:
        ValueError: if `inputs` does not have 2 dimensions, or `like` fewer than 2.

    Example:
        >>> import numpy as np
        >>> DynamicRepeat()(np.ones((2, 8)), like=np.zeros((2, 5, 3))).shape
        TensorShape([2, 5, 8])
    """

    def call(self, inputs: Array, like: Array | Packing) -> tf.Tensor:
        """Repeats `inputs` along a new axis 1, or each as often as its row has values."""
        if isinstance(like, Packing):
            return tf.gather(inputs, like.row)
        batch, units = keras.ops.shape(inputs)
        timesteps = keras.ops.shape(like)[1]
        return keras.ops.broadcast_to(inputs[:, None, :], (batch, timesteps, units))

    def build(self, inputs_shape: Shape, like_shape: Shape) -> None:
        """Checks the shapes; there are no weights."""
        self.compute_output_shape(inputs_shape, like_shape)
        self.built = True

    def compute_output_shape(self, inputs_shape: Shape, like_shape: Shape) -> Shape:
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

    def __init__(self, mean: Sequence[float], variance: Sequence[float], **kwargs: Any):
        super().__init__(**kwargs)
        self.mean = np.asarray(mean, np.float64).tolist()
        self.variance = np.asarray(variance, np.float64).tolist()
        self.scale = scale_of(self.variance)

    def build(self, inputs_shape: Shape) -> None:
        """Has no weights."""
        self.built = True

    def call(self, inputs: Array) -> tf.Tensor:
        """Goes from raw units to units of the standard deviation."""
        return (inputs - self._constant(self.mean)) / self._constant(self.scale)

    def invert(self, standardized: Array) -> tf.Tensor:
        """Goes back to raw units."""
        return standardized * self._constant(self.scale) + self._constant(self.mean)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return super().get_config() | {"mean": self.mean, "variance": self.variance}

    def _constant(self, values: Sequence[float] | np.ndarray) -> tf.Tensor:
        return keras.ops.convert_to_tensor(values, self.compute_dtype)


@keras.saving.register_keras_serializable(package="padless")
class ReplicaDropout(keras.layers.Dropout):
    """Sets a share of its inputs to zero in training, other ones on each replica.

    The replicas of `keras.layers.Dropout` mirror its random state, so that the first row of each
    loses the same values, and the second, and so on. Here the replica's number goes into the seed.
    The state is still one variable, the same on all replicas and in `model.variables`: set back, it
    gives the same noise again.

    Args:
        rate: share of the values to drop, at least 0 and below 1; the others grow by
            `1 / (1 - rate)`.
        seed: of the noise; drawn from the seed of `keras.utils.set_random_seed` if None.

    Call arguments:
        inputs: any shape, of a floating dtype.
        training: whether to drop at all.

    Returns:
        What is left of `inputs`, in their shape and dtype.
    """

    def call(self, inputs: Array, training: bool = False) -> Array:
        """Drops, if in training."""
        if not training or self.rate == 0:
            return inputs
        seed = tf.random.experimental.stateless_fold_in(self.seed_generator.next(), _replica())
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed)


def _replica() -> int | tf.Tensor:
    """Returns the number of the replica that this runs on, over all workers."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group
