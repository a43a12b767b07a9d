"""Batches without weight: what they take in memory and time is real, and they change no weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.packed_rows import deal_rows
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.planning.plan import BatchPlan


def largest_batches(plan: BatchPlan, num_features: int, pieces: range) -> tf.data.Dataset:
    """Makes a step of the batches that take most memory, of zeros and without weight.

    Args:
        plan: the plan.
        num_features: features per timestep.
        pieces: numbers of the pieces of a batch that are wanted, those of one machine.

    Returns:
        A dataset of dicts as `packed_steps` or `replica_batches` give them for this plan, without
        keys and labels.
    """
    if plan.group_size is not None:
        return _weightless_packed(largest_packed(plan), num_features, plan.replicas, pieces)
    return weightless_steps(
        [largest_shapes(plan)], num_features, replicas=plan.replicas, pieces=len(pieces)
    )


def describe_largest(plan: BatchPlan) -> str:
    """Describes the batch that takes most memory in words."""
    if plan.group_size is not None:
        lengths = largest_packed(plan)
        return f"{len(lengths)} sequences of {lengths.sum()} timesteps together"
    rows, length = largest_shapes(plan)[0]
    return f"{rows} sequences of {length} timesteps"


def largest_packed(plan: BatchPlan) -> np.ndarray:
    """Lists lengths of a packed batch that takes as much memory as any, falling, int64 `(rows,)`.

    A step goes beyond the budget by less than one group, and a packed batch beyond its limit by one
    sequence alone. Within both come the longest sequences, and a part of the next one.
    """
    group_work = int((plan.bucket_batch_sizes * plan.budget.work(plan.bucket_lengths)).max())
    most_work = plan.budget.limit + group_work - 1
    lengths = np.array(list(plan.lengths), np.int64)[::-1]
    counts = np.minimum(list(plan.lengths.values())[::-1], most_work)
    # Each takes at least 1 of the budget.
    needed = np.searchsorted(counts.cumsum(), most_work) + 1
    rows = np.repeat(lengths[:needed], counts[:needed])[:most_work]
    most_timesteps = plan.packed_timesteps
    if plan.budget.batch_timesteps:
        most_timesteps = min(most_timesteps, most_work)
    whole = max(1, int(np.searchsorted(rows.cumsum(), most_timesteps, side="right")))
    rest = most_timesteps - int(rows[:whole].sum())
    has_more = rest > 0 and whole < len(rows)
    return np.append(rows[:whole], rest) if has_more else rows[:whole]


def _weightless_packed(
    lengths: np.ndarray, num_features: int, replicas: int, pieces: range
) -> tf.data.Dataset:
    def make(length: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.stack((tf.reduce_sum(length), num_features))
        return {
            "length": length,
            "values": tf.ensure_shape(tf.zeros(shape), (None, num_features)),
            "weight": tf.zeros_like(length, tf.float32),
            "ends_step": tf.constant(True),
        }

    dealt = [deal_rows(tf.constant(lengths), replicas, piece) for piece in pieces]
    return untuned(tf.data.Dataset.from_tensor_slices(tf.ragged.stack(dealt)).map(make))


def largest_shapes(plan: BatchPlan) -> list[tuple[int, int]]:
    """Lists the shapes that take most memory, as (sequences, timesteps), the largest first.

    These are the batch of most timesteps, that of the longest sequences and that of most sequences,
    rows that fill up to the replicas among them.
    """
    sizes = plan.bucket_batch_sizes + -plan.bucket_batch_sizes % plan.replicas
    shapes = list(zip(sizes.tolist(), plan.bucket_lengths.tolist(), strict=True))
    largest = [
        max(shapes, key=lambda shape: shape[0] * shape[1]),
        max(shapes, key=lambda shape: shape[::-1]),
        max(shapes),
    ]
    return list(dict.fromkeys(largest))


def is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Checks whether a step failed because there was not enough memory.

    Where cuDNN gets none for a recurrent layer, TensorFlow says only that its call has failed.
    """
    failed_call = isinstance(error, tf.errors.InternalError) and "Failed to call DoRnn" in str(
        error
    )
    return failed_call or isinstance(error, tf.errors.ResourceExhaustedError)


def weightless_steps(
    steps: Sequence[Sequence[tuple[int, int]]], num_features: int, *, replicas: int, pieces: int
) -> tf.data.Dataset:
    """Makes steps of batches of zeros, without weight.

    Args:
        steps: of each step, the shapes of its batches as (sequences, timesteps).
        num_features: features per timestep.
        replicas: number of equal pieces that a batch is cut into.
        pieces: how many of them are wanted, those of one machine.

    Returns:
        A dataset of dicts as `replica_batches` gives them, without keys and labels.
    """
    batches = [
        (sequences // replicas, length, i == len(step) - 1)
        for step in steps
        for i, (sequences, length) in enumerate(step)
        for _ in range(pieces)
    ]

    def make(rows: tf.Tensor, length: tf.Tensor, ends_step: tf.Tensor) -> dict[str, tf.Tensor]:
        zeros = tf.zeros(tf.stack([rows, length, num_features]))
        return {
            "length": tf.fill([rows], tf.cast(length, tf.int64)),
            "sequence": tf.ensure_shape(zeros, (None, None, num_features)),
            "weight": tf.zeros([rows]),
            "ends_step": tf.fill([rows], ends_step),
        }

    columns = tuple(map(list, zip(*batches, strict=True)))
    return untuned(tf.data.Dataset.from_tensor_slices(columns).map(make))
