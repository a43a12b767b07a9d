"""Each sequence on its own scale, and each timestep at its position in the sequence.

The moments of the training set put all sequences on one scale. Where their amplitudes differ by
orders of magnitude, the small ones are flat lines there. On its own scale each sequence shows its
shape, however small it is; its level is kept beside.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from padless.model.network.layers import Standardize
from padless.model.network.pooling import for_timesteps, mean_of_seen, moments_of_rows
from padless.pipeline.batching.packing import Packing, on_host

# Values that `positions` returns.
NUM_POSITIONS = 4
# A smaller deviation, in units of that of the training set or as a share of the mean, is not scaled
# up: the latter is the last digit of a float32.
SMALLEST_DEVIATION = 1e-6
SMALLEST_SHARE = 2.0**-23
# The square of a larger one would be more than a float32 holds: infinite, it would make the shape
# of any sequence a flat line, and its level no number.
LARGEST_DEVIATION = 1e18
# What the logarithm of a deviation is read times. Those of real sets span up to 14.
TOLD_AMPLITUDE = 0.25


class OwnScale(NamedTuple):
    """The scale of each sequence: the mean and the deviation of each of its features.

    Attributes:
        length: valid timesteps of each row, `(batch,)`; None where all are; of packed sequences
            their `Packing`.
        centre: what is subtracted from the values, their mean as a float32 rounds it, `(batch,
            features)`.
        unit: what they are then divided by, the deviation of the training set, `(features,)`.
        rest: what they still are on average, `(batch, features)`: much beside a deviation that is
            far smaller than the mean.
        mean: of the values on the scale of the training set, likewise.
        deviation: likewise, larger than rounding, and finite.
    """

    length: tf.Tensor | Packing | None
    centre: tf.Tensor
    unit: tf.Tensor
    rest: tf.Tensor
    mean: tf.Tensor
    deviation: tf.Tensor

    @classmethod
    def of(
        cls,
        values: tf.Tensor,
        length: tf.Tensor | Packing | None,
        standardize: Standardize,
        seen: tf.Tensor | None = None,
    ) -> OwnScale:
        """Computes the scales of sequences.

        They are not of standardized values: beside the mean of the training set, the differences of
        a far smaller sequence would be rounded away.

        Args:
            values: `(batch, timesteps, features)` float32; or, packed, `(timesteps of all rows,
                features)`.
            length: see the attribute.
            standardize: takes values to the scale of the training set.
            seen: which of the values are not missing; None where none is.
        """
        centre = mean_of_seen(values, length, seen)
        unit = tf.constant(standardize.scale, values.dtype)
        centred = (values - for_timesteps(centre, length)) / unit
        rest, variance = moments_of_rows(centred, length, seen)
        smallest = tf.maximum(SMALLEST_SHARE * tf.abs(centre) / unit, SMALLEST_DEVIATION)
        deviation = tf.sqrt(tf.maximum(variance, tf.square(smallest)))
        deviation = tf.minimum(deviation, LARGEST_DEVIATION)
        return cls(length, centre, unit, rest, standardize(centre) + rest, deviation)

    def apply(self, values: tf.Tensor) -> tf.Tensor:
        """Returns values on the scale of their sequence."""
        centre, rest, deviation = self._for_timesteps(self.centre, self.rest, self.deviation)
        return ((values - centre) / self.unit - rest) / deviation

    def invert(self, values: tf.Tensor) -> tf.Tensor:
        """Returns values that are on the scale of their sequence on that of the training set."""
        mean, deviation = self._for_timesteps(self.mean, self.deviation)
        return values * deviation + mean

    def level(self) -> tf.Tensor:
        """Returns mean and deviation, `(batch, 2 * features)`, both bent to be of moderate size."""
        return tf.concat((tf.asinh(self.mean), tf.math.log(self.deviation)), axis=-1)

    def amplitude(self, like: tf.Tensor) -> tf.Tensor:
        """Returns what the encoder is told of the deviations, at each timestep.

        Args:
            like: values in the shape to return.
        """
        (told,) = self._for_timesteps(TOLD_AMPLITUDE * tf.math.log(self.deviation))
        return tf.broadcast_to(told, tf.shape(like))

    def _for_timesteps(self, *parts: tf.Tensor) -> list[tf.Tensor]:
        return [for_timesteps(part, self.length) for part in parts]


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
        with on_host():
            return _waves(length.time, tf.gather(length.length, length.row))
    batch, timesteps = tf.shape(like)[0], tf.shape(like)[1]
    time = tf.tile(tf.range(timesteps)[None], [batch, 1])
    return _waves(time, timesteps if length is None else tf.cast(length, tf.int32)[:, None])


def _waves(time: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
    share = (tf.cast(time, tf.float32) + 0.5) / tf.cast(end, tf.float32)
    angles = math.pi * tf.stack((share, 2 * share), axis=-1)
    return tf.concat((tf.sin(angles), tf.cos(angles)), axis=-1)
