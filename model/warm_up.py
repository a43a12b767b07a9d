"""The largest batches of a plan, before training: memory runs out at once or never."""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.plan import BatchPlan


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
    """Tells whether a step failed because its memory could not be had.

    Where cuDNN gets none for a recurrent layer, TensorFlow says only that its call has failed.
    """
    failed_call = isinstance(error, tf.errors.InternalError) and "Failed to call DoRnn" in str(
        error
    )
    return failed_call or isinstance(error, tf.errors.ResourceExhaustedError)


def largest_batches(plan: BatchPlan, num_features: int, pieces: int) -> tf.data.Dataset:
    """Makes one step of batches of the largest shapes, without weight.

    Args:
        plan: the plan.
        num_features: features per timestep.
        pieces: number of equal pieces of each batch, out of `plan.replicas`, that are wanted.

    Returns:
        A dataset of dicts as `replica_batches` gives them, without keys and labels.
    """
    shapes = largest_shapes(plan)
    rows = [size // plan.replicas for size, _ in shapes for _ in range(pieces)]
    lengths = [length for _, length in shapes for _ in range(pieces)]
    is_last = [i >= len(rows) - pieces for i in range(len(rows))]

    def make(rows, length, ends_step):
        zeros = tf.zeros(tf.stack([rows, length, num_features]))
        return {
            "length": tf.fill([rows], tf.cast(length, tf.int64)),
            "sequence": tf.ensure_shape(zeros, (None, None, num_features)),
            "weight": tf.zeros([rows]),
            "ends_step": ends_step,
        }

    return tf.data.Dataset.from_tensor_slices((rows, lengths, is_last)).map(make)
