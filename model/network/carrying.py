"""Values that are missing, replaced by the last one of their feature that was seen."""

from __future__ import annotations

import tensorflow as tf

from padless.model.network.pooling import for_timesteps
from padless.pipeline.batching.packing import Packing


def carry_forward(
    values: tf.Tensor,
    seen: tf.Tensor,
    first: tf.Tensor,
    length: tf.Tensor | Packing | None,
) -> tf.Tensor:
    """Replaces each value that is not seen by the last one before it that is.

    It looks back by 1, 2, 4, ... timesteps in turn: after k looks each value comes from up to
    `2**k - 1` timesteps before.

    Args:
        values: `(batch, timesteps, width)`; or, packed, `(timesteps of all rows, width)`.
        seen: bool in the shape of `values`.
        first: what replaces values before the first one that is seen, `(batch, width)`.
        length: valid timesteps of each row, `(batch,)`; None where all are; of packed sequences
            their `Packing`.
    """
    if isinstance(length, Packing):
        time = length.time[:, None]
        longest = tf.shape(length.start)[0]
    else:
        longest = tf.shape(values)[1]
        time = tf.range(longest)[None, :, None]

    def look_back(step: tf.Tensor, values: tf.Tensor, seen: tf.Tensor) -> tuple:
        before, seen_before = (_earlier(part, step, length) for part in (values, seen))
        seen_before &= time >= step
        return 2 * step, tf.where(seen, values, before), seen | seen_before

    _, values, seen = tf.while_loop(
        lambda step, *_: step < longest, look_back, (1, values, seen), maximum_iterations=32
    )
    return tf.where(seen, values, for_timesteps(first, length))


def _earlier(values: tf.Tensor, step: tf.Tensor, length: tf.Tensor | Packing | None) -> tf.Tensor:
    """Returns the values of `step` timesteps before; anything where there are none."""
    if isinstance(length, Packing):
        start = tf.gather(length.start, tf.maximum(length.time - step, 0))
        return tf.gather(values, start + length.row)
    return tf.roll(values, step, axis=1)
