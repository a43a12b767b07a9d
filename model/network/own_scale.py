"""Each sequence on its own scale, and each timestep at its position in the sequence.

The moments of the training set put all sequences on one scale. Where their amplitudes differ by
orders of magnitude, the small ones are flat lines there. On its own scale each sequence shows its
shape; its level is kept beside.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from padless.model.network.pooling import for_timesteps, moments_of_rows
from padless.pipeline.batching.packing import Packing

# Values that `positions` returns.
NUM_POSITIONS = 4
# A smaller deviation, in units of that of the training set, is not scaled up: what varies so little
# is mostly noise.
SMALLEST_DEVIATION = 0.05
# The square of a larger one would be more than a float32 holds: infinite, it would make the shape
# of any sequence a flat line, and its level no number.
LARGEST_DEVIATION = 1e18


class OwnScale(NamedTuple):
    """The scale of each sequence: the mean and the deviation of each of its features.

    Attributes:
        length: valid timesteps of each row, `(batch,)`; None where all are; of packed sequences
            their `Packing`.
        mean: `(batch, features)` float32.
        deviation: `(batch, features)` float32, at least a twentieth of that of the training set,
            and finite.
    """

    length: tf.Tensor | Packing | None
    mean: tf.Tensor
    deviation: tf.Tensor

    @classmethod
    def of(
        cls,
        values: tf.Tensor,
        length: tf.Tensor | Packing | None,
        seen: tf.Tensor | None = None,
    ) -> OwnScale:
        """Computes the scales of sequences that are standardized by the training set.

        Args:
            values: `(batch, timesteps, features)` float32; or, packed, `(timesteps of all rows,
                features)`.
            length: see the attribute.
            seen: which of the values are not missing; None where none is.
        """
        mean, variance = moments_of_rows(values, length, seen)
        deviation = tf.clip_by_value(tf.sqrt(variance), SMALLEST_DEVIATION, LARGEST_DEVIATION)
        return cls(length, mean, deviation)

    def apply(self, values: tf.Tensor) -> tf.Tensor:
        """Returns values on the scale of their sequence."""
        mean, deviation = self._for_timesteps()
        return (values - mean) / deviation

    def invert(self, values: tf.Tensor) -> tf.Tensor:
        """Returns values on the scale of the training set."""
        mean, deviation = self._for_timesteps()
        return values * deviation + mean

    def level(self) -> tf.Tensor:
        """Returns mean and deviation, `(batch, 2 * features)`, both bent to be of moderate size."""
        return tf.concat((tf.asinh(self.mean), tf.math.log(self.deviation)), axis=-1)

    def _for_timesteps(self) -> tuple[tf.Tensor, tf.Tensor]:
        return for_timesteps(self.mean, self.length), for_timesteps(self.deviation, self.length)


def positions(like: tf.Tensor, length: tf.Tensor | Packing | None) -> tf.Tensor:
    """Returns where in its sequence each timestep is, as sines and cosines.

    They are of half a turn and of a whole one from the start to the end, whatever the length.

    Args:
        like: `(batch, timesteps, ...)`; not read where the sequences are packed.
        length: valid timesteps, as in `OwnScale`.

    Returns:
        `(batch, timesteps, 4)` float32; packed `(timesteps of all rows, 4)`.
    """
    if isinstance(length, Packing):
        time, end = length.time, tf.gather(length.length, length.row)
    else:
        batch, timesteps = tf.shape(like)[0], tf.shape(like)[1]
        time = tf.tile(tf.range(timesteps)[None], [batch, 1])
        end = timesteps if length is None else tf.cast(length, tf.int32)[:, None]
    share = (tf.cast(time, tf.float32) + 0.5) / tf.cast(end, tf.float32)
    angles = math.pi * tf.stack((share, 2 * share), axis=-1)
    return tf.concat((tf.sin(angles), tf.cos(angles)), axis=-1)
