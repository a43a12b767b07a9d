"""How unusual a sequence is: its shape, its level, and how well it is reconstructed.

None of them finds every anomaly. A good autoencoder reconstructs much that it has never seen, so
that a sequence of another kind shows in what the encoder makes of it alone; a spike of one timestep
hardly moves that, so that it shows in the error alone; and a sequence that is too simple is
reconstructed too well.

The distance of what the encoder gives, beside the error, is that of Denouden et al., Improving
Reconstruction Autoencoder Out-of-distribution Detection with Mahalanobis Distance, 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from padless.model.network.layers import Array, Shape

# Of the distances of shape and level, and the squared surprises at the error and at its share of
# the variance. docs/quality.md has the measurements that they are from.
WEIGHTS = (0.75, 0.1, 0.075, 0.075)
# The logarithm of a smaller number would say more of rounding than of a sequence.
SMALLEST_ERROR = 1e-18


class Traits(NamedTuple):
    """What the anomaly score is computed from, float32.

    Attributes:
        pooled: what the encoder's outputs are pooled to, `(batch, pooled_size)`: the shape.
        level: mean and deviation of each feature, see `OwnScale.level`, `(batch, 2 * features)`.
        error: of the reconstruction, `(batch,)`, in units of the training variance.
        unexplained: share of the sequence's variance that this error is, `(batch,)`.
    """

    pooled: Array
    level: Array
    error: Array
    unexplained: Array


@keras.saving.register_keras_serializable(package="padless")
class AnomalyScore(keras.layers.Layer):
    """Scores sequences by their traits.

        distance = (vector - mean)' covariance^-1 (vector - mean) / size    of pooled, and of level
        surprise = (log(error) - what is expected of such a level) / its usual deviation
        surprise = (log(unexplained) - its mean) / its usual deviation
        score    = 0.75 shape distance + 0.1 level distance + 0.075 surprise^2 + 0.075 surprise^2

    Each distance and each squared surprise, and with them the score, is 1 on average over the split
    that was not trained on. NaN before it is fitted.

    Call arguments:
        traits: the four of `Traits`, one by one.

    Returns:
        `(batch,)` float32, at least 0.
    """

    def build(
        self,
        pooled_shape: Shape,
        level_shape: Shape,
        error_shape: Shape = (None,),
        unexplained_shape: Shape = (None,),
    ) -> None:
        """Creates the weights; none is trained."""
        constant = {"initializer": "zeros", "trainable": False}
        for name, size in (("pooled", pooled_shape[-1]), ("level", level_shape[-1])):
            mean = self.add_weight((size,), name=f"{name}_mean", **constant)
            whitening = self.add_weight((size, size), name=f"{name}_whitening", **constant)
            setattr(self, f"{name}_mean", mean)
            setattr(self, f"{name}_whitening", whitening)
        self.slope = self.add_weight((level_shape[-1],), name="slope", **constant)
        self.expected = self.add_weight((2,), name="expected", **constant)
        self.deviation = self.add_weight((2,), name="deviation", **constant)
        self.built = True

    def assign(
        self,
        *,
        pooled: tuple[np.ndarray, np.ndarray],
        level: tuple[np.ndarray, np.ndarray],
        slope: np.ndarray,
        expected: tuple[float, float],
        deviation: tuple[float, float],
    ) -> None:
        """Sets the weights.

        Args:
            pooled: mean `(size,)` and whitening `(size, size)`, with `whitening whitening' =
                covariance^-1`.
            level: likewise.
            slope: of the logarithm of the error along the level, `(2 * features,)`.
            expected: of the logarithms of error, at the mean level, and of its share.
            deviation: what these usually deviate by.
        """
        self.pooled_mean.assign(pooled[0])
        self.pooled_whitening.assign(pooled[1])
        self.level_mean.assign(level[0])
        self.level_whitening.assign(level[1])
        self.slope.assign(slope)
        self.expected.assign(expected)
        self.deviation.assign(deviation)

    def call(self, pooled: Array, level: Array, error: Array, unexplained: Array) -> tf.Tensor:
        """Adds up what distances and surprises tell."""
        return self.add_up(self.parts(Traits(pooled, level, error, unexplained)))

    def parts(self, traits: Traits) -> tf.Tensor:
        """Returns both distances and both surprises, `(batch, 4)`; the latter may be negative."""
        distances = [
            _distance(traits.pooled, self.pooled_mean, self.pooled_whitening),
            _distance(traits.level, self.level_mean, self.level_whitening),
        ]
        along = keras.ops.matmul(traits.level - self.level_mean, self.slope[:, None])[:, 0]
        logs = [log_of(traits.error) - along, log_of(traits.unexplained)]
        surprises = (keras.ops.stack(logs, axis=-1) - self.expected) / self.deviation
        surprises = keras.ops.where(self.deviation > 0, surprises, float("nan"))
        return keras.ops.concatenate((keras.ops.stack(distances, axis=-1), surprises), axis=-1)

    def add_up(self, parts: Array) -> Array:
        """Returns the score of parts `(batch, 4)`, `(batch,)`."""
        return sum(weigh(parts))

    def compute_output_shape(
        self,
        pooled_shape: Shape,
        level_shape: Shape,
        error_shape: Shape = (None,),
        unexplained_shape: Shape = (None,),
    ) -> Shape:
        """Returns `(batch,)`."""
        return (pooled_shape[0],)


def weigh(parts: Array) -> list[Array]:
    """Returns what each part `(batch, 4)` adds to the score, `(batch,)` each.

    Example:
        >>> [float(term[0]) for term in weigh(np.array([[1.0, 1.0, -2.0, 0.0]]))]
        [0.75, 0.1, 0.3, 0.0]
    """
    shape, level, error, unexplained = (parts[:, i] for i in range(4))
    terms = (shape, level, error * error, unexplained * unexplained)
    return [weight * term for weight, term in zip(WEIGHTS, terms, strict=True)]


def log_of(values: Array) -> tf.Tensor:
    """Computes the logarithm of errors, `(batch,)`; an error of 0 counts as the smallest one."""
    return keras.ops.log(keras.ops.maximum(values, SMALLEST_ERROR))


def _distance(vectors: Array, mean: Array, whitening: Array) -> tf.Tensor:
    """Returns the squared Mahalanobis distance per value of the vector, `(batch,)`."""
    white = keras.ops.matmul(vectors - mean, whitening)
    return keras.ops.mean(keras.ops.square(white), axis=-1)
