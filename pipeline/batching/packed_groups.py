"""Groups in the order of an epoch, packed: as numbers alone, all at once.

`pack_groups` cuts the steps of a stretch of groups into packed batches and lists their rows.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from padless.pipeline.batching.packed_rows import deal_rows
from padless.pipeline.planning.plan import BatchPlan


class PackedRows(NamedTuple):
    """Packed batches in a row, as slices of numbers of rows.

    Attributes:
        batch_of_group: packed batch that each group is in, int64 `(groups,)`.
        rows: numbers of the rows, those of a packed batch by falling length, int64 `(rows,)`.
        end: one past the position in `rows` of the last row of each packed batch, int64
            `(batches,)`.
        count: its number of rows, int64 `(batches,)`.
        ends_step: whether it is the last one of its step, bool `(batches,)`.
        step: number of its step, counted from the first of them, int64 `(batches,)`.
    """

    batch_of_group: tf.Tensor
    rows: tf.Tensor
    end: tf.Tensor
    count: tf.Tensor
    ends_step: tf.Tensor
    step: tf.Tensor

    def number_pieces(self, first_step: tf.Tensor, pieces: range) -> tf.data.Dataset:
        """Numbers the pieces of all packed batches from a step on, as `piece` takes them."""
        first = tf.reduce_sum(tf.cast(self.step < first_step, tf.int64))
        last = tf.size(self.step, tf.int64)
        return tf.data.Dataset.range(first * len(pieces), last * len(pieces))

    def piece(self, number: tf.Tensor, replicas: int, pieces: range) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns a piece: its rows, `(rows,)`, and whether its batch ends the step, `()`."""
        batch, piece = number // len(pieces), number % len(pieces) + pieces.start
        end, count = tf.gather(self.end, [batch]), tf.gather(self.count, [batch])
        rows = tf.slice(self.rows, end - count, count)
        return deal_rows(rows, replicas, piece), tf.gather(self.ends_step, batch)


def pack_groups(
    bucket: tf.Tensor, begin: tf.Tensor, ends_step: tf.Tensor, plan: BatchPlan
) -> PackedRows:
    """Packs groups that come one after another.

    Args:
        bucket: bucket of each group, int64 `(groups,)`.
        begin: number of its first row, int64 `(groups,)`; the others are the next ones.
        ends_step: whether it is the last one of its step, bool `(groups,)`; the last of all is.
        plan: the plan.
    """
    size, length = (
        tf.gather(plan.bucket_batch_sizes, bucket),
        tf.gather(plan.bucket_lengths, bucket),
    )
    ends_batch = ends_step
    if plan.may_cut_steps:
        ends_batch = cut_steps(size * length, ends_step, plan.packed_timesteps)
    number = tf.cumsum(tf.cast(ends_batch, tf.int64), exclusive=True)
    longest = int(plan.bucket_lengths.max())
    by_length = tf.argsort(number * longest - length, stable=True)
    size = tf.gather(size, by_length)
    rows, ends = list_slices(tf.gather(begin, by_length), size)
    last = tf.squeeze(tf.where(ends_batch), 1)
    ends_step = tf.gather(ends_step, last)
    step = tf.cumsum(tf.cast(ends_step, tf.int64), exclusive=True)
    count = tf.math.segment_sum(size, number)
    return PackedRows(number, rows, tf.gather(ends, last), count, ends_step, step)


def cut_steps(timesteps: tf.Tensor, ends_step: tf.Tensor, limit: int) -> tf.Tensor:
    """Cuts steps at groups into packed batches, each as large as the limit allows.

    Args:
        timesteps: those of each group, int64 `(groups,)`.
        ends_step: whether a group is the last one of its step, bool `(groups,)`; the last is.
        limit: most timesteps of a packed batch; a group of more is one of its own.

    Returns:
        Whether a group is the last one of its packed batch, bool `(groups,)`.

    Example:
        >>> ends = cut_steps([4, 3, 3, 9, 2], [False, False, True, False, True], limit=8)
        >>> ends.numpy().tolist()
        [False, True, True, True, True]
    """
    total = tf.cumsum(tf.cast(timesteps, tf.int64))
    before = tf.concat([[0], total], 0)
    ends = tf.squeeze(tf.where(ends_step), 1) + 1
    begins = tf.concat([[0], ends[:-1]], 0)

    def cut(begins: tf.Tensor, is_end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # One packed batch of every step at once: mostly there is only one.
        fitting = tf.searchsorted(total, tf.gather(before, begins) + limit, "right", tf.int64)
        cuts = tf.minimum(tf.maximum(fitting, begins + 1), ends)
        return cuts, tf.tensor_scatter_nd_update(
            is_end, tf.expand_dims(cuts - 1, 1), tf.ones_like(cuts, tf.bool)
        )

    _, is_end = tf.while_loop(
        lambda begins, _: tf.reduce_any(begins < ends),
        cut,
        (begins, tf.convert_to_tensor(ends_step)),
    )
    return is_end


def list_slices(begin: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Lists the numbers in slices one after another.

    Args:
        begin: first number of each slice, int64 `(slices,)`.
        size: how many numbers it has, at least 1, int64 `(slices,)`.

    Returns:
        The numbers, int64 `(numbers,)`, and where each slice ends in that list, `(slices,)`.

    Example:
        >>> begin, size = tf.constant([[7, 3], [2, 3]], tf.int64)
        >>> numbers, ends = list_slices(begin, size)
        >>> numbers.numpy().tolist(), ends.numpy().tolist()
        ([7, 8, 3, 4, 5], [2, 5])
    """
    ends = tf.cumsum(size)
    position = tf.range(tf.reduce_sum(size))
    of_slice = tf.searchsorted(ends, position, side="right", out_type=tf.int64)
    return position + tf.gather(begin - (ends - size), of_slice), ends
