"""The packed steps of a split that is not held whole: its groups, collected as they come.

`grouping` makes the groups of serialized records; after it, each a function from dataset to
dataset:

1. `_collect`   the groups of a packed batch, without a copy; past steps are left out, unparsed
2. `_join`      its serialized records in one tensor, and their order by falling length
3. `_deal`      for replicas: each packed batch as one piece for each in a row
4. `_parse`     one call per piece, and one that brings its values into the order of time
"""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.batching.batches import Batch
from padless.pipeline.batching.marks import Place
from padless.pipeline.batching.packed_rows import deal_rows, finished, time_major
from padless.pipeline.dataset.records import RecordFormat, parse_ragged_examples
from padless.pipeline.planning.plan import BatchPlan

# What is collected of a group: type and shape. A list takes and returns tensors as they are, where
# `tf.concat` would copy the records once more with each group.
_LISTS = {"bucket": (tf.int64, []), "serialized": (tf.string, [-1])}


def streamed_steps(
    groups: tf.data.Dataset,
    plan: BatchPlan,
    record_format: RecordFormat,
    *,
    first_step: int,
    pieces: range,
) -> tf.data.Dataset:
    """Collects groups into the packed batches that `packed_steps` returns.

    Args:
        groups: pairs as `grouped_batches` returns them.
        plan: the plan.
        record_format: how the records are read.
        first_step: steps to leave out.
        pieces: numbers of the pieces to take of each packed batch.
    """
    batches = _join(_collect(groups, plan, first_step), plan)
    return _parse(_deal(batches, plan.replicas, pieces), record_format)


def _collect(groups: tf.data.Dataset, plan: BatchPlan, first_step: int) -> tf.data.Dataset:
    """Collects the groups of each packed batch in lists of tensors, which copies no record.

    A packed batch comes out when the group after it begins another one; the last of all does when
    an empty group comes.

    Returns:
        A dataset of dicts: the `bucket` of each group and its `serialized` records, as lists with
        an entry per group, variant `()`, and `ends_step`, whether the packed batch is the last one
        of its step.
    """

    def collect(
        state: tuple[Place, Batch], group: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tuple[Place, Batch], tuple[Batch, tf.Tensor]]:
        place, before = state
        buckets, serialized = group
        bucket = tf.reduce_sum(buckets[:1])
        own = tf.size(buckets, tf.int64) * tf.gather(plan.bucket_lengths, bucket)
        together = before["timesteps"] + own
        begins = before["ends_step"] | (together > plan.packed_timesteps)
        kept = tf.where(begins, 0, before["groups"])
        after, ends_step = place.after(bucket, plan)
        now = {
            "bucket": _appended(before["bucket"], kept, bucket),
            "serialized": _appended(before["serialized"], kept, serialized),
            "groups": kept + 1,
            "timesteps": tf.where(begins, own, together),
            "step": place.step,
            "ends_step": ends_step,
        }
        collected = {name: before[name] for name in (*_LISTS, "ends_step")}
        return (after, now), (collected, begins & (before["step"] >= first_step))

    end = tf.zeros([0], tf.int64), tf.zeros([0], tf.string)
    return (
        groups.concatenate(tf.data.Dataset.from_tensors(end))
        .scan((Place.start(plan), _nothing()), collect)
        .filter(lambda collected, is_wanted: is_wanted)
        .map(lambda collected, is_wanted: collected)
    )


def _nothing() -> Batch:
    """Returns what is before the first group: it ends a step as well, which is left out."""
    return {name: _empty_list(*spec) for name, spec in _LISTS.items()} | {
        "groups": tf.constant(0),
        "timesteps": tf.constant(0, tf.int64),
        "step": tf.constant(-1, tf.int64),
        "ends_step": tf.constant(True),
    }


def _empty_list(dtype: tf.DType, shape: list[int]) -> tf.Tensor:
    return tf.raw_ops.EmptyTensorList(
        element_shape=tf.constant(shape, tf.int32), max_num_elements=-1, element_dtype=dtype
    )


def _appended(tensors: tf.Tensor, kept: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Returns the first `kept` tensors of a list and one more."""
    tensors = tf.raw_ops.TensorListResize(input_handle=tensors, size=kept)
    return tf.raw_ops.TensorListPushBack(input_handle=tensors, tensor=tensor)


def _join(batches: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Joins the records of each packed batch, and finds their order by falling length.

    Returns:
        A dataset of triples: the records, string `(rows,)`, their positions by falling length,
        int64 `(rows,)`, and whether the packed batch is the last one of its step.
    """
    sizes, lengths = tf.constant(plan.bucket_batch_sizes), tf.constant(plan.bucket_lengths)

    def join(batch: Batch) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        bucket = tf.raw_ops.TensorListStack(
            input_handle=batch["bucket"],
            element_shape=tf.constant([], tf.int32),
            element_dtype=tf.int64,
        )
        serialized = tf.raw_ops.TensorListConcatV2(
            input_handle=batch["serialized"],
            element_dtype=tf.string,
            element_shape=tf.constant([-1], tf.int32),
            leading_dims=tf.constant([], tf.int64),
        )[0]
        falling = -tf.repeat(tf.gather(lengths, bucket), tf.gather(sizes, bucket))
        rows = tf.cast(tf.argsort(falling, stable=True), tf.int64)
        return serialized, rows, batch["ends_step"]

    return batches.map(join)


def _deal(batches: tf.data.Dataset, replicas: int, pieces: range) -> tf.data.Dataset:
    """Deals each packed batch out to the replicas, as pieces in a row, and takes some of them."""
    if replicas == 1:
        return batches

    def deal(serialized: tf.Tensor, rows: tf.Tensor, ends_step: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.range(pieces.start, pieces.stop).map(
            lambda piece: (serialized, deal_rows(rows, replicas, piece), ends_step)
        )

    return batches.flat_map(deal)


def _parse(batches: tf.data.Dataset, record_format: RecordFormat) -> tf.data.Dataset:
    """Parses whole packed batches, and brings their values from the order of rows into time's."""

    def parse(serialized: tf.Tensor, rows: tf.Tensor, ends_step: tf.Tensor) -> Batch:
        batch = parse_ragged_examples(tf.gather(serialized, rows), record_format)
        length = batch["length"]
        index = time_major(tf.cumsum(length, exclusive=True), length)
        return finished(batch | {"values": tf.gather(batch["values"], index)}, ends_step)

    return batches.map(parse, tf.data.AUTOTUNE, deterministic=True)
