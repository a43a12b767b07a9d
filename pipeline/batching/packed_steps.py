"""The packed steps: all groups of a step as one batch, without one padded timestep.

They come from one of two places:

- `held_steps` draws and gathers those of a split that fits in memory;
- `streamed_steps` makes those of a larger one, or of one in the order of its records, from chunks.
"""

from __future__ import annotations

import tensorflow as tf

from padless.pipeline.batching.batches import check_first_step
from padless.pipeline.batching.grouping import Shuffle, choose_held, planned_split
from padless.pipeline.batching.held_steps import held_steps
from padless.pipeline.batching.streamed_steps import streamed_steps
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.planning.plan import BatchPlan


@tf.autograph.experimental.do_not_convert
def packed_steps(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(1),
    first_step: int = 0,
    pieces: range | None = None,
) -> tf.data.Dataset:
    """Reads a split as packed batches: many lengths at once and nothing padded.

    The rows of a packed batch are sorted by falling length, and their values lie time-major without
    gaps: those of the first timestep of all rows, then those of the second of the rows that have
    one, and so on. So `length` says everything about where they are, as in PyTorch's
    `PackedSequence`.

    A step is one packed batch, or several if it has more than `plan.packed_timesteps`. In each
    epoch every sequence comes exactly once. The sequences of a step and the order of the steps
    are fixed by the data, the plan, `shuffle` and the number of the epoch, whatever the number of
    replicas; each epoch draws another order and other batch-mates.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths, with a `group_size`. Each packed batch comes as
            `plan.replicas` pieces in a row, of about the same lengths and timesteps; of fewer
            rows than replicas some pieces are empty.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read; `range(3, 10)` continues where `range(3)` ended.
        first_step: steps of the first of these epochs to leave out.
        pieces: where several machines share a batch, the numbers of the pieces of this machine;
            None for all.

    Returns:
        A dataset of dicts with

        - `values`: `(timesteps of all rows, features)` float32, raw units, time-major;
        - `length`: `(rows,)` int64, falling;
        - `weight`: `(rows,)` float32, 1;
        - `key` and `label`: `(rows,)` string, where the records have them;
        - `ends_step`: `()` bool, whether the packed batch is the last one of its step.

        Its cardinality is known where no step can be more than one packed batch. tf.data does not
        tune it, see `padless.pipeline.batching.untuned`.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths or has no
            `group_size`, an epoch has no step `first_step`, or the plan has not all of `pieces`.
        tf.errors.OpError: when read, if a record is damaged or the records are not those that the
            plan counts. `padless.pipeline.batching.damage.explained` names the file.

    Example:
        Counts the sequences of each step::

            plan = plan_batches(dataset.split("train").lengths, batch_size=64, group_size=8)
            for batch in packed_steps(dataset, plan, shuffle=Shuffle(0)):
                print(len(batch["length"]), "sequences,", len(batch["values"]), "timesteps")
    """
    pieces = range(plan.replicas) if pieces is None else pieces
    _check(plan, first_step, pieces)
    source = planned_split(dataset, plan, split)
    if shuffle is not None and choose_held(dataset, plan, shuffle).all():
        steps = held_steps(
            dataset,
            source,
            plan,
            seeds=shuffle.seeds(epochs),
            first_step=first_step,
            pieces=pieces,
        )
    else:
        steps = streamed_steps(
            dataset,
            source,
            plan,
            shuffle=shuffle,
            epochs=epochs,
            first_step=first_step,
            pieces=pieces,
        )
    if not plan.may_cut_steps:
        count = (plan.steps_per_epoch * len(epochs) - first_step * bool(epochs)) * len(pieces)
        steps = steps.apply(tf.data.experimental.assert_cardinality(count))
    return untuned(steps.prefetch(tf.data.AUTOTUNE))


def _check(plan: BatchPlan, first_step: int, pieces: range) -> None:
    if plan.group_size is None:
        raise ValueError("`plan` must have a `group_size` for packed steps, got None.")
    check_first_step(plan, first_step)
    if pieces.step != 1 or not 0 <= pieces.start < pieces.stop <= plan.replicas:
        raise ValueError(
            f"`pieces` must be some in a row of the {plan.replicas} of the plan, got {pieces}."
        )
