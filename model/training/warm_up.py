"""Batches without weight: what they take in memory and time is real, and they change no weights."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from padless.pipeline.batching.untuned import untuned
from padless.pipeline.planning.plan import BatchPlan


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
