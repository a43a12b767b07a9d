"""How unusual a sequence is: where its embedding lies, and how well it is reconstructed for that.

Either alone misses half of the anomalies. A good autoencoder reconstructs much that it has never
seen, so that a sequence of another kind shows in its embedding alone; and a spike of one timestep
hardly moves the embedding, so that it shows in the error alone.

The distance of the embedding beside the error is that of Denouden et al., Improving Reconstruction
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
    """Scores sequences by their embedding and their error.

        distance = (embedding - mean)' covariance^-1 (embedding - mean) / latent_size
        surprise = (log(error) - what is expected of such an embedding) / its usual deviation
        score    = (latent_size * distance + weight * surprise^2) / (latent_size + weight)

    with `weight = sqrt(latent_size)`, which lets both parts scatter alike where embeddings are
    normally distributed. The covariance is scaled so that the distance, and with it the score, is 1
    on average over the split that was not trained on. NaN before it is fitted.

    Call arguments:
        embedding: `(batch, latent_size)` float32.
        error: `(batch,)` float32, of the reconstruction.

    Returns:
        `(batch,)` float32, at least 0.
    """

    def build(self, embedding_shape: Shape, error_shape: Shape) -> None:
        """Creates the weights; none is trained."""
        size = embedding_shape[-1]
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
            mean: of the embeddings, `(latent_size,)`.
            whitening: `(latent_size, latent_size)`, with `whitening whitening' = covariance^-1`.
            slope: of the logarithm of the error along the embedding, `(latent_size,)`.
            level: what that logarithm is at the mean embedding.
            deviation: what it usually deviates by.
        """
        self.mean.assign(mean)
        self.whitening.assign(whitening)
        self.slope.assign(slope)
        self.level.assign(level)
        self.deviation.assign(deviation)

    def call(self, embedding: Array, error: Array) -> tf.Tensor:
        """Adds up what `distance` and `surprise` tell."""
        return self.add_up(self.distance(embedding), self.surprise(embedding, error))

    def distance(self, embedding: Array) -> tf.Tensor:
        """Returns the squared Mahalanobis distance per value of the embedding, `(batch,)`."""
        white = keras.ops.matmul(embedding - self.mean, self.whitening)
        return keras.ops.mean(keras.ops.square(white), axis=-1)

    def surprise(self, embedding: Array, error: Array) -> tf.Tensor:
        """Returns how far the logarithm of the error is from what is expected, `(batch,)`."""
        expected = self.level + keras.ops.matmul(embedding - self.mean, self.slope[:, None])[:, 0]
        return keras.ops.where(
            self.deviation > 0, (log_error(error) - expected) / self.deviation, float("nan")
        )

    def add_up(self, distance: Array, surprise: Array) -> Array:
        """Returns the score, `(batch,)`."""
        size = self.mean.shape[0]
        weight = size**0.5
        return (size * distance + weight * surprise * surprise) / (size + weight)

    def compute_output_shape(self, embedding_shape: Shape, error_shape: Shape) -> Shape:
        """Returns `(batch,)`."""
        return (embedding_shape[0],)


def log_error(error: Array) -> tf.Tensor:
    """Computes the logarithm of errors, `(batch,)`; an error of 0 counts as the smallest one."""
    return keras.ops.log(keras.ops.maximum(error, _SMALLEST_ERROR))
