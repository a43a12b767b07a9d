"""The rows of a packed batch: which of them a replica gets, and where their values lie.

`Packing` holds the whole layout; reading needs one part of it, once per batch, and gets it here in
a third of the time.
"""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.dataset.records import RecordFormat, parse_ragged_examples


def deal_rows(rows: tf.Tensor, replicas: int, piece: tf.Tensor | int) -> tf.Tensor:
    """Deals the rows of a packed batch out to the replicas, and returns those of one.

    Rows are dealt in turns that change direction, 0, 1, 2, 2, 1, 0, 0, and so on. As they come by
    falling length, every replica gets about the same lengths and timesteps.

    Args:
        rows: numbers of the rows, int64 `(rows,)`.
        replicas: number of replicas that share them.
        piece: number of the replica, int64 `()`.

    Returns:
        Its rows, int64 `(fewer rows,)`; some have none where replicas outnumber rows.

    Example:
        >>> [deal_rows(tf.range(7), 3, piece).numpy().tolist() for piece in range(3)]
        [[0, 5, 6], [1, 4], [2, 3]]
    """
    if replicas == 1:
        return rows
    count, piece = tf.size(rows, tf.int64), tf.cast(piece, tf.int64)
    turns = tf.range(-(-count // replicas))
    taken = turns * replicas + tf.where(turns % 2 == 0, piece, replicas - 1 - piece)
    return tf.gather(rows, tf.boolean_mask(taken, taken < count))


def time_major(begin: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Finds where the values of each timestep lie, for rows whose values lie row after row.

    Args:
        begin: where the values of each row begin, int64 `(rows,)`.
        length: timesteps of each row, falling, int64 `(rows,)`.

    Returns:
        Positions, int64 `(timesteps of all rows,)`: those of the first timestep of all rows, then
        those of the second of the rows that have one, and so on.

    Example:
        >>> begin, length = tf.constant([[10, 20, 30], [3, 1, 1]], tf.int64)
        >>> time_major(begin, length).numpy()
        array([10, 20, 30, 11, 12])
    """
    # An empty maximum is the least number.
    longest = tf.maximum(tf.reduce_max(length), 0)
    timesteps = tf.expand_dims(tf.range(longest), 1)
    return tf.gather_nd(begin + timesteps, tf.where(timesteps < length))


def parse_packed(serialized: tf.Tensor, record_format: RecordFormat) -> dict[str, tf.Tensor]:
    """Parses serialized examples, which come by falling length, as one packed batch.

    Takes and raises what `parse_ragged_examples` does, and returns the `values` in the order of
    time instead of row after row.
    """
    batch = parse_ragged_examples(serialized, record_format)
    length = batch["length"]
    index = time_major(tf.cumsum(length, exclusive=True), length)
    return batch | {"values": tf.gather(batch["values"], index)}


def finished(batch: dict[str, tf.Tensor], ends_step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Adds to a packed batch the weight of its rows, and whether it is the last one of its step."""
    weight = tf.ones_like(batch["length"], tf.float32)
    return batch | {"weight": weight, "ends_step": ends_step}
