"""The packed steps: all groups of a step as one batch, without one padded timestep.

A split that fits in memory is drawn and gathered by `padless.pipeline.batching.held_steps`. Of a
larger one, or of one in the order of its records, `grouping` makes the groups of serialized
records; after it, each a function from dataset to dataset:

1. `mark_steps`   each group gets its step; the one that fills the budget ends it
2. `skip_steps`   where a run resumes in mid-epoch: leaves out its past steps, unparsed
3. `_collect`     the groups of a packed batch, collected without a copy
4. `_join`        its serialized records in one tensor, and their order by falling length
5. `_deal`        for replicas: each packed batch as one piece for each in a row
6. `_parse`       one call per piece, and one that brings its values into the order of time
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.batches import Batch, check_first_step, mark_steps, skip_steps
from padless.pipeline.batching.grouping import (
    Shuffle,
    choose_held,
    grouped_batches,
    planned_split,
)
from padless.pipeline.batching.held_steps import collect_values, draw_steps, gather_rows
from padless.pipeline.batching.packed_rows import deal_rows, time_major
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.records import RecordFormat, parse_ragged_examples
from padless.pipeline.planning.plan import BatchPlan


@tf.autograph.experimental.do_not_convert
def packed_steps(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
    first_step: int = 0,
    pieces: range | None = None,
) -> tf.data.Dataset:
    """Reads a split as packed batches: many lengths at once and nothing padded.

    The rows of a packed batch are sorted by falling length, and their values lie time-major without
    gaps: those of the first timestep of all rows, then those of the second of the rows that have
    one, and so on. So `length` says everything about where they are, as in PyTorch's
    `PackedSequence`.

    A step is one packed batch, or several if it has more than `plan.packed_timesteps`. In each
    epoch every sequence comes exactly once. The sequences of a step and the order of the steps
    are fixed by the data, the plan, `shuffle` and the number of the epoch, whatever the number of
    replicas; each epoch draws another order and other batch-mates.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths, with a `group_size`. Each packed batch comes as
            `plan.replicas` pieces in a row, of about the same lengths and timesteps, without filler
            rows; of fewer rows than replicas some pieces are empty.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read; `range(3, 10)` continues where `range(3)` ended.
        first_step: steps of the first of these epochs to leave out.
        pieces: where several machines share a batch, the numbers of the pieces of this machine;
            None for all.

    Returns:
        A dataset of dicts with

        - `values`: `(timesteps of all rows, features)` float32, raw units, time-major;
        - `length`: `(rows,)` int64, falling;
        - `weight`: `(rows,)` float32, 1;
        - `key` and `label`: `(rows,)` string, where the records have them;
        - `ends_step`: `()` bool, whether the packed batch is the last one of its step.

        tf.data does not tune it, see `padless.pipeline.batching.untuned`.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths or has no
            `group_size`, an epoch has no step `first_step`, or the plan has not all of `pieces`.
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts. `padless.pipeline.batching.damage.explained` names the file.

    Example:
        Counts the sequences of each step::

            plan = plan_batches(dataset.split("train").lengths, batch_size=64, group_size=8)
            for batch in packed_steps(dataset, plan, shuffle=Shuffle(0)):
                print(len(batch["length"]), "sequences,", len(batch["values"]), "timesteps")
    """
    pieces = range(plan.replicas) if pieces is None else pieces
    _check(plan, first_step, pieces)
    source = planned_split(dataset, plan, split)
    if shuffle is not None and choose_held(dataset, plan, shuffle).all():
        held = collect_values(dataset, source, plan)
        steps = _held_steps(held, plan, shuffle.seeds(epochs), first_step, pieces)
    else:
        groups = grouped_batches(dataset, plan, split=split, shuffle=shuffle, epochs=epochs)
        steps = _grouped_steps(groups, plan, dataset.record_format, first_step, pieces)
    return untuned(steps.prefetch(tf.data.AUTOTUNE))


def _check(plan: BatchPlan, first_step: int, pieces: range) -> None:
    if plan.group_size is None:
        raise ValueError("`plan` must have a `group_size` for packed steps, got None.")
    check_first_step(plan, first_step)
    if pieces.step != 1 or not 0 <= pieces.start < pieces.stop <= plan.replicas:
        raise ValueError(
            f"`pieces` must be some in a row of the {plan.replicas} of the plan, got {pieces}."
        )


def _held_steps(
    held: tf.data.Dataset, plan: BatchPlan, seeds: np.ndarray, first_step: int, pieces: range
) -> tf.data.Dataset:
    """Reads the packed batches of epochs from a split that is held."""
    skipped = np.zeros(len(seeds), np.int64)
    skipped[:1] = first_step
    epochs = tf.data.Dataset.from_tensor_slices((seeds[:, 3], skipped))

    def read(held: Batch) -> tf.data.Dataset:
        def draw(seed: tf.Tensor, skip: tf.Tensor) -> tf.data.Dataset:
            drawn = draw_steps(held["length"], plan, seed)
            first = tf.reduce_sum(tf.cast(drawn.step < skip, tf.int64))
            numbers = tf.data.Dataset.range(
                first * len(pieces), tf.size(drawn.step, tf.int64) * len(pieces)
            )

            def take(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                batch = number // len(pieces)
                rows = drawn.rows[drawn.begin[batch] : drawn.end[batch]]
                piece = number % len(pieces) + pieces.start
                return _piece_of(rows, plan.replicas, piece), drawn.ends_step[batch]

            return numbers.map(take)

        def gather(rows: tf.Tensor, ends_step: tf.Tensor) -> Batch:
            return _finished(gather_rows(held, rows), ends_step)

        return epochs.flat_map(draw).map(gather, tf.data.AUTOTUNE, deterministic=True)

    return held.flat_map(read)


def _grouped_steps(
    groups: tf.data.Dataset,
    plan: BatchPlan,
    record_format: RecordFormat,
    first_step: int,
    pieces: range,
) -> tf.data.Dataset:
    """Reads the packed batches of epochs from the groups of serialized records."""
    groups = mark_steps(groups, plan)
    if first_step:
        groups = skip_steps(groups, first_step)
    batches = _deal(_join(_collect(groups, plan), plan), plan.replicas, pieces)

    def parse(serialized: tf.Tensor, rows: tf.Tensor, ends_step: tf.Tensor) -> Batch:
        batch = parse_ragged_examples(tf.gather(serialized, rows), record_format)
        index = time_major(tf.cumsum(batch["length"], exclusive=True), batch["length"])
        return _finished(batch | {"values": tf.gather(batch["values"], index)}, ends_step)

    return batches.map(parse, tf.data.AUTOTUNE, deterministic=True)


def _collect(groups: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Collects the groups of each packed batch in lists of tensors, which copies no record.

    A packed batch comes out when the group after it begins another one; the last of all does when
    an empty group comes.

    Returns:
        A dataset of dicts: the `bucket` of each group and its `serialized` records, as lists with
        an entry per group, variant `()`, and `ends_step`, whether the packed batch is the last one
        of its step.
    """
    lengths = tf.constant(plan.bucket_lengths)

    def collect(state: Batch, group: Batch) -> tuple[Batch, tuple[Batch, tf.Tensor]]:
        rows = tf.size(group["serialized"], tf.int64)
        timesteps = rows * tf.gather(lengths, group["bucket"])
        together = state["timesteps"] + timesteps
        begins = state["ends_step"] | (together > plan.packed_timesteps)
        kept = tf.where(begins, 0, state["groups"])
        new = {name: _appended(state[name], kept, group[name]) for name in _LISTS} | {
            "groups": kept + 1,
            "timesteps": tf.where(begins, timesteps, together),
            "ends_step": group["ends_step"],
        }
        collected = {name: state[name] for name in (*_LISTS, "ends_step")}
        return new, (collected, begins & (state["groups"] > 0))

    # What comes before the first group ends a step as well, and holds nothing.
    start = {name: _empty_list(*spec) for name, spec in _LISTS.items()} | {
        "groups": tf.constant(0),
        "timesteps": tf.constant(0, tf.int64),
        "ends_step": tf.constant(True),
    }
    last = {
        "serialized": tf.zeros([0], tf.string),
        "bucket": tf.constant(0, tf.int64),
        "ends_step": tf.constant(True),
    }
    return (
        groups.map(lambda group: {name: group[name] for name in last})
        .concatenate(tf.data.Dataset.from_tensors(last))
        .scan(start, collect)
        .filter(lambda collected, is_whole: is_whole)
        .map(lambda collected, is_whole: collected)
    )


# What is collected of a group: type and shape. A list takes and returns tensors as they are, where
# `tf.concat` would copy the records once more with each group.
_LISTS = {"bucket": (tf.int64, []), "serialized": (tf.string, [-1])}


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
            lambda piece: (serialized, _piece_of(rows, replicas, piece), ends_step)
        )

    return batches.flat_map(deal)


def _piece_of(rows: tf.Tensor, replicas: int, piece: tf.Tensor) -> tf.Tensor:
    if replicas == 1:
        return rows
    return tf.gather(rows, deal_rows(tf.size(rows), replicas, piece))


def _finished(batch: Batch, ends_step: tf.Tensor) -> Batch:
    weight = tf.ones_like(batch["length"], tf.float32)
    return batch | {"weight": weight, "ends_step": ends_step}
