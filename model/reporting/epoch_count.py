"""What an epoch of a dataset holds: that nothing is padded and nothing lost, counted."""

from __future__ import annotations

import collections
import dataclasses

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.batching.packed_steps import packed_steps
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress


@dataclasses.dataclass(frozen=True, slots=True)
class EpochCount:
    """What one epoch of batches was counted to hold.

    Attributes:
        timesteps: timesteps of the sequences.
        padded_timesteps: timesteps that the model computes beyond the end of their sequences.
        batches: number of batches.
        seen_once: number of keys that came exactly once.
    """

    timesteps: int
    padded_timesteps: int
    batches: int
    seen_once: int


def count_epoch(
    dataset: SequenceDataset,
    plan: BatchPlan,
    model: SequenceAutoencoder,
    shuffle: Shuffle,
    *,
    progress: ShowProgress = ignore_progress,
) -> EpochCount:
    """Reads one epoch of the training split and counts what its batches hold for a model."""
    plan = dataclasses.replace(plan, replicas=1)
    keys: collections.Counter[bytes] = collections.Counter()
    timesteps = padded = batches = 0
    with explained(dataset.split(TRAINING_SPLIT)):
        batches_read = counted(
            packed_steps(dataset, plan, shuffle=shuffle).as_numpy_iterator(),
            progress,
            Progress(f"epoch of {TRAINING_SPLIT}", 0, plan.num_sequences, "sequences"),
            size=lambda batch: len(batch["length"]),
        )
        for batch in batches_read:
            keys.update(batch["key"].tolist())
            length = batch["length"]
            timesteps += len(batch["values"])
            if model.alignment.pads:
                padded += int((model.padded_length(length) - length).sum())
            batches += 1
    return EpochCount(
        timesteps=timesteps,
        padded_timesteps=padded,
        batches=batches,
        seen_once=sum(count == 1 for count in keys.values()),
    )
