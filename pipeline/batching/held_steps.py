"""The packed steps of a split that is held in memory whole: drawn as numbers, then gathered.

1. `_collect_values`  reads and parses the records once for all epochs
2. `draw_steps`       in each epoch, all its packed batches at once, as numbers of rows
3. `_gather_rows`     the values of one packed batch, time-major

The groups and steps of an epoch are those that `grouped_batches` draws from the same seed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.batches import Batch
from padless.pipeline.batching.grouping import most_chunks, read_chunks
from padless.pipeline.batching.marks import ends_of_steps
from padless.pipeline.batching.packed_rows import deal_rows, finished, time_major
from padless.pipeline.batching.rare import checked_lengths, draw_order
from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.records import parse_ragged_examples
from padless.pipeline.planning.plan import BatchPlan


def held_steps(
    dataset: SequenceDataset,
    split: Split,
    plan: BatchPlan,
    *,
    seeds: np.ndarray,
    first_step: int,
    pieces: range,
) -> tf.data.Dataset:
    """Reads a split once, and makes the packed batches that `packed_steps` returns.

    Args:
        dataset: an opened dataset.
        split: its split.
        plan: the plan of that split.
        seeds: those of the epochs, as `Shuffle.seeds` returns them.
        first_step: steps of the first epoch to leave out.
        pieces: numbers of the pieces to take of each packed batch.
    """
    skipped = np.zeros(len(seeds), np.int64)
    skipped[:1] = first_step
    epochs = tf.data.Dataset.from_tensor_slices((seeds[:, 3], skipped))

    def read(held: Batch) -> tf.data.Dataset:
        def read_epoch(seed: tf.Tensor, first_step: tf.Tensor) -> tf.data.Dataset:
            drawn = draw_steps(held["length"], plan, seed)

            def gather(number: tf.Tensor) -> Batch:
                batch, piece = number // len(pieces), number % len(pieces) + pieces.start
                own = deal_rows(drawn.rows_of(batch), plan.replicas, piece)
                return finished(_gather_rows(held, own), tf.gather(drawn.ends_step, batch))

            first = tf.reduce_sum(tf.cast(drawn.step < first_step, tf.int64))
            last = tf.size(drawn.step, tf.int64)
            numbers = tf.data.Dataset.range(first * len(pieces), last * len(pieces))
            return numbers.map(gather, tf.data.AUTOTUNE, deterministic=True)

        return epochs.flat_map(read_epoch)

    return _collect_values(dataset, split, plan).flat_map(read)


def _collect_values(dataset: SequenceDataset, split: Split, plan: BatchPlan) -> tf.data.Dataset:
    """Reads and parses all records of a split.

    Args:
        dataset: the dataset.
        split: its split.
        plan: the plan of that split.

    Returns:
        A dataset of one element, a dict with `values` `(timesteps of all rows, features)`, row
        after row, and, `(rows,)` each, `length`, `begin` (where its values begin), and `key` and
        `label` where the records have them.

    Raises:
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts.
    """
    record_format = dataset.record_format
    chunks = (
        read_chunks(split)
        .take(most_chunks(split))
        .map(
            lambda serialized: parse_ragged_examples(serialized, record_format),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )
    _, planned = plan.length_tables()

    def collect(_: tf.Tensor) -> Batch:
        rows = _concatenate(chunks)
        length = checked_lengths(rows["length"], planned, split.name)
        return rows | {"length": length, "begin": tf.cumsum(length, exclusive=True)}

    return tf.data.Dataset.from_tensors(0).map(collect)


def _concatenate(chunks: tf.data.Dataset) -> Batch:
    """Joins the elements along their first axis, by one copy each."""
    arrays = {
        name: tf.TensorArray(
            spec.dtype, size=0, dynamic_size=True, infer_shape=False, element_shape=spec.shape
        )
        for name, spec in chunks.element_spec.items()
    }
    arrays = chunks.reduce(
        arrays,
        lambda arrays, chunk: {
            name: array.write(array.size(), chunk[name]) for name, array in arrays.items()
        },
    )
    return {name: array.concat() for name, array in arrays.items()}


class DrawnSteps(NamedTuple):
    """The packed batches of an epoch, as slices of the rows in a drawn order.

    Attributes:
        rows: numbers of the rows, those of a packed batch by falling length, int64 `(rows,)`.
        end: one past the position in `rows` of the last row of each packed batch, int64
            `(batches,)`.
        count: its number of rows, int64 `(batches,)`.
        ends_step: whether it is the last one of its step, bool `(batches,)`.
        step: number of its step, int64 `(batches,)`.
    """

    rows: tf.Tensor
    end: tf.Tensor
    count: tf.Tensor
    ends_step: tf.Tensor
    step: tf.Tensor

    def rows_of(self, batch: tf.Tensor) -> tf.Tensor:
        """Returns the numbers of the rows of a packed batch, int64 `(rows,)`."""
        end, count = tf.gather(self.end, [batch]), tf.gather(self.count, [batch])
        return tf.slice(self.rows, end - count, count)


def draw_steps(length: tf.Tensor, plan: BatchPlan, seed: tf.Tensor) -> DrawnSteps:
    """Draws an epoch's packed batches: other batch-mates, in another order.

    Args:
        length: length of each row, int64 `(rows,)`.
        plan: the plan.
        seed: int64 `()`.
    """
    first, _ = plan.length_tables()
    is_held = plan.bucket_lengths > 0
    drawn = draw_order(tf.gather(first, length), plan, is_held, seed)
    lengths = tf.gather(plan.bucket_lengths, drawn.bucket)
    ends_step = ends_of_steps(drawn.bucket, plan)
    ends_batch = ends_step
    if plan.may_cut_steps:
        ends_batch = cut_steps(drawn.size * lengths, ends_step, plan.packed_timesteps)
    number = tf.cumsum(tf.cast(ends_batch, tf.int64), exclusive=True)
    longest = int(plan.bucket_lengths.max())
    by_length = tf.argsort(number * longest - lengths, stable=True)
    rows, ends = _list_rows(
        drawn.records, tf.gather(drawn.begin, by_length), tf.gather(drawn.size, by_length)
    )
    last = tf.squeeze(tf.where(ends_batch), 1)
    end, ends_step = tf.gather(ends, last), tf.gather(ends_step, last)
    count = tf.math.segment_sum(tf.gather(drawn.size, by_length), number)
    step = tf.cumsum(tf.cast(ends_step, tf.int64), exclusive=True)
    return DrawnSteps(rows, end, count, ends_step, step)


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
    ends = tf.where(ends_step)[:, 0] + 1
    begins = tf.concat([[0], ends[:-1]], 0)

    def cut(begins: tf.Tensor, is_end: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # One packed batch of every step at once: mostly there is only one.
        fitting = tf.searchsorted(total, tf.gather(before, begins) + limit, "right", tf.int64)
        cuts = tf.minimum(tf.maximum(fitting, begins + 1), ends)
        return cuts, tf.tensor_scatter_nd_update(
            is_end, cuts[:, None] - 1, tf.ones_like(cuts, tf.bool)
        )

    _, is_end = tf.while_loop(
        lambda begins, _: tf.reduce_any(begins < ends),
        cut,
        (begins, tf.convert_to_tensor(ends_step)),
    )
    return is_end


def _gather_rows(held: Batch, rows: tf.Tensor) -> Batch:
    """Gathers the rows of a packed batch from what `_collect_values` returns.

    Args:
        held: its element.
        rows: numbers of the rows, by falling length, int64 `(rows,)`.

    Returns:
        `values` `(timesteps of these rows, features)`, time-major, and `length`, `key` and `label`
        `(rows,)`.
    """
    batch = {name: tf.gather(held[name], rows) for name in held if name != "values"}
    index = time_major(batch.pop("begin"), batch["length"])
    return batch | {"values": tf.gather(held["values"], index)}


def _list_rows(
    records: tf.Tensor, begin: tf.Tensor, size: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lists the records of slices in a row, and where each slice ends in that list."""
    ends = tf.cumsum(size)
    position = tf.range(tf.size(records, tf.int64))
    of_slice = tf.searchsorted(ends, position, side="right", out_type=tf.int64)
    shift = begin - (ends - size)
    return tf.gather(records, position + tf.gather(shift, of_slice)), ends
