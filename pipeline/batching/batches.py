"""The tf.data batches: every sequence once per epoch, grouped by length, nothing padded.

`grouping` makes the batches of serialized records; after it, each a function from dataset to
dataset:

1. `_mark_steps`     each batch gets its step; the one that fills the budget ends it
2. `_skip_steps`     where a run resumes in mid-epoch: leaves out its past steps, unparsed
3. `_parse`          one call per batch, not per record: this is what makes the input cheap
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.grouping import Shuffle, grouped_batches
from padless.pipeline.batching.marks import Place
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.records import RecordFormat, parse_examples, parse_lengths
from padless.pipeline.planning.plan import BatchPlan

# Name -> tensor.
Batch = dict[str, tf.Tensor]


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

    In each epoch every sequence comes exactly once. The order is fixed by the data,
    `shuffle.seed` and the number of the epoch, whatever `tf.random.set_seed` was given; each epoch
    draws another order and other batch-mates.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read; `range(3, 10)` continues where `range(3)` ended.
        first_step: steps of the first of these epochs to leave out; their values are not parsed.

    Returns:
        A dataset of dicts with

        - `sequence`: `(batch, timesteps, features)` float32, raw units;
        - `length`: `(batch,)` int64, each equal to `timesteps`;
        - `ends_step`: `(batch,)` bool, in each row whether the batch is the last one of its step;
        - `key` and `label`: `(batch,)` string, where the records have them.

        tf.data does not tune it, see `padless.pipeline.batching.untuned`.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths, or an epoch has no
            step `first_step`.
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts. `padless.pipeline.batching.damage.explained` names the file.
    """
    batches = _marked_batches(
        dataset, plan, split=split, shuffle=shuffle, epochs=epochs, first_step=first_step
    )
    count = None if first_step else plan.num_batches * len(epochs)
    return _parse(batches, dataset.record_format, count)


def identified_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
) -> tf.data.Dataset:
    """Reads what `equal_length_batches` reads, but only what the order shows in, no values.

    Returns:
        A dataset of dicts with

        - `record`: `(batch,)` int64, a hash of the record's bytes, the same in every epoch;
        - `length`: `(batch,)` int64, in timesteps;
        - `bucket`: `()` int64, the batch's bucket of the plan;
        - `ends_step`: `()` bool.
    """

    def identify(batch: Batch) -> Batch:
        serialized = batch["serialized"]
        return {
            "record": tf.strings.to_hash_bucket_fast(serialized, np.iinfo(np.int64).max),
            "length": parse_lengths(serialized, dataset.record_format),
            "bucket": batch["bucket"],
            "ends_step": batch["ends_step"],
        }

    batches = _marked_batches(
        dataset, plan, split=split, shuffle=shuffle, epochs=epochs, first_step=0
    )
    batches = batches.map(identify, tf.data.AUTOTUNE, deterministic=True)
    return untuned(batches.prefetch(tf.data.AUTOTUNE))


def _marked_batches(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str,
    shuffle: Shuffle | None,
    epochs: range,
    first_step: int,
) -> tf.data.Dataset:
    """Runs the stages up to `skip_steps`: dicts of `serialized`, `bucket` and `ends_step`."""
    check_first_step(plan, first_step)
    batches = grouped_batches(dataset, plan, split=split, shuffle=shuffle, epochs=epochs)
    batches = _mark_steps(batches, plan)
    return _skip_steps(batches, first_step) if first_step else batches


def check_first_step(plan: BatchPlan, first_step: int) -> None:
    """Checks that an epoch has a step of that number.

    Raises:
        ValueError: if it has not.
    """
    if not 0 <= first_step < plan.steps_per_epoch:
        raise ValueError(
            f"`first_step` must be from 0 to {plan.steps_per_epoch - 1}, got {first_step}."
        )


def _mark_steps(batches: tf.data.Dataset, plan: BatchPlan) -> tf.data.Dataset:
    """Marks the batches with their step, and those that end it.

    Args:
        batches: pairs as `grouped_batches` returns them.
        plan: the plan.

    Returns:
        A dataset of dicts: `serialized` `(batch,)` string, `bucket` `()` int64, `ends_step` `()`
        bool, and `step` `()` int64, counted over all epochs.
    """

    def mark(place: Place, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[Place, Batch]:
        buckets, serialized = batch
        after, ends_step = place.after(buckets[0], plan)
        return after, {
            "serialized": serialized,
            "bucket": buckets[0],
            "ends_step": ends_step,
            "step": place.step,
        }

    return batches.scan(Place.start(plan), mark)


def _skip_steps(batches: tf.data.Dataset, count: int) -> tf.data.Dataset:
    """Leaves out the batches of the first `count` steps."""
    return batches.filter(lambda batch: batch["step"] >= count)


def _parse(
    batches: tf.data.Dataset, record_format: RecordFormat, count: int | None
) -> tf.data.Dataset:
    """Parses whole batches, and says how many there are: Keras' `fit` then knows as well.

    How many batches the steps left out had shows only when they are read: `count` is then None.
    """

    def parse(batch: Batch) -> Batch:
        parsed = parse_examples(batch["serialized"], record_format)
        # One value per row, so that a strategy can cut all parts of a batch into pieces.
        return parsed | {"ends_step": tf.fill(tf.shape(parsed["length"]), batch["ends_step"])}

    batches = batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    if count is not None:
        batches = batches.apply(tf.data.experimental.assert_cardinality(count))
    return untuned(batches.prefetch(tf.data.AUTOTUNE))
