"""Finds what made a loss that is not finite."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.training.step import losses_of
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.batching.packed_steps import packed_steps
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.wording import shown_key

_KEYS_SHOWN = 5


def explain_loss(
    model: SequenceAutoencoder,
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str,
    shuffle: Shuffle | None,
    epoch: int,
    step: int,
) -> str:
    """Reads a step again, whose order is known, and names the sequences at fault.

    Args:
        model: with the weights that the step began with.
        dataset: the dataset.
        plan: plan of the split.
        split: name of the split.
        shuffle: what drew the order.
        epoch: number of the epoch, counted from 0.
        step: number of its step, counted from 0.
    """
    batches = packed_steps(
        dataset,
        dataclasses.replace(plan, replicas=1),
        split=split,
        shuffle=shuffle,
        epochs=range(epoch, epoch + 1),
        first_step=step,
    )
    found: list[tuple[bytes, int]] = []
    for batch in _step(batches.as_numpy_iterator()):
        losses = np.array(losses_of(model, batch))
        rows = ~np.isfinite(losses)
        found += zip(batch["key"][rows].tolist(), batch["length"][rows].tolist(), strict=True)
    if not found:
        return "the loss of each of its sequences is finite, but not their gradient"
    shown = ", ".join(f"{shown_key(key)!r} (length {n})" for key, n in found[:_KEYS_SHOWN])
    more = len(found) - _KEYS_SHOWN
    return f"the keys at fault are {shown}" + (f" and {more} more" if more > 0 else "")


def _step(batches: Iterator[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    for batch in batches:
        yield batch
        if batch["ends_step"]:
            return
