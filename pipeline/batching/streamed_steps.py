"""The packed steps of a split that is not held whole, made from chunks of its records.

The groups are those of `bucket_by_sequence_length`: records of a bucket are collected until they
are as many as its batches have. A thousand records are grouped in one call, where an operation for
each record and each small group took 1.7 times as long. Stages of an epoch, each from dataset to
dataset:

1. `_regroup`     complete groups leave a pool of records: as they are completed, or drawn from as
   many as `Shuffle.batch_buffer`
2. `_insert`      groups of rare lengths, held by `padless.pipeline.batching.rare`, come in at drawn
   positions
3. `_pack`        packed batches as numbers of rows; past steps are left out, unparsed
4. `_deal`        each packed batch, or for replicas a piece of it for each, in a row
5. `_parse`       one call per piece, and one that brings its values into the order of time
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.batches import Batch
from padless.pipeline.batching.grouping import (
    Shuffle,
    choose_held,
    collect_held,
    count_batches,
    read_assigned,
    seeds_of,
)
from padless.pipeline.batching.marks import Place, ends_of_steps, work_of
from padless.pipeline.batching.packed_groups import PackedRows, list_slices, pack_groups
from padless.pipeline.batching.packed_rows import finished, parse_packed
from padless.pipeline.batching.rare import DrawnOrder, draw_order, shuffled
from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.records import RecordFormat
from padless.pipeline.planning.plan import BatchPlan

# Groups in a row: `serialized` records `(records,)` string, and the `bucket` and the `begin`, the
# number of the first record, of each group, `(groups,)` int64.
Groups = dict[str, tf.Tensor]


def streamed_steps(
    dataset: SequenceDataset,
    split: Split,
    plan: BatchPlan,
    *,
    shuffle: Shuffle | None,
    epochs: range,
    first_step: int,
    pieces: range,
) -> tf.data.Dataset:
    """Reads a split epoch after epoch, as the packed batches that `packed_steps` returns.

    Args:
        dataset: an opened dataset.
        split: its split.
        plan: the plan of that split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read.
        first_step: steps of the first epoch to leave out.
        pieces: numbers of the pieces to take of each packed batch.
    """
    held = choose_held(dataset, plan, shuffle)

    def read_epoch(
        seeds: tf.Tensor, first_step: tf.Tensor, rare: tuple[tf.Tensor, ...] = ()
    ) -> tf.data.Dataset:
        chunks = read_assigned(dataset, plan, split, shuffle=shuffle, seeds=seeds)
        groups = _regroup(chunks, plan, held=held, shuffle=shuffle, seed=seeds[2])
        if rare:
            bucket, serialized = rare
            drawn = draw_order(bucket, plan, held, seeds[3])
            is_rare = _draw_places(count_batches(plan, held), seeds[4])
            groups = _insert(groups, drawn, serialized, is_rare)
        return _deal(_pack(groups, plan), plan.replicas, first_step, pieces)

    skipped = np.zeros(len(epochs), np.int64)
    skipped[:1] = first_step
    order = tf.data.Dataset.from_tensor_slices((seeds_of(shuffle, epochs), skipped))
    if held.any():
        rare = collect_held(dataset, plan, split, held)
        batches = rare.flat_map(
            lambda *rare: order.flat_map(lambda seeds, skip: read_epoch(seeds, skip, rare))
        )
    else:
        batches = order.flat_map(read_epoch)
    return _parse(batches, dataset.record_format)


def _regroup(
    chunks: tf.data.Dataset,
    plan: BatchPlan,
    *,
    held: np.ndarray,
    shuffle: Shuffle | None,
    seed: tf.Tensor,
) -> tf.data.Dataset:
    """Collects the records of each bucket into groups, but for those of buckets that are held.

    Returns:
        A dataset of `Groups`: those that are complete, in the order in which they are; or drawn
        ones, where all but `shuffle.batch_buffer` of those that are leave the pool, and at the end
        all.
    """

    def regroup(state: dict, chunk: tuple[tf.Tensor, ...]) -> tuple[dict, Groups]:
        is_last = tf.equal(tf.size(chunk[0]), 0)
        if held.any():
            chunk = _taken(chunk, tf.squeeze(tf.where(~tf.gather(held, chunk[0])), 1))
        pool = tuple(tf.concat(parts, 0) for parts in zip(state["pool"], chunk, strict=True))
        groups, begin, by_bucket = _complete_groups(pool[0], plan)
        if shuffle is not None:
            drawn = shuffled(tf.size(groups), seed, state["number"])
            leaving = tf.maximum(tf.size(drawn) - shuffle.batch_buffer, 0)
            drawn = drawn[: tf.where(is_last, tf.size(drawn), leaving)]
            groups, begin = tf.gather(groups, drawn), tf.gather(begin, drawn)
        listed, ends = list_slices(begin, size := tf.gather(plan.bucket_batch_sizes, groups))
        records = tf.gather(by_bucket, listed)
        left = {"pool": _taken(pool, _others(pool[0], records)), "number": state["number"] + 1}
        serialized = tf.gather(pool[1], records)
        return left, {"serialized": serialized, "bucket": groups, "begin": ends - size}

    nothing = {"pool": (_none(tf.int64), _none(tf.string)), "number": tf.constant(0, tf.int64)}
    return chunks.scan(nothing, regroup)


def _taken(chunk: tuple[tf.Tensor, ...], records: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns some of the records, `(records,)`, and their buckets."""
    return tuple(tf.gather(part, records) for part in chunk)


def _others(bucket: tf.Tensor, records: tf.Tensor) -> tf.Tensor:
    """Lists the numbers of the records that are not in `records`, ascending."""
    is_other = tf.tensor_scatter_nd_update(
        tf.ones_like(bucket, tf.bool),
        tf.expand_dims(records, 1),
        tf.zeros_like(records, tf.bool),
    )
    return tf.squeeze(tf.where(is_other), 1)


def _none(dtype: tf.DType) -> tf.Tensor:
    """Returns an empty tensor of shape `(None,)`: from `(0,)` on, `scan` would trace twice."""
    return tf.raw_ops.PlaceholderWithDefault(input=tf.zeros([0], dtype), shape=[None])


def _complete_groups(bucket: tf.Tensor, plan: BatchPlan) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the groups that are complete, in the order of their last records.

    Args:
        bucket: bucket of each record, int64 `(records,)`.
        plan: the plan.

    Returns:
        The bucket of each group, int64 `(groups,)`; the position of its first record among the
        records by bucket, where the others follow, int64 `(groups,)`; and the numbers of the
        records by bucket, in their order, int64 `(records,)`.
    """
    by_bucket = tf.cast(tf.argsort(bucket, stable=True), tf.int64)
    ordered = tf.gather(bucket, by_bucket)
    size = tf.gather(plan.bucket_batch_sizes, ordered)
    first = tf.searchsorted(ordered, ordered, out_type=tf.int64)
    end = tf.searchsorted(ordered, ordered, side="right", out_type=tf.int64)
    position = tf.range(tf.size(bucket, tf.int64))
    begins_group = tf.equal((position - first) % size, 0) & (position + size <= end)
    begin = tf.squeeze(tf.where(begins_group), 1)
    last = tf.gather(by_bucket, begin + tf.gather(size, begin) - 1)
    begin = tf.gather(begin, tf.argsort(last))
    return tf.gather(ordered, begin), begin, by_bucket


def _draw_places(counts: tuple[int, int], seed: tf.Tensor) -> tf.Tensor:
    """Draws which groups of an epoch are rare ones, bool `(groups,)`: every choice alike."""
    common, rare = counts
    return shuffled(common + rare, seed, 0) >= common


def _insert(
    common: tf.data.Dataset,
    drawn: DrawnOrder,
    serialized: tf.Tensor,
    is_rare: tf.Tensor,
) -> tf.data.Dataset:
    """Puts rare groups among the common ones; both keep their order.

    Args:
        common: `Groups` that are not held.
        drawn: the groups that are.
        serialized: their records, string `(records held,)`.
        is_rare: which groups of the epoch are held, bool `(groups,)`.
    """
    places = tf.squeeze(tf.where(~is_rare), 1)

    def insert(
        state: tuple[tf.Tensor, tf.Tensor], groups: Groups
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Groups]:
        place, seen = state
        seen_after = seen + tf.size(groups["bucket"], tf.int64)
        # Up to the next common group, which has not come yet.
        end = tf.concat([places, [tf.size(is_rare, tf.int64)]], 0)[seen_after]
        rare = slice(place - seen, end - seen_after)
        listed, ends = list_slices(drawn.begin[rare], size := drawn.size[rare])
        records = tf.gather(serialized, tf.gather(drawn.records, listed))
        groups = _joined(
            groups, {"serialized": records, "bucket": drawn.bucket[rare], "begin": ends - size}
        )
        # Where the common groups are to be, and then the rare ones.
        to_place = tf.argsort(tf.cast(is_rare[place:end], tf.int32), stable=True)
        by_place = tf.math.invert_permutation(to_place)
        ordered = {name: tf.gather(groups[name], by_place) for name in ("bucket", "begin")}
        return (end, seen_after), groups | ordered

    return common.scan((tf.constant(0, tf.int64), tf.constant(0, tf.int64)), insert)


def _pack(groups: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Packs the groups; those of a packed batch that is not whole wait for the next ones.

    Returns:
        A dataset of pairs: serialized records, string `(records,)`, and the packed batches of their
        numbers, as `PackedRows`, with the steps counted over the epoch.
    """

    def pack(
        state: tuple[Place, Groups], groups: Groups
    ) -> tuple[tuple[Place, Groups], tuple[tf.Tensor, PackedRows]]:
        place, groups = state[0], _joined(state[1], groups)
        bucket = groups["bucket"]
        ends_step = ends_of_steps(bucket, plan, place.remaining)
        is_last = tf.equal(tf.range(tf.size(bucket)), tf.size(bucket) - 1)
        packed = pack_groups(bucket, groups["begin"], ends_step | is_last, plan)
        is_whole = tf.cast(tf.reduce_any(ends_step & is_last), tf.int64)
        num_whole = tf.maximum(tf.size(packed.end, tf.int64) - 1 + is_whole, 0)
        waits = packed.batch_of_group >= num_whole
        whole = packed._replace(
            step=place.step + packed.step[:num_whole], ends_step=packed.ends_step[:num_whole]
        )
        done = work_of(bucket, plan) * tf.cast(~waits, tf.int64)
        after = Place(
            place.step + tf.reduce_sum(tf.cast(whole.ends_step, tf.int64)),
            place.remaining - tf.reduce_sum(done),
        )
        return (after, _selected(groups, waits, plan)), (groups["serialized"], whole)

    nothing = {
        "serialized": _none(tf.string),
        "bucket": _none(tf.int64),
        "begin": _none(tf.int64),
    }
    return groups.scan((Place.start(plan), nothing), pack)


def _joined(groups: Groups, others: Groups) -> Groups:
    """Returns groups and others after them."""
    begin = others["begin"] + tf.size(groups["serialized"], tf.int64)
    return {
        "serialized": tf.concat([groups["serialized"], others["serialized"]], 0),
        "bucket": tf.concat([groups["bucket"], others["bucket"]], 0),
        "begin": tf.concat([groups["begin"], begin], 0),
    }


def _selected(groups: Groups, is_wanted: tf.Tensor, plan: BatchPlan) -> Groups:
    """Returns some of the groups and their records alone."""
    wanted = tf.squeeze(tf.where(is_wanted), 1)
    bucket = tf.gather(groups["bucket"], wanted)
    size = tf.gather(plan.bucket_batch_sizes, bucket)
    listed, ends = list_slices(tf.gather(groups["begin"], wanted), size)
    serialized = tf.gather(groups["serialized"], listed)
    return {"serialized": serialized, "bucket": bucket, "begin": ends - size}


def _deal(
    batches: tf.data.Dataset, replicas: int, first_step: tf.Tensor, pieces: range
) -> tf.data.Dataset:
    """Deals packed batches out to the replicas, as pieces in a row, and takes some of them.

    Returns:
        A dataset of triples: serialized records, string `(records,)`, the numbers of those in the
        piece, int64 `(rows,)`, and whether the packed batch is the last one of its step.
    """

    def deal(serialized: tf.Tensor, packed: PackedRows) -> tf.data.Dataset:
        return packed.number_pieces(first_step, pieces).map(
            lambda number: (serialized, *packed.piece(number, replicas, pieces))
        )

    return batches.flat_map(deal)


def _parse(batches: tf.data.Dataset, record_format: RecordFormat) -> tf.data.Dataset:
    """Parses whole pieces, and brings their values from the order of rows into that of time."""

    def parse(serialized: tf.Tensor, rows: tf.Tensor, ends_step: tf.Tensor) -> Batch:
        return finished(parse_packed(tf.gather(serialized, rows), record_format), ends_step)

    return batches.map(parse, tf.data.AUTOTUNE, deterministic=True)
