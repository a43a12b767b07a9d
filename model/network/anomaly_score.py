"""How unusual a sequence is: where its code lies, and how well it is reconstructed for that.

Either alone misses half of the anomalies. A good autoencoder reconstructs much that it has never
seen, so that a sequence of another kind shows in its code alone; and a spike of one timestep hardly
moves the code, so that it shows in the error alone.

The distance of the code beside the error is that of Denouden et al., Improving Reconstruction
Autoencoder Out-of-distribution Detection with Mahalanobis Distance, 2018.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from padless.model.network.layers import Array, Shape

# The logarithm of a smaller error would say more of rounding than of a sequence.
_SMALLEST_ERROR = 1e-12


@keras.saving.register_keras_serializable(package="padless")
class AnomalyScore(keras.layers.Layer):
    """Scores sequences by their code and their error.

        distance = (code - mean)' covariance^-1 (code - mean) / code_size
        surprise = (log(error) - what is expected of such a code) / its usual deviation
        score    = (code_size * distance + weight * surprise^2) / (code_size + weight)

    with `weight = sqrt(code_size)`, which lets both parts scatter alike where codes are normally
    distributed. The covariance is scaled so that the distance, and with it the score, is 1
    on average over the split that was not trained on. NaN before it is fitted.

    Call arguments:
        code: `(batch, code_size)` float32.
        error: `(batch,)` float32, of the reconstruction.

    Returns:
        `(batch,)` float32, at least 0.
    """

    def build(self, code_shape: Shape, error_shape: Shape) -> None:
        """Creates the weights; none is trained."""
        size = code_shape[-1]
        constant = {"initializer": "zeros", "trainable": False}
        self.mean = self.add_weight((size,), name="mean", **constant)
        self.whitening = self.add_weight((size, size), name="whitening", **constant)
        self.slope = self.add_weight((size,), name="slope", **constant)
        self.level = self.add_weight((), name="level", **constant)
        self.deviation = self.add_weight((), name="deviation", **constant)
        self.built = True

    def assign(
        self,
        mean: np.ndarray,
        whitening: np.ndarray,
        slope: np.ndarray,
        level: float,
        deviation: float,
    ) -> None:
        """Sets the weights.

        Args:
            mean: of the codes, `(code_size,)`.
            whitening: `(code_size, code_size)`, with `whitening whitening' = covariance^-1`.
            slope: of the logarithm of the error along the code, `(code_size,)`.
            level: what that logarithm is at the mean code.
            deviation: what it usually deviates by.
        """
        self.mean.assign(mean)
        self.whitening.assign(whitening)
        self.slope.assign(slope)
        self.level.assign(level)
        self.deviation.assign(deviation)

    def call(self, code: Array, error: Array) -> tf.Tensor:
        """Adds up what `distance` and `surprise` tell."""
        return self.add_up(self.distance(code), self.surprise(code, error))

    def distance(self, code: Array) -> tf.Tensor:
        """Returns the squared Mahalanobis distance per value of the code, `(batch,)`."""
        white = keras.ops.matmul(code - self.mean, self.whitening)
        return keras.ops.mean(keras.ops.square(white), axis=-1)

    def surprise(self, code: Array, error: Array) -> tf.Tensor:
        """Returns how far the logarithm of the error is from what is expected, `(batch,)`."""
        expected = self.level + keras.ops.matmul(code - self.mean, self.slope[:, None])[:, 0]
        return keras.ops.where(
            self.deviation > 0, (log_error(error) - expected) / self.deviation, float("nan")
        )

    def add_up(self, distance: Array, surprise: Array) -> Array:
        """Returns the score, `(batch,)`."""
        size = self.mean.shape[0]
        weight = size**0.5
        return (size * distance + weight * surprise * surprise) / (size + weight)

    def compute_output_shape(self, code_shape: Shape, error_shape: Shape) -> Shape:
        """Returns `(batch,)`."""
        return (code_shape[0],)


def log_error(error: Array) -> tf.Tensor:
    """Computes the logarithm of errors, `(batch,)`; an error of 0 counts as the smallest one."""
    return keras.ops.log(keras.ops.maximum(error, _SMALLEST_ERROR))
