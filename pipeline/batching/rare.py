"""Rare lengths: held in memory, so that their batches come anywhere in an epoch.

Records in a random order fill the n batches of a length at about 1/n, 2/n, ... n/n of an epoch. So
each length has its last batch at the very end; a rare length has no other, and the last fifth of an
epoch gets too many of them. No buffer after the grouping corrects that but one of the size of the
data. Instead the records of the rarest lengths, or all where they fit, are read before the first
epoch and held:

1. `rare_buckets`   which buckets are held: what drift allows, within a bound of memory (NumPy)
2. `collect_rare`   reads the records once and collects those of these buckets
3. `draw_rare`      in each epoch, new batches of them in a new order
4. `release`        puts these at drawn positions among the other batches

Steps 3 and 4 draw uniformly: a held batch is equally likely at any position.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.damage import too_few_records, too_many_records
from padless.pipeline.dataset.records import RecordFormat, parse_lengths
from padless.pipeline.planning.plan import BatchPlan

# Key, label, the example's own bytes and the string's header.
_BYTES_PER_RECORD = 128
_BYTES_PER_VALUE = 4
# Of the drift in the last fifth that the lengths left to the grouping may cause. The bound adds up
# long and short lengths and takes each last batch as wholly late; measured, it is below a half.
_DRIFT = 0.05


def rare_buckets(plan: BatchPlan, num_features: int, max_bytes: int) -> np.ndarray:
    """Chooses the buckets to hold: all that fit, or the rarest until the rest causes little drift.

    A split that fits is held whole: it is then read once for all epochs, which is cheaper than
    to group it again in each, and its batch-mates are drawn from all of it.

    If the last batch of each length comes in the last fifth of an epoch, the mean length there is
    off by at most `sum |length / mean - 1| * size / (sequences / 5)`, relative to the mean. Where
    that is within 5 %, as in data with very many sequences per length, nothing more is held.

    Args:
        plan: the plan.
        num_features: values per timestep.
        max_bytes: most bytes of the records held.

    Returns:
        Whether each bucket is held, bool `(buckets,)`; buckets of one length go together.
    """
    first = first_buckets(plan)
    groups, of_group = np.unique(first, return_inverse=True)
    batches = np.bincount(of_group, plan.bucket_num_batches)
    records = np.bincount(of_group, plan.bucket_num_batches * plan.bucket_batch_sizes)
    lengths = plan.bucket_lengths[groups]
    mean = plan.num_timesteps / plan.num_sequences
    late = np.abs(lengths / mean - 1) * records / batches / (plan.num_sequences / 5)
    group_bytes = np.bincount(of_group, bucket_bytes(plan, num_features))
    rarest = np.lexsort((records, batches))
    left_late = late[rarest][::-1].cumsum()[::-1]
    held = np.zeros(len(groups), bool)
    needed = (left_late > _DRIFT) | (group_bytes.sum() <= max_bytes)
    held[rarest] = needed & (group_bytes[rarest].cumsum() <= max_bytes)
    return held[of_group]


def bucket_bytes(plan: BatchPlan, num_features: int) -> np.ndarray:
    """Bounds the bytes of each bucket's records, int64 `(buckets,)`, keys of 64 bytes included."""
    of_record = plan.bucket_lengths * num_features * _BYTES_PER_VALUE + _BYTES_PER_RECORD
    return of_record * plan.bucket_batch_sizes * plan.bucket_num_batches


def describe_held(plan: BatchPlan, num_features: int, max_bytes: int) -> str:
    """Describes in one line what `rare_buckets` chooses."""
    held = rare_buckets(plan, num_features, max_bytes)
    records = (plan.bucket_batch_sizes * plan.bucket_num_batches)[held].sum()
    mebibytes = bucket_bytes(plan, num_features)[held].sum() / 2**20
    lengths = len(np.unique(plan.bucket_lengths[held]))
    return f"held in memory: {records:,} sequences of {lengths:,} lengths, {mebibytes:,.1f} MiB"


def first_buckets(plan: BatchPlan) -> np.ndarray:
    """Returns for each bucket the first of those that share its records, int64 `(buckets,)`."""
    _, first, inverse = np.unique(plan.bucket_lengths, return_index=True, return_inverse=True)
    return first[inverse]


def collect_rare(
    chunks: tf.data.Dataset,
    record_format: RecordFormat,
    plan: BatchPlan,
    *,
    held: np.ndarray,
    split: str,
) -> tf.data.Dataset:
    """Reads all records once and collects those of the buckets that are held.

    Args:
        chunks: all serialized records, string `(records,)`, in an order that does not change.
        record_format: how they are read.
        plan: the plan.
        held: whether each bucket is held, bool `(buckets,)`.
        split: name of the split, for errors.

    Returns:
        A dataset of one element: the records' first bucket, int64 `(records,)`, and the records,
        string `(records,)`.
    """
    first, counts = plan.length_tables()
    planned = np.where(held[first], counts, 0)

    def select(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        lengths = parse_lengths(serialized, record_format)
        known = tf.clip_by_value(lengths, 0, len(counts) - 1)
        in_plan = (lengths == known) & (tf.gather(counts, known) > 0)
        # A length that is not in the plan is kept, and rejected below: no other reading follows.
        wanted = ~in_plan | (tf.gather(planned, known) > 0)
        lengths = tf.where(in_plan, known, -1)
        return tf.boolean_mask(lengths, wanted), tf.boolean_mask(serialized, wanted)

    def check(lengths: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather(first, checked_lengths(lengths, planned, split)), serialized

    none = tf.data.Dataset.from_tensors((tf.zeros([0], tf.int64), tf.zeros([0], tf.string)))
    return (
        chunks.map(select, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .rebatch(int(planned.sum()) + 1)
        .concatenate(none)
        .take(1)
        .map(check)
    )


def checked_lengths(lengths: tf.Tensor, planned: np.ndarray, split: str) -> tf.Tensor:
    """Checks that the records are those that the plan counts, and returns their lengths.

    Args:
        lengths: of all records, int64 `(records,)`.
        planned: number of records of each length, from 0 to the longest, int64 `(longest + 1,)`.
        split: name of the split, for errors.

    Raises:
        tf.errors.InvalidArgumentError: when run, if they are not.
    """
    is_known = (lengths >= 0) & (lengths < len(planned))
    known = tf.cast(tf.where(is_known, lengths, 0), tf.int32)
    seen = tf.math.bincount(known, minlength=len(planned), dtype=tf.int64)
    not_many = tf.reduce_all(is_known) & tf.reduce_all(seen <= planned)
    not_few = ~not_many | tf.reduce_all(seen == planned)
    checks = [
        tf.debugging.Assert(not_many, [too_many_records(split)]),
        tf.debugging.Assert(not_few, [too_few_records(split)]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(lengths)


def draw_rare(
    bucket: tf.Tensor, serialized: tf.Tensor, *, plan: BatchPlan, held: np.ndarray, seed: tf.Tensor
) -> tf.data.Dataset:
    """Draws an epoch's batches from the records held: other batch-mates, in another order.

    Args:
        bucket: first bucket of each record, int64 `(records,)`.
        serialized: the records, string `(records,)`.
        plan: the plan.
        held: whether each bucket is held, bool `(buckets,)`.
        seed: int64 `()`.

    Returns:
        A dataset of pairs, the bucket once per record and the records, `(batch,)` each.
    """
    drawn = draw_order(bucket, plan, held, seed)

    def take(number: tf.Tensor, size: tf.Tensor, begin: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = drawn.records[begin : begin + size]
        return tf.fill([size], number), tf.gather(serialized, index)

    return tf.data.Dataset.from_tensor_slices((drawn.bucket, drawn.size, drawn.begin)).map(take)


class DrawnOrder(NamedTuple):
    """The batches of an epoch, as slices of the records in a drawn order.

    Attributes:
        records: numbers of the records, those of a bucket in a row, int64 `(records,)`.
        bucket: bucket of each batch, int64 `(batches,)`.
        size: records of each batch, int64 `(batches,)`.
        begin: position of its first one in `records`, int64 `(batches,)`.
    """

    records: tf.Tensor
    bucket: tf.Tensor
    size: tf.Tensor
    begin: tf.Tensor


def draw_order(bucket: tf.Tensor, plan: BatchPlan, held: np.ndarray, seed: tf.Tensor) -> DrawnOrder:
    """Draws the batches that `draw_rare` makes of the records held, as numbers alone.

    Args:
        bucket: first bucket of each record, int64 `(records,)`.
        plan: the plan.
        held: whether each bucket is held, bool `(buckets,)`.
        seed: int64 `()`.
    """
    buckets = np.repeat(np.flatnonzero(held), plan.bucket_num_batches[held])
    sizes = plan.bucket_batch_sizes[buckets]
    table = np.stack([buckets, sizes, sizes.cumsum() - sizes])
    drawn = shuffled(tf.size(bucket, out_type=tf.int64), seed, 0)
    records = tf.gather(drawn, tf.argsort(tf.gather(bucket, drawn), stable=True))
    return DrawnOrder(
        records, *tf.unstack(tf.gather(table, shuffled(len(buckets), seed, 1), axis=1))
    )


def release(
    common: tf.data.Dataset, rare: tf.data.Dataset, counts: tuple[int, int], seed: tf.Tensor
) -> tf.data.Dataset:
    """Puts the rare batches at drawn positions among the common ones; both keep their order.

    Every choice of positions is equally likely: a rare batch comes next with the share of rare ones
    among those that are left (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S).

    Args:
        common: batches.
        rare: batches of the same structure.
        counts: how many there are of each.
        seed: int64 `()`.
    """

    def draw(left: tf.Tensor, position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = tf.random.stateless_uniform(
            [], tf.stack([seed, position]), maxval=tf.reduce_sum(left), dtype=tf.int64
        )
        choice = tf.cast(drawn >= left[0], tf.int64)
        return left - tf.one_hot(choice, 2, dtype=tf.int64), choice

    choices = tf.data.Dataset.range(sum(counts)).scan(tf.constant(counts, tf.int64), draw)
    return tf.data.Dataset.choose_from_datasets([common, rare], choices)


def shuffled(size: tf.Tensor | int, seed: tf.Tensor, purpose: tf.Tensor | int) -> tf.Tensor:
    """Returns the numbers below `size` in an order that two numbers draw, int64 `(size,)`."""
    numbers = tf.range(tf.cast(size, tf.int64))
    return tf.random.experimental.stateless_shuffle(numbers, tf.stack([seed, purpose]))
