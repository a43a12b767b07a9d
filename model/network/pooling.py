"""What the outputs of a recurrent layer become where one vector for each sequence is wanted.

- `"last"`: the last output in reading order, of each direction its own;
- `"mean"`: the mean of the outputs;
- `"last_and_mean"`: both side by side;
- `"statistics"`: last, mean, deviation and maximum, and the maximum of each third of the sequence,
  which tells when something was.

Only the outputs before the end of a sequence count.
"""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.batching.packing import Packing, on_host

# How many times the width of the outputs each pooling has.
WIDTHS = {"last": 1, "mean": 1, "last_and_mean": 2, "statistics": 7}
THIRDS = 3
# A smaller variance is taken for rounding; the root of 0 would have no gradient.
SMALLEST_VARIANCE = 1e-6


def pool(
    last: tf.Tensor, outputs: tf.Tensor, length: tf.Tensor | Packing | None, pooling: str
) -> tf.Tensor:
    """Pools the outputs for each sequence, computed in float32.

    Args:
        last: the last output of each row, `(batch, width)`.
        outputs: `(batch, timesteps, width)`; or, packed, `(timesteps of all rows, width)`.
        length: valid timesteps of each row, `(batch,)`; None where all are; of packed outputs their
            `Packing`.
        pooling: a key of `WIDTHS`.

    Returns:
        `(batch, WIDTHS[pooling] * width)` float32.
    """
    last, values = tf.cast(last, tf.float32), tf.cast(outputs, tf.float32)
    if pooling == "last":
        return last
    mean, variance = moments_of_rows(values, length)
    parts = [mean] if pooling == "mean" else [last, mean]
    if pooling == "statistics":
        parts += [tf.sqrt(variance + SMALLEST_VARIANCE), *_maxima(values, length)]
    return tf.concat(parts, axis=-1)


def mean_of_rows(values: tf.Tensor, length: tf.Tensor | Packing | None) -> tf.Tensor:
    """Computes the mean of each row over its valid timesteps, `(batch, width)`.

    Args:
        values: `(batch, timesteps, width)`; or, packed, `(timesteps of all rows, width)`.
        length: as `pool` takes it.
    """
    if length is None:
        return tf.reduce_mean(values, axis=1)
    if isinstance(length, Packing):
        return length.mean(values)
    valid = tf.sequence_mask(length, tf.shape(values)[1])[:, :, None]
    # By choice, not by product: 0 times a value that is not finite would not be 0.
    total = tf.reduce_sum(tf.where(valid, values, tf.zeros((), values.dtype)), axis=1)
    return total / tf.cast(length, values.dtype)[:, None]


def mean_of_seen(
    values: tf.Tensor, length: tf.Tensor | Packing | None, seen: tf.Tensor | None
) -> tf.Tensor:
    """Computes the mean of each row over the values that are seen, 0 where none is.

    Args:
        values: as `mean_of_rows` takes them.
        length: likewise.
        seen: bool in the shape of `values`; None where all are.
    """
    if seen is None:
        return mean_of_rows(values, length)
    total = mean_of_rows(tf.where(seen, values, tf.zeros((), values.dtype)), length)
    return tf.math.divide_no_nan(total, mean_of_rows(tf.cast(seen, values.dtype), length))


def moments_of_rows(
    values: tf.Tensor, length: tf.Tensor | Packing | None, seen: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes mean and variance of each row over its valid timesteps, `(batch, width)` each.

    Args:
        values: as `mean_of_rows` takes them.
        length: likewise.
        seen: as `mean_of_seen` takes it.
    """
    mean = mean_of_seen(values, length, seen)
    return mean, mean_of_seen(tf.square(values - for_timesteps(mean, length)), length, seen)


def for_timesteps(vectors: tf.Tensor, length: tf.Tensor | Packing | None) -> tf.Tensor:
    """Returns the vectors of rows, `(batch, width)`, in a shape that broadcasts to their values."""
    return tf.gather(vectors, length.row) if isinstance(length, Packing) else vectors[:, None]


def _maxima(values: tf.Tensor, length: tf.Tensor | Packing | None) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the maximum of each row, and those of its thirds side by side.

    A row of fewer timesteps than thirds has the maximum of all for those that are empty.
    """
    if isinstance(length, Packing):
        rows, of_row = length.num_rows, length.length
        with on_host():
            segment, is_empty = _thirds(length.row, length.time, of_row)
    else:
        rows, timesteps = tf.shape(values)[0], tf.shape(values)[1]
        row, time = tf.repeat(tf.range(rows), timesteps), tf.tile(tf.range(timesteps), [rows])
        of_row = tf.fill([rows], timesteps) if length is None else tf.cast(length, tf.int32)
        segment, is_empty = _thirds(row, time, of_row)
    flat = tf.reshape(values, (-1, values.shape[-1]))
    of_thirds = tf.math.unsorted_segment_max(flat, segment, rows * THIRDS)
    of_thirds = tf.reshape(of_thirds, (-1, THIRDS, values.shape[-1]))
    whole = tf.reduce_max(of_thirds, axis=1)
    of_thirds = tf.where(is_empty[:, :, None], whole[:, None], of_thirds)
    return whole, tf.reshape(of_thirds, (-1, THIRDS * values.shape[-1]))


def _thirds(row: tf.Tensor, time: tf.Tensor, of_row: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the third that each timestep is in, numbered over all rows, and those that are empty.

    Args:
        row: the row of each timestep.
        time: its number there.
        of_row: valid timesteps of each row.

    Returns:
        The number of each timestep's third, -1, of which nothing is taken, after the end of a row;
        and whether a row has no timestep in a third, `(batch, THIRDS)` bool.
    """
    end = tf.gather(of_row, row)
    segment = tf.where(time < end, row * THIRDS + time * THIRDS // end, -1)
    return segment, tf.range(THIRDS) >= of_row[:, None]
