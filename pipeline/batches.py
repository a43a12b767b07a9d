"""The tf.data batches: every sequence once per epoch, grouped by length, nothing padded.

Only a plan whose `max_padding` is above 0 may group neighbouring lengths and pad them to one.

Stages, each a function from dataset to dataset:

1. `_read_records`   shards in a drawn order, interleaved; records drawn from a buffer
2. `_assign_buckets` the lengths alone are parsed, a thousand records at a time, and each record
   gets its bucket of the plan
3. `_group`          serialized records of one bucket are collected, as by
   `bucket_by_sequence_length`
4. `_mix`            batches drawn from a buffer, as rare lengths fill their batches late
5. `_mark_steps`     each batch gets its step; the one that fills the budget ends it
6. `_skip_steps`     where a run goes on in mid-epoch: steps that it has had, not yet parsed
7. `_fill`           rows of weight 0 up to a multiple of the replicas
8. `_cut`            for replicas: each batch as equal pieces in a row
9. `_parse`          one call per batch, not per record: this is what makes the input cheap
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from padless.pipeline.directory import SequenceDataset, Split
from padless.pipeline.plan import BatchPlan
from padless.pipeline.records import (
    RecordFormat,
    parse_examples,
    parse_lengths,
    parse_padded_examples,
)

_LENGTHS_PARSED_AT_ONCE = 1024
_SHARDS_READ_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Shuffle:
    """What draws the order of an epoch, and the memory it may use for that.

    Attributes:
        seed: of the run; with the epoch's number it fixes the order.
        record_buffer: serialized records to draw from.
        batch_buffer: batches of serialized records to draw from.

    Raises:
        ValueError: if a buffer is below 1 or the seed is negative.
    """

    seed: int
    record_buffer: int = 10_000
    batch_buffer: int = 256

    def __post_init__(self):
        for name, least in {"seed": 0, "record_buffer": 1, "batch_buffer": 1}.items():
            if (value := getattr(self, name)) < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")

    def seeds(self, epochs: range) -> np.ndarray:
        """Draws the seeds of the stages that shuffle, int64 `(epochs, 3)`."""
        words = [
            np.random.SeedSequence((self.seed, epoch)).generate_state(3, np.uint64)
            for epoch in epochs
        ]
        words = np.array(words, np.uint64).reshape(len(epochs), 3)
        return (words >> np.uint64(1)).astype(np.int64)


def equal_length_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
    first_step: int = 0,
) -> tf.data.Dataset:
    """Reads a split as batches of equal length, epoch after epoch.

    In each epoch every sequence comes exactly once with weight 1. The order is fixed by the data,
    `shuffle.seed` and the number of the epoch, whatever `tf.random.set_seed` was given; each epoch
    draws another order and other batch-mates.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read; `range(3, 10)` goes on where `range(3)` ended.
        first_step: steps of the first of these epochs to leave out; their values are not parsed.

    Returns:
        A dataset of dicts with

        - `sequence`: `(batch, timesteps, features)` float32, raw units;
        - `length`: `(batch,)` int64, each equal to `timesteps`; where the plan merges lengths, at
          most that, and `sequence` holds zeros from there on;
        - `weight`: `(batch,)` float32, 1, or 0 for a row repeated to fill up to the replicas;
        - `ends_step`: `()` bool, whether the batch is the last one of its step;
        - `key` and `label`: `(batch,)` string, where the records have them.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths, or an epoch has no
            step `first_step`.
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts. `padless.pipeline.damage.explained` names the file.
    """
    start = _Start(epochs, first_step)
    batches = _serialized_batches(dataset, plan, dataset.split(split), shuffle, start)
    return _parse(batches, dataset.record_format, plan).apply(start.counted(plan.num_batches))


def replica_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
    first_step: int = 0,
    pieces: range | None = None,
) -> tf.data.Dataset:
    """Reads what `equal_length_batches` reads, each batch as `plan.replicas` equal pieces in a row.

    This is what `Strategy.distribute_datasets_from_function` deals out to the replicas of a
    machine: each gets the same legal shape, `(batch / replicas, timesteps, features)`. Where
    several machines share a batch, `pieces` are the numbers of those of this one; None for all.
    """
    start = _Start(epochs, first_step)
    pieces = range(plan.replicas) if pieces is None else pieces
    batches = _serialized_batches(dataset, plan, dataset.split(split), shuffle, start)
    batches = _cut(batches, plan.replicas, pieces)
    count = plan.num_batches * len(pieces)
    return _parse(batches, dataset.record_format, plan).apply(start.counted(count))


@dataclasses.dataclass(frozen=True, slots=True)
class _Start:
    """The epochs to read, and the step of the first of them to begin with."""

    epochs: range
    first_step: int

    def skips(self) -> np.ndarray:
        """Tells how many steps to leave out in each epoch, int64 `(epochs,)`."""
        return np.where(np.arange(len(self.epochs)) == 0, self.first_step, 0)

    def counted(self, elements_per_epoch: int):
        """Makes the stage that says how many elements come: Keras' `fit` then knows as well.

        How many batches the steps left out had shows only when they are read.
        """
        if self.first_step:
            return lambda batches: batches
        return tf.data.experimental.assert_cardinality(elements_per_epoch * len(self.epochs))


def _serialized_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    split: Split,
    shuffle: Shuffle | None,
    start: _Start,
) -> tf.data.Dataset:
    """Runs the stages up to `_fill`: dicts of `serialized`, `weight`, `bucket`, `ends_step`.

    One dataset spans the epochs, as to take down an iterator under a strategy and make the next
    one takes longer than an epoch of a small dataset.
    """
    if dict(plan.lengths) != dict(split.lengths):
        raise ValueError(
            f"The plan must be for the lengths of split {split.name!r}: it counts "
            f"{plan.num_sequences} sequences, the split has {split.num_sequences}"
            f"{'' if plan.num_sequences != split.num_sequences else ' of other lengths'}."
        )
    if not 0 <= start.first_step < plan.steps_per_epoch:
        raise ValueError(
            f"`first_step` must be from 0 to {plan.steps_per_epoch - 1}, got {start.first_step}."
        )
    files = [str(file) for file in split.files]

    def epoch(seeds, skipped):
        # This graph's own seed, in place of one set for the whole program: the order is `seeds`'.
        tf.compat.v1.get_default_graph().seed = 1
        records = _read_records(files, shuffle, seeds)
        records = _assign_buckets(records, dataset.record_format, plan, split.name)
        batches = _mark_steps(_mix(_group(records, plan), shuffle, seeds), plan)
        if start.first_step:
            batches = _skip_steps(batches, skipped)
        return _fill(batches, plan.replicas)

    epochs = start.epochs
    seeds = np.zeros((len(epochs), 3), np.int64) if shuffle is None else shuffle.seeds(epochs)
    return tf.data.Dataset.from_tensor_slices((seeds, start.skips())).flat_map(epoch)


def _read_records(files: list[str], shuffle: Shuffle | None, seeds) -> tf.data.Dataset:
    if shuffle is None:
        return tf.data.TFRecordDataset(files)
    return (
        _draw(tf.data.Dataset.from_tensor_slices(files), len(files), seeds[0])
        .interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(len(files), _SHARDS_READ_AT_ONCE),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .apply(lambda records: _draw(records, shuffle.record_buffer, seeds[1]))
    )


def _draw(elements: tf.data.Dataset, buffer_size: int, seed) -> tf.data.Dataset:
    return elements.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)


def _assign_buckets(
    records: tf.data.Dataset, record_format: RecordFormat, plan: BatchPlan, split: str
) -> tf.data.Dataset:
    """Pairs each record with its bucket: the first of its run until that is full, then the next.

    Counting here is what guarantees that an epoch is the plan: a record too many is an error at
    once, a record too few at the end, which an empty chunk marks. Lengths are counted each on its
    own, so that one too many does not hide one too few of a length it is merged with.
    """
    first, planned = _length_tables(plan)
    capacity = plan.bucket_batch_sizes * plan.bucket_num_batches
    longest = len(planned) - 1

    def assign(seen, serialized):
        lengths = parse_lengths(serialized, record_format)
        known = tf.clip_by_value(lengths, 0, longest)
        bucket = tf.gather(first, known)
        rank = tf.gather(seen["bucket"], bucket) + _rank_among_equals(bucket)
        seen = {"bucket": _count(seen["bucket"], bucket), "length": _count(seen["length"], known)}
        counted = tf.gather(seen["length"], known) <= tf.gather(planned, known)
        at_end = tf.equal(tf.size(serialized), 0)
        complete = tf.reduce_all(seen["length"] == planned)
        checks = [
            tf.debugging.Assert(tf.reduce_all(counted & (lengths == known)), [_too_many(split)]),
            tf.debugging.Assert(~at_end | complete, [_too_few(split)]),
        ]
        with tf.control_dependencies(checks):
            bucket += tf.cast(rank >= tf.gather(capacity, bucket), tf.int64)
        return seen, (bucket, serialized)

    end = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))
    none = {"bucket": tf.zeros_like(capacity), "length": tf.zeros_like(planned)}
    return records.batch(_LENGTHS_PARSED_AT_ONCE).concatenate(end).scan(none, assign).unbatch()


def _length_tables(plan: BatchPlan) -> tuple[np.ndarray, np.ndarray]:
    """Tabulates by length: the first bucket of its run, the sequences planned."""
    lengths = list(plan.lengths)
    first, planned = np.zeros((2, max(lengths) + 1), np.int64)
    first[lengths] = np.searchsorted(plan.bucket_lengths, lengths)
    planned[lengths] = list(plan.lengths.values())
    return first, planned


def _count(seen: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return tf.tensor_scatter_nd_add(seen, values[:, None], tf.ones_like(values))


def _rank_among_equals(values: tf.Tensor) -> tf.Tensor:
    """Counts, for each of `values` `(n,)` int64, the equal ones before it."""
    order = tf.argsort(values, stable=True)
    ordered = tf.gather(values, order)
    positions = tf.range(tf.size(values, out_type=tf.int64))
    rank = positions - tf.searchsorted(ordered, ordered, out_type=tf.int64)
    return tf.scatter_nd(order[:, None], rank, tf.shape(values, out_type=tf.int32))


def _group(records: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Collects the serialized records of each bucket into `(batch,)`.

    This is `bucket_by_sequence_length`, which is `group_by_window` behind a key function, without
    that function: it compares each record with every boundary, 41 microseconds of CPU a record
    where a key that is already there costs 8. A test holds the two to the same batches.
    """
    sizes = tf.constant(plan.bucket_batch_sizes)
    return records.group_by_window(
        key_func=lambda bucket, serialized: bucket,
        reduce_func=lambda bucket, window: window.batch(sizes[bucket]),
        window_size_func=lambda bucket: sizes[bucket],
    )


def _mix(batches: tf.data.Dataset, shuffle: Shuffle | None, seeds) -> tf.data.Dataset:
    return batches if shuffle is None else _draw(batches, shuffle.batch_buffer, seeds[2])


def _mark_steps(batches: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Ends a step where the cost that remains falls to or below a multiple of the budget.

    Counting up would tell as well where the budget is full, but could end an epoch one step early:
    a last batch that reaches past the last multiple leaves no batch for the step behind it.
    """
    costs = tf.constant(plan.bucket_batch_sizes * plan.budget.cost(plan.bucket_lengths))
    limit = plan.budget.limit

    def mark(before, batch):
        buckets, serialized = batch
        after = before - tf.gather(costs, buckets[0])
        steps_left, steps_left_after = (before - 1) // limit, (after - 1) // limit
        return after, {
            "serialized": serialized,
            "bucket": buckets[0],
            "step": plan.steps_per_epoch - 1 - steps_left,
            "ends_step": steps_left > steps_left_after,
        }

    return batches.scan(tf.constant(plan.epoch_cost, tf.int64), mark)


def _skip_steps(batches: tf.data.Dataset, skipped) -> tf.data.Dataset:
    """Leaves out the batches of the first `skipped` steps."""
    return batches.filter(lambda batch: batch["step"] >= skipped)


def _fill(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Repeats rows with weight 0 up to a multiple of the replicas."""

    def fill(batch):
        serialized = batch["serialized"]
        rows = tf.size(serialized)
        index = tf.range(rows + -rows % replicas)
        if replicas > 1:
            serialized = tf.gather(serialized, index % rows)
        weight = tf.cast(index < rows, tf.float32)
        kept = {name: batch[name] for name in ("bucket", "ends_step")}
        return kept | {"serialized": serialized, "weight": weight}

    return batches.map(fill)


def _cut(batches: tf.data.Dataset, replicas: int, pieces: range) -> tf.data.Dataset:
    """Cuts each batch into equal pieces, one per replica, in a row, and takes some of them."""
    taken = slice(pieces.start, pieces.stop)

    def cut(batch):
        return {
            "serialized": tf.reshape(batch["serialized"], (replicas, -1))[taken],
            "weight": tf.reshape(batch["weight"], (replicas, -1))[taken],
            "bucket": tf.repeat(batch["bucket"], len(pieces)),
            "ends_step": tf.repeat(batch["ends_step"], len(pieces)),
        }

    return batches.map(cut).unbatch()


def _parse(
    batches: tf.data.Dataset, record_format: RecordFormat, plan: BatchPlan
) -> tf.data.Dataset:
    """Parses whole batches."""
    shortest, longest = tf.constant(plan.bucket_shortest), tf.constant(plan.bucket_lengths)

    def parse(batch):
        if plan.is_exact:
            parsed = parse_examples(batch["serialized"], record_format)
        else:
            parsed = parse_padded_examples(
                batch["serialized"],
                record_format,
                shortest=tf.gather(shortest, batch["bucket"]),
                longest=tf.gather(longest, batch["bucket"]),
            )
        return parsed | {"weight": batch["weight"], "ends_step": batch["ends_step"]}

    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        tf.data.AUTOTUNE
    )


def _too_many(split: str) -> str:
    return (
        f"Split {split!r} must hold the sequences that its lengths.json counts, got one of a "
        "length that is not counted, or not counted often enough."
    )


def _too_few(split: str) -> str:
    return (
        f"Split {split!r} must hold the sequences that its lengths.json counts, but its records "
        "ended before: a shard has lost records."
    )
