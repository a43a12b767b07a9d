"""All that was counted of a dataset, which the checks read."""

from __future__ import annotations

import dataclasses

import numpy as np

from padless.pipeline.diagnosis.tf_dataset.components import Component
from padless.pipeline.diagnosis.tf_dataset.epoch import Epoch, Layout
from padless.pipeline.diagnosis.tf_dataset.second_epoch import SecondEpoch
from padless.pipeline.diagnosis.tf_dataset.sequences import Sequences
from padless.pipeline.diagnosis.tf_dataset.stages import BatchStage, ShuffleStage

UNKNOWN, INFINITE = -2, -1


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the checks read.

    Attributes:
        components: those of an element.
        layout: where its parts are.
        stages: their names, from the source to the end.
        cardinality: batches that the dataset promises, `UNKNOWN` or `INFINITE`.
        epoch: what was counted of an epoch.
        batch_stage: the stage that makes batches, None where none can be read.
        sequences: what was counted before that stage, or None.
        shuffles: the stages that shuffle, the last one first.
        second: the beginning of another epoch, None where it was not read.
        replicas: for how many the batches are cut.
        trace_seconds: seconds that one trace takes, None where it was not measured.
        is_deterministic: the option of that name.
        ignores_errors: whether there is a stage `ignore_errors`.
    """

    components: tuple[Component, ...]
    layout: Layout
    stages: tuple[str, ...]
    cardinality: int
    epoch: Epoch
    batch_stage: BatchStage | None
    sequences: Sequences | None
    shuffles: tuple[ShuffleStage, ...]
    second: SecondEpoch | None
    replicas: int
    trace_seconds: float | None
    is_deterministic: bool | None
    ignores_errors: bool

    @property
    def agrees(self) -> bool:
        """Whether the sequences before and after the stage of batches are of one epoch.

        They are not where a random stage drops sequences, or a later one adds some.
        """
        if self.sequences is None or not self.epoch.is_whole:
            return self.sequences is not None
        return sum(map(len, self.sequences.kept)) == self.epoch.num_rows

    @property
    def lengths(self) -> list[np.ndarray] | None:
        """The real length of each sequence that is kept, by batch, None where it is not told."""
        if self.epoch.lengths is not None:
            return list(self.epoch.lengths)
        if self.sequences is None or not self.sequences.has_lengths or not self.agrees:
            return None
        return self.sequences.kept

    @property
    def real(self) -> int | None:
        """Number of real timesteps, None where it is not told."""
        lengths = self.lengths
        if lengths is None:
            return None
        real = sum(int(of_batch.sum()) for of_batch in lengths)
        return real if real <= self.epoch.computed or self.is_ragged else None

    @property
    def is_ragged(self) -> bool:
        """Whether the sequences come as ragged tensors."""
        return self.layout.sequence.is_ragged

    @property
    def computed(self) -> int:
        """Timesteps that a model computes; of ragged tensors the real ones."""
        if self.is_ragged and self.epoch.lengths is not None:
            return sum(int(of_batch.sum()) for of_batch in self.epoch.lengths)
        return self.epoch.computed

    @property
    def padded(self) -> int:
        """Timesteps that are padding, 0 where it is not told."""
        return 0 if self.real is None else self.computed - self.real
