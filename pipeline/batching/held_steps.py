"""The packed steps of a split that is held in memory whole: drawn as numbers, then gathered.

1. `_collect_values`  reads and parses the records once for all epochs
2. `draw_steps`       in each epoch, all its packed batches at once, as numbers of rows
3. `_gather_rows`     the values of one packed batch, time-major

The groups and steps of an epoch are those that `grouped_batches` draws from the same seed.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.batches import Batch
from padless.pipeline.batching.grouping import most_chunks, read_chunks
from padless.pipeline.batching.marks import ends_of_steps
from padless.pipeline.batching.packed_groups import PackedRows, pack_groups
from padless.pipeline.batching.packed_rows import finished, time_major
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
                rows, ends_step = drawn.piece(number, plan.replicas, pieces)
                return finished(_gather_rows(held, rows), ends_step)

            numbers = drawn.number_pieces(first_step, pieces)
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


def draw_steps(length: tf.Tensor, plan: BatchPlan, seed: tf.Tensor) -> PackedRows:
    """Draws an epoch's packed batches: other batch-mates, in another order.

    Args:
        length: length of each row, int64 `(rows,)`.
        plan: the plan.
        seed: int64 `()`.
    """
    first, _ = plan.length_tables()
    is_held = plan.bucket_lengths > 0
    drawn = draw_order(tf.gather(first, length), plan, is_held, seed)
    packed = pack_groups(drawn.bucket, drawn.begin, ends_of_steps(drawn.bucket, plan), plan)
    return packed._replace(rows=tf.gather(drawn.records, packed.rows))


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
