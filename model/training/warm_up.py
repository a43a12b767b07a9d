"""The packed batches that take most memory, run first and without weight: they change nothing."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.packed_rows import deal_rows
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.planning.plan import BatchPlan


def largest_batches(plan: BatchPlan, num_features: int, pieces: range) -> tf.data.Dataset:
    """Makes a step of the packed batches that take most memory, of zeros and without weight.

    Args:
        plan: the plan.
        num_features: features per timestep.
        pieces: numbers of the pieces of a batch that are wanted, those of one machine.

    Returns:
        A dataset of dicts as `packed_steps` gives them for this plan, without keys and labels.
    """
    batches = [largest_packed(plan), widest_packed(plan)]

    def make(length: tf.Tensor, ends_step: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.stack((tf.reduce_sum(length), num_features))
        return {
            "length": length,
            "values": tf.ensure_shape(tf.zeros(shape), (None, num_features)),
            "weight": tf.zeros_like(length, tf.float32),
            "ends_step": ends_step,
        }

    dealt = [
        deal_rows(tf.constant(lengths), plan.replicas, piece)
        for lengths in batches
        for piece in pieces
    ]
    ends_step = np.repeat([False, True], len(pieces))
    columns = (tf.ragged.stack(dealt), ends_step)
    return untuned(tf.data.Dataset.from_tensor_slices(columns).map(make))


def describe_largest(plan: BatchPlan) -> str:
    """Describes the batch that takes most memory in words."""
    lengths = largest_packed(plan)
    return f"{len(lengths)} sequences of {lengths.sum()} timesteps together"


def largest_packed(plan: BatchPlan) -> np.ndarray:
    """Lists lengths of a packed batch that takes as much memory as any, falling, int64 `(rows,)`.

    A step goes beyond the budget by less than one group, and a packed batch beyond its limit by one
    sequence alone. Within both come the longest sequences, and a part of the next one.
    """
    most_work = plan.most_work_per_step
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


def widest_packed(plan: BatchPlan) -> np.ndarray:
    """Lists lengths of a packed batch that takes as much as any where it is padded, falling.

    The longest sequence and as many of the shortest as go with it: on a GPU, and with an alignment
    that pads, a batch takes its rows times its longest.
    """
    longest, shortest = max(plan.lengths), min(plan.lengths)
    first, others = plan.budget.work(np.array([longest, shortest])).tolist()
    most_work = plan.most_work_per_step
    most = min((most_work - first) // others, (plan.packed_timesteps - longest) // shortest)
    return np.array([longest] + [shortest] * max(0, min(most, plan.num_sequences - 1)))


def is_out_of_memory(error: tf.errors.OpError) -> bool:
    """Checks whether a step failed because there was not enough memory.

    Where cuDNN gets none for a recurrent layer, TensorFlow says only that its call has failed.
    """
    failed_call = isinstance(error, tf.errors.InternalError) and "Failed to call DoRnn" in str(
        error
    )
    return failed_call or isinstance(error, tf.errors.ResourceExhaustedError)
