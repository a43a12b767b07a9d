"""The beginning of another epoch, beside the first: what is shuffled, and what comes again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from padless.pipeline.diagnosis.tf_dataset.epoch import FIRST_BATCHES, fingerprint, iterate
from padless.pipeline.diagnosis.tf_dataset.stages import BatchStage


@dataclasses.dataclass(frozen=True, slots=True)
class SecondEpoch:
    """How the beginning of a second epoch compares with that of the first.

    Attributes:
        is_empty: whether there is no batch.
        is_same: whether the batches compared are equal.
        has_same_batches: whether the stage of batches gives the same ones twice, in the same order,
            so that whole batches are shuffled after it; None where it was not asked.
        num_batches: batches compared.
    """

    is_empty: bool
    is_same: bool
    has_same_batches: bool | None
    num_batches: int


def compare_epochs(dataset: Any, first: Sequence[bytes], stage: BatchStage | None) -> SecondEpoch:
    """Reads the first batches once more.

    Args:
        dataset: a `tf.data.Dataset`.
        first: fingerprints of the first batches of the epoch that was read.
        stage: the stage of batches where a later one shuffles them, else None.
    """
    second = _read_first(dataset)
    is_same = second == list(first)
    has_same_batches = None
    if second and not is_same and stage is not None:
        has_same_batches = _read_first(stage.output) == _read_first(stage.output)
    return SecondEpoch(not second, is_same, has_same_batches, len(first))


def _read_first(dataset: Any) -> list[bytes]:
    elements = itertools.islice(iterate(dataset, "batch"), FIRST_BATCHES)
    return [fingerprint(tf.nest.flatten(element)) for element in elements]
