"""Where steps end among the batches of an epoch."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from padless.pipeline.planning.plan import BatchPlan


class Place(NamedTuple):
    """A place between two batches, int64 `()` each.

    Attributes:
        step: number of the step that the next batch is in, counted over all epochs.
        remaining: work that is left of the epoch, in the unit of the budget.
    """

    step: tf.Tensor
    remaining: tf.Tensor

    @classmethod
    def start(cls, plan: BatchPlan) -> Place:
        """Returns the place before the first batch."""
        return cls(tf.constant(0, tf.int64), tf.constant(plan.epoch_work, tf.int64))

    def after(self, bucket: tf.Tensor, plan: BatchPlan) -> tuple[Place, tf.Tensor]:
        """Returns the place after a batch of a bucket, and whether the batch ends its step."""
        after = self.remaining - work_of(bucket, plan)
        ends_step = plan.ends_step(self.remaining, after)
        remaining = tf.where(after > 0, after, plan.epoch_work)
        return Place(self.step + tf.cast(ends_step, tf.int64), remaining), ends_step


def ends_of_steps(
    buckets: tf.Tensor, plan: BatchPlan, remaining: tf.Tensor | int | None = None
) -> tf.Tensor:
    """Finds the batches that end their step, many at once.

    Args:
        buckets: bucket of each batch in the order of the epoch, int64 `(batches,)`.
        plan: the plan.
        remaining: work that is left of the epoch before them; None for all of it.

    Returns:
        Whether it is the last one of its step, bool `(batches,)`.
    """
    work = work_of(buckets, plan)
    after = (plan.epoch_work if remaining is None else remaining) - tf.cumsum(work)
    return plan.ends_step(after + work, after)


def work_of(buckets: tf.Tensor, plan: BatchPlan) -> tf.Tensor:
    """Returns what batches of these buckets take from the budget, int64 as they are."""
    return tf.gather(plan.bucket_work, buckets)
