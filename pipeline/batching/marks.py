"""Where steps end among the batches of an epoch."""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.planning.plan import BatchPlan


def ends_of_steps(buckets: tf.Tensor, plan: BatchPlan) -> tf.Tensor:
    """Marks the batches that end their step, all of an epoch at once.

    Args:
        buckets: bucket of each batch in the order of the epoch, int64 `(batches,)`.
        plan: the plan.

    Returns:
        Whether it is the last one of its step, bool `(batches,)`.
    """
    if not plan.accumulates:
        return tf.ones_like(buckets, tf.bool)
    work = tf.gather(plan.bucket_batch_sizes * plan.budget.work(plan.bucket_lengths), buckets)
    after = plan.epoch_work - tf.cumsum(work)
    return is_full(after + work, after, plan.budget.limit)


def is_full(before: tf.Tensor, after: tf.Tensor, limit: int) -> tf.Tensor:
    """Checks whether the work that remains falls to or below a multiple of the budget.

    Counting up would also show where the budget is full, but could end an epoch one step early:
    a last batch that reaches past the last multiple leaves no batch for the step after it.

    Args:
        before: work that remains in the epoch before a batch.
        after: work that remains after it.
        limit: the budget of a step.
    """
    return (before - 1) // limit > (after - 1) // limit
