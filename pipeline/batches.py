"""The tf.data batches: every sequence once per epoch, grouped by length, nothing padded.

Stages, each a function from dataset to dataset:

1. `_read_records`   shards in a drawn order, interleaved; records drawn from a buffer
2. `_assign_buckets` the lengths alone are parsed, a thousand records at a time, and each record
   gets its bucket of the plan
3. `_group`          serialized records of one bucket are collected, as by
   `bucket_by_sequence_length`
4. `_mix`            batches drawn from a buffer
5. `release`         batches of rare lengths, or of all if they fit in memory, are held by
   `padless.pipeline.rare`, left out of the grouping, and come in at drawn positions
6. `_mark_steps`     the batch that fills the budget ends its step
7. `_fill`           rows of weight 0 up to a multiple of the replicas
8. `_cut`            for replicas: each batch as equal pieces in a row
9. `_parse`          one call per batch, not per record: this is what makes the input cheap
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from padless.pipeline.damage import too_few_records, too_many_records
from padless.pipeline.directory import SequenceDataset, Split
from padless.pipeline.plan import BatchPlan
from padless.pipeline.rare import collect_rare, draw_rare, rare_buckets, release
from padless.pipeline.records import RecordFormat, parse_examples, parse_lengths

_LENGTHS_PARSED_AT_ONCE = 1024
_SHARDS_READ_AT_ONCE = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Shuffle:
    """What draws the order of an epoch, and the memory it may use for that.

    Attributes:
        seed: of the run; with the epoch's number it fixes the order.
        record_buffer: serialized records to draw from.
        batch_buffer: batches of serialized records to draw from.
        held_bytes: most bytes of serialized records to hold for all epochs, read before the first
            one: the whole split, or of a larger one the rare lengths. 0 holds none, and rare
            lengths come late.

    Raises:
        ValueError: if a buffer is below 1, or the seed or `held_bytes` is negative.
    """

    seed: int
    record_buffer: int = 10_000
    batch_buffer: int = 256
    held_bytes: int = 256 * 2**20

    def __post_init__(self):
        least_values = {"seed": 0, "record_buffer": 1, "batch_buffer": 1, "held_bytes": 0}
        for name, least in least_values.items():
            if (value := getattr(self, name)) < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")

    def seeds(self, epochs: range) -> np.ndarray:
        """Draws the seeds of the stages that shuffle, int64 `(epochs, 5)`."""
        words = [
            np.random.SeedSequence((self.seed, epoch)).generate_state(5, np.uint64)
            for epoch in epochs
        ]
        words = np.array(words, np.uint64).reshape(len(epochs), 5)
        return (words >> np.uint64(1)).astype(np.int64)


def equal_length_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
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

    Returns:
        A dataset of dicts with

        - `sequence`: `(batch, timesteps, features)` float32, raw units;
        - `length`: `(batch,)` int64, each equal to `timesteps`;
        - `weight`: `(batch,)` float32, 1, or 0 for a row repeated to fill up to the replicas;
        - `ends_step`: `()` bool, whether the batch is the last one of its step;
        - `key` and `label`: `(batch,)` string, where the records have them.

    Raises:
        ValueError: if there is no such split, or the plan is not for its lengths.
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts. `padless.pipeline.damage.explained` names the file.
    """
    batches = _serialized_batches(dataset, plan, dataset.split(split), shuffle, epochs)
    count = plan.num_batches * len(epochs)
    return _parse(batches, dataset.record_format, count)


def replica_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
) -> tf.data.Dataset:
    """Reads what `equal_length_batches` reads, each batch as `plan.replicas` equal pieces in a row.

    This is what `Strategy.distribute_datasets_from_function` deals out to the replicas of a
    machine: each gets the same legal shape, `(batch / replicas, timesteps, features)`.
    """
    batches = _serialized_batches(dataset, plan, dataset.split(split), shuffle, epochs)
    count = plan.num_batches * len(epochs) * plan.replicas
    return _parse(_cut(batches, plan.replicas), dataset.record_format, count)


def identified_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
) -> tf.data.Dataset:
    """Reads what `equal_length_batches` reads, but only what tells the order: no values.

    Returns:
        A dataset of dicts with

        - `record`: `(batch,)` int64, a hash of the record's bytes, the same in every epoch;
        - `length`: `(batch,)` int64, in timesteps;
        - `bucket`: `()` int64, the batch's bucket of the plan;
        - `ends_step`: `()` bool.

        Rows of weight 0 are left out.
    """

    def identify(batch):
        serialized = tf.boolean_mask(batch["serialized"], batch["weight"] > 0)
        return {
            "record": tf.strings.to_hash_bucket_fast(serialized, np.iinfo(np.int64).max),
            "length": parse_lengths(serialized, dataset.record_format),
            "bucket": batch["bucket"],
            "ends_step": batch["ends_step"],
        }

    batches = _serialized_batches(dataset, plan, dataset.split(split), shuffle, epochs)
    return batches.map(identify, tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def _serialized_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    split: Split,
    shuffle: Shuffle | None,
    epochs: range,
) -> tf.data.Dataset:
    """Runs the stages up to `_fill`: dicts of `serialized`, `weight` and `ends_step`.

    One dataset spans the epochs, as to take down an iterator under a strategy and make the next
    one takes longer than an epoch of a small dataset.
    """
    if dict(plan.lengths) != dict(split.lengths):
        raise ValueError(
            f"The plan must be for the lengths of split {split.name!r}: it counts "
            f"{plan.num_sequences} sequences, the split has {split.num_sequences}"
            f"{'' if plan.num_sequences != split.num_sequences else ' of other lengths'}."
        )
    files = [str(file) for file in split.files]
    held = _choose_held(dataset, plan, shuffle)

    def epoch(seeds, rare=()):
        # This graph's own seed, in place of one set for the whole program: the order is `seeds`'.
        tf.compat.v1.get_default_graph().seed = 1
        records = _read_records(files, shuffle, seeds)
        chunks = _assign_buckets(records, dataset.record_format, plan, split.name)
        batches = _mix(_group(_leave_out(chunks, held), plan), shuffle, seeds)
        if rare:
            rare = draw_rare(*rare, plan=plan, held=held, seed=seeds[3])
            batches = release(batches, rare, _count_batches(plan, held), seeds[4])
        return _fill(_mark_steps(batches, plan), plan.replicas)

    seeds = np.zeros((len(epochs), 5), np.int64) if shuffle is None else shuffle.seeds(epochs)
    seeds = tf.data.Dataset.from_tensor_slices(seeds)
    if not held.any():
        return seeds.flat_map(epoch)
    rare = _collect(dataset, plan, split, held)
    return rare.flat_map(lambda *rare: seeds.flat_map(lambda seeds: epoch(seeds, rare)))


def _choose_held(dataset: SequenceDataset, plan: BatchPlan, shuffle: Shuffle | None) -> np.ndarray:
    if shuffle is None:
        return np.zeros(len(plan.bucket_lengths), bool)
    return rare_buckets(plan, dataset.record_format.num_features, shuffle.held_bytes)


def _count_batches(plan: BatchPlan, held: np.ndarray) -> tuple[int, int]:
    rare = int(plan.bucket_num_batches[held].sum())
    return plan.num_batches - rare, rare


def _collect(
    dataset: SequenceDataset, plan: BatchPlan, split: Split, held: np.ndarray
) -> tf.data.Dataset:
    """Reads the split once, in the order of the records, for those that `held` names."""
    files = tf.data.Dataset.from_tensor_slices([str(file) for file in split.files])
    first, _, planned = _bucket_tables(plan)
    return collect_rare(
        _interleave(files, len(split.files), _read_chunks),
        dataset.record_format,
        plan,
        held=held,
        bucket_of_length=np.where(planned > 0, first, -1),
        split=split.name,
    )


def _read_records(files: list[str], shuffle: Shuffle | None, seeds) -> tf.data.Dataset:
    if shuffle is None:
        return tf.data.TFRecordDataset(files)
    drawn = _draw(tf.data.Dataset.from_tensor_slices(files), len(files), seeds[0])
    return _draw(_interleave(drawn, len(files)), shuffle.record_buffer, seeds[1])


def _read_chunks(file: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(file).batch(_LENGTHS_PARSED_AT_ONCE)


def _interleave(
    files: tf.data.Dataset, num_files: int, read=tf.data.TFRecordDataset
) -> tf.data.Dataset:
    return files.interleave(
        read,
        cycle_length=min(num_files, _SHARDS_READ_AT_ONCE),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _draw(elements: tf.data.Dataset, buffer_size: int, seed) -> tf.data.Dataset:
    return elements.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)


def _assign_buckets(
    records: tf.data.Dataset, record_format: RecordFormat, plan: BatchPlan, split: str
) -> tf.data.Dataset:
    """Pairs records with their bucket: the first of their length until that is full, then the next.

    Elements are a thousand records each, `(records,)` twice.

    Counting here is what guarantees that an epoch is the plan: a record too many is an error at
    once, a record too few at the end, which an empty chunk marks.
    """
    first, capacity, planned = _bucket_tables(plan)
    longest = len(planned) - 1

    def assign(seen, serialized):
        lengths = parse_lengths(serialized, record_format)
        known = tf.clip_by_value(lengths, 0, longest)
        rank = tf.gather(seen, known) + _rank_among_equals(known)
        in_plan = tf.where(lengths == known, rank < tf.gather(planned, known), False)
        at_end = tf.equal(tf.size(serialized), 0)
        checks = [
            tf.debugging.Assert(tf.reduce_all(in_plan), [too_many_records(split)]),
            tf.debugging.Assert(~at_end | tf.reduce_all(seen == planned), [too_few_records(split)]),
        ]
        with tf.control_dependencies(checks):
            bucket = tf.gather(first, known) + tf.cast(rank >= tf.gather(capacity, known), tf.int64)
        seen = tf.tensor_scatter_nd_add(seen, known[:, None], tf.ones_like(known))
        return seen, (bucket, serialized)

    end = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))
    return (
        records.batch(_LENGTHS_PARSED_AT_ONCE).concatenate(end).scan(tf.zeros_like(planned), assign)
    )


def _leave_out(chunks: tf.data.Dataset, held: np.ndarray) -> tf.data.Dataset:
    """Leaves out the records of the buckets that are held, and takes the chunks apart."""

    def leave_out(bucket, serialized):
        wanted = ~tf.gather(held, bucket)
        return tf.boolean_mask(bucket, wanted), tf.boolean_mask(serialized, wanted)

    return (chunks.map(leave_out) if held.any() else chunks).unbatch()


def _bucket_tables(plan: BatchPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tabulates by length: its first bucket, that bucket's capacity, the sequences planned."""
    first, capacity, planned = np.zeros((3, max(plan.lengths) + 1), np.int64)
    sizes = plan.bucket_batch_sizes * plan.bucket_num_batches
    for bucket, length in reversed(list(enumerate(plan.bucket_lengths.tolist()))):
        first[length] = bucket
        capacity[length] = sizes[bucket]
        planned[length] += sizes[bucket]
    return first, capacity, planned


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
        ends_step = (before - 1) // limit > (after - 1) // limit
        return after, {"serialized": serialized, "ends_step": ends_step, "bucket": buckets[0]}

    return batches.scan(tf.constant(plan.epoch_cost, tf.int64), mark)


def _fill(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Repeats rows with weight 0 up to a multiple of the replicas."""

    def fill(batch):
        serialized = batch["serialized"]
        rows = tf.size(serialized)
        index = tf.range(rows + -rows % replicas)
        if replicas > 1:
            serialized = tf.gather(serialized, index % rows)
        weight = tf.cast(index < rows, tf.float32)
        return batch | {"serialized": serialized, "weight": weight}

    return batches.map(fill)


def _cut(batches: tf.data.Dataset, replicas: int) -> tf.data.Dataset:
    """Cuts each batch into equal pieces, one per replica, in a row."""

    def cut(batch):
        return {
            "serialized": tf.reshape(batch["serialized"], (replicas, -1)),
            "weight": tf.reshape(batch["weight"], (replicas, -1)),
            "ends_step": tf.repeat(batch["ends_step"], replicas),
        }

    return batches.map(cut).unbatch()


def _parse(batches: tf.data.Dataset, record_format: RecordFormat, count: int) -> tf.data.Dataset:
    """Parses whole batches, and says how many there are: Keras' `fit` then knows as well."""

    def parse(batch):
        parsed = parse_examples(batch["serialized"], record_format)
        return parsed | {"weight": batch["weight"], "ends_step": batch["ends_step"]}

    return (
        batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(count))
        .prefetch(tf.data.AUTOTUNE)
    )
