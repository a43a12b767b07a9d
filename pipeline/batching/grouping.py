"""Serialized records grouped into the batches of a plan, epoch after epoch.

Stages, each a function from dataset to dataset:

1. `_read_records`   shards in a drawn order, interleaved; records drawn from a buffer
2. `_assign_buckets` the lengths alone are parsed, a thousand records at a time, and each record
   gets its bucket of the plan
3. `_group`          serialized records of one bucket are collected, as by
   `bucket_by_sequence_length`
4. `_mix`            batches drawn from a buffer
5. `release`         batches of rare lengths, or of all if they fit in memory, are held by
   `padless.pipeline.batching.rare`, left out of the grouping, and come in at drawn positions
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.damage import too_few_records, too_many_records
from padless.pipeline.batching.rare import collect_rare, draw_rare, rare_buckets, release
from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.framing import check_record_sizes
from padless.pipeline.dataset.records import RecordFormat, parse_lengths
from padless.pipeline.planning.plan import BatchPlan

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

    def __post_init__(self) -> None:
        minima = {"seed": 0, "record_buffer": 1, "batch_buffer": 1, "held_bytes": 0}
        for name, minimum in minima.items():
            if (value := getattr(self, name)) < minimum:
                raise ValueError(f"`{name}` must be at least {minimum}, got {value}.")

    def seeds(self, epochs: range) -> np.ndarray:
        """Draws the seeds of the stages that shuffle, int64 `(epochs, 5)`."""
        words = [
            np.random.SeedSequence((self.seed, epoch)).generate_state(5, np.uint64)
            for epoch in epochs
        ]
        table = np.array(words, np.uint64).reshape(len(epochs), 5)
        return (table >> np.uint64(1)).astype(np.int64)


def grouped_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str,
    shuffle: Shuffle | None,
    epochs: range,
) -> tf.data.Dataset:
    """Groups the records of a split into the batches of a plan, in an order that is fixed.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read.

    Returns:
        A dataset of pairs, the bucket once per record, int64 `(batch,)`, and the records, string
        `(batch,)`.

    Raises:
        ValueError: if there is no such split, or the plan is not for its lengths.
    """
    source = planned_split(dataset, plan, split)
    held = choose_held(dataset, plan, shuffle)

    def epoch(seeds: tf.Tensor, rare: tuple[tf.Tensor, ...] = ()) -> tf.data.Dataset:
        chunks = read_assigned(dataset, plan, source, shuffle=shuffle, seeds=seeds)
        batches = _mix(_group(_leave_out(chunks, held), plan), shuffle, seeds)
        if rare:
            bucket, serialized = rare
            drawn = draw_rare(bucket, serialized, plan=plan, held=held, seed=seeds[3])
            batches = release(batches, drawn, count_batches(plan, held), seeds[4])
        return batches

    seeds = tf.data.Dataset.from_tensor_slices(seeds_of(shuffle, epochs))
    if not held.any():
        return seeds.flat_map(epoch)
    rare = collect_held(dataset, plan, source, held)
    return rare.flat_map(lambda *rare: seeds.flat_map(lambda seeds: epoch(seeds, rare)))


def seeds_of(shuffle: Shuffle | None, epochs: range) -> np.ndarray:
    """Returns the seeds of the stages that shuffle, int64 `(epochs, 5)`; zeros if none does."""
    return np.zeros((len(epochs), 5), np.int64) if shuffle is None else shuffle.seeds(epochs)


def read_assigned(
    dataset: SequenceDataset,
    plan: BatchPlan,
    split: Split,
    *,
    shuffle: Shuffle | None,
    seeds: tf.Tensor,
) -> tf.data.Dataset:
    """Reads the records of an epoch, a thousand at a time, and pairs them with their bucket.

    Returns:
        A dataset of pairs, `(records,)` each: the bucket, int64, and the record, string. The last
        one is empty, and there is no other empty one.
    """
    # This graph's own seed, in place of one set for the whole program: the order is `seeds`'.
    tf.compat.v1.get_default_graph().seed = 1
    records = _read_records([str(file) for file in split.files], shuffle, seeds)
    return _assign_buckets(records, dataset.record_format, plan, split.name)


def planned_split(dataset: SequenceDataset, plan: BatchPlan, split: str) -> Split:
    """Returns the split that a plan is for.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths, or the size of a
            record leads out of its file.
    """
    source = dataset.split(split)
    if dict(plan.lengths) != dict(source.lengths):
        raise ValueError(
            f"The plan must be for the lengths of split {split!r}: it counts "
            f"{plan.num_sequences} sequences, the split has {source.num_sequences}"
            f"{'' if plan.num_sequences != source.num_sequences else ' of other lengths'}."
        )
    for file in source.files:
        check_record_sizes(file)
    return source


def choose_held(dataset: SequenceDataset, plan: BatchPlan, shuffle: Shuffle | None) -> np.ndarray:
    """Returns whether the records of each bucket are held in memory, bool `(buckets,)`."""
    if shuffle is None:
        return np.zeros(len(plan.bucket_lengths), bool)
    return rare_buckets(plan, dataset.record_format.num_features, shuffle.held_bytes)


def count_batches(plan: BatchPlan, held: np.ndarray) -> tuple[int, int]:
    """Counts the batches of an epoch that are not held, and those that are."""
    rare = int(plan.bucket_num_batches[held].sum())
    return plan.num_batches - rare, rare


def collect_held(
    dataset: SequenceDataset, plan: BatchPlan, split: Split, held: np.ndarray
) -> tf.data.Dataset:
    """Reads the split once, in the order of the records, for those that `held` names."""
    chunks = read_chunks(split)
    return collect_rare(chunks, dataset.record_format, plan, held=held, split=split.name)


def read_chunks(split: Split) -> tf.data.Dataset:
    """Reads the serialized records of a split in an order that does not change, `(records,)`."""
    files = tf.data.Dataset.from_tensor_slices([str(file) for file in split.files])
    return _interleave(files, len(split.files), _read_chunks)


def most_chunks(split: Split) -> int:
    """Returns a number of chunks that only more records than the split counts can exceed."""
    return split.num_sequences // _LENGTHS_PARSED_AT_ONCE + len(split.files) + 1


def _read_records(files: list[str], shuffle: Shuffle | None, seeds: tf.Tensor) -> tf.data.Dataset:
    if shuffle is None:
        return tf.data.TFRecordDataset(files)
    drawn = _draw(tf.data.Dataset.from_tensor_slices(files), len(files), seeds[0])
    return _draw(_interleave(drawn, len(files)), shuffle.record_buffer, seeds[1])


def _read_chunks(file: tf.Tensor) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(file).batch(_LENGTHS_PARSED_AT_ONCE)


def _interleave(
    files: tf.data.Dataset,
    num_files: int,
    read: Callable[[tf.Tensor], tf.data.Dataset] = tf.data.TFRecordDataset,
) -> tf.data.Dataset:
    return files.interleave(
        read,
        cycle_length=min(num_files, _SHARDS_READ_AT_ONCE),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _draw(elements: tf.data.Dataset, buffer_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    return elements.shuffle(buffer_size, seed=seed, reshuffle_each_iteration=False)


def _assign_buckets(
    records: tf.data.Dataset, record_format: RecordFormat, plan: BatchPlan, split: str
) -> tf.data.Dataset:
    """Pairs records with their bucket: the first of their length until it is full, then the next.

    Elements are a thousand records each, `(records,)` twice.

    Counting here is what guarantees that an epoch is the plan: a record too many is an error at
    once, a record too few at the end, which an empty chunk marks.
    """
    first, planned = plan.length_tables()
    capacity = plan.bucket_batch_sizes * plan.bucket_num_batches
    longest = len(planned) - 1

    def assign(
        seen: tf.Tensor, serialized: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        lengths = parse_lengths(serialized, record_format)
        known = tf.clip_by_value(lengths, 0, longest)
        bucket = tf.gather(first, known)
        rank = tf.gather(seen, known) + _rank_among_equals(known)
        seen = tf.tensor_scatter_nd_add(seen, known[:, None], tf.ones_like(known))
        counted = rank < tf.gather(planned, known)
        at_end = tf.equal(tf.size(serialized), 0)
        complete = tf.reduce_all(seen == planned)
        checks = [
            tf.debugging.Assert(
                tf.reduce_all(counted & (lengths == known)), [too_many_records(split)]
            ),
            tf.debugging.Assert(~at_end | complete, [too_few_records(split)]),
        ]
        with tf.control_dependencies(checks):
            bucket += tf.cast(rank >= tf.gather(capacity, bucket), tf.int64)
        return seen, (bucket, serialized)

    end = tf.data.Dataset.from_tensors(tf.zeros([0], tf.string))
    none = tf.zeros_like(planned)
    return records.batch(_LENGTHS_PARSED_AT_ONCE).concatenate(end).scan(none, assign)


def _leave_out(chunks: tf.data.Dataset, held: np.ndarray) -> tf.data.Dataset:
    """Leaves out the records of the buckets that are held, and takes the chunks apart."""

    def leave_out(bucket: tf.Tensor, serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = ~tf.gather(held, bucket)
        return tf.boolean_mask(bucket, wanted), tf.boolean_mask(serialized, wanted)

    return (chunks.map(leave_out) if held.any() else chunks).unbatch()


def _rank_among_equals(values: tf.Tensor) -> tf.Tensor:
    """Counts, for each of `values` `(n,)` int64, the equal ones before it."""
    order = tf.argsort(values, stable=True)
    ordered = tf.gather(values, order)
    positions = tf.range(tf.size(values, out_type=tf.int64))
    rank = positions - tf.searchsorted(ordered, ordered, out_type=tf.int64)
    return tf.scatter_nd(order[:, None], rank, tf.shape(values, out_type=tf.int32))


def _group(records: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Collects the serialized records of each bucket into `(batch,)`.

    This is `bucket_by_sequence_length`, which is `group_by_window` after a key function, without
    that function: it compares each record with every boundary, 41 microseconds of CPU a record
    where a key that is already there costs 8. A test holds the two to the same batches.
    """
    sizes = tf.constant(plan.bucket_batch_sizes)
    return records.group_by_window(
        key_func=lambda bucket, serialized: bucket,
        reduce_func=lambda bucket, window: window.batch(sizes[bucket]),
        window_size_func=lambda bucket: sizes[bucket],
    )


def _mix(batches: tf.data.Dataset, shuffle: Shuffle | None, seeds: tf.Tensor) -> tf.data.Dataset:
    return batches if shuffle is None else _draw(batches, shuffle.batch_buffer, seeds[2])
