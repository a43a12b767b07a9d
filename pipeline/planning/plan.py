"""The batch plan: which equal-length batches an epoch has, known before it starts. NumPy only.

A *batch* is one tensor, all of whose sequences have one length. A *step* is one update of the
weights: batches accumulate until the budget is full. So a rare length costs a small batch, but not
a step of its own. A step holds the budget on average, and never twice as much.

With `max_padding` above 0 neighbouring lengths may share batches, padded to the longest of them:
`padless.pipeline.planning.merging` chooses which, for the least predicted time within that bound.

With `group_size` the batches are *groups*: a few sequences of one length, so that a step has many
lengths. `padless.pipeline.packed_steps` reads all groups of a step as one packed batch.

Neither batches nor steps depend on the number of replicas: it only decides how many rows of weight
0 fill a batch up to a multiple of it, and packed batches need none. That is what makes a run on 4
replicas the run on 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from padless.pipeline.planning.bands import expected_bands, expected_longest
from padless.pipeline.planning.batch_time import BatchCost
from padless.pipeline.planning.budget import Budget

# Most timesteps of a packed batch where nothing else is asked for: 64 sequences of 1,024 timesteps.
DEFAULT_PACKED_TIMESTEPS = 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batches and steps of one epoch, as buckets of equal batches.

    A length has one bucket, or two whose batch sizes differ by one, so that every batch of a bucket
    is full: grouping leaves no remainder to drop or to flush at the end of the epoch. With
    `max_padding` above 0 the same holds for a span of neighbouring lengths, which share the bucket
    or the two, padded to the longest of them.

    Attributes:
        lengths: length in timesteps -> number of sequences, ascending.
        budget: what was asked for.
        replicas: every batch is filled up to a multiple of it.
        max_padding: the bound on `padding` that was asked for; infinite for `plan_mixed_batches`.
        cost: what the plan predicts times from.
        bucket_shortest: shortest length of the bucket, int64 `(buckets,)`, ascending.
        bucket_lengths: timesteps of its batches, the longest length, int64 `(buckets,)`, ascending.
        bucket_batch_sizes: sequences in each batch of the bucket, int64 `(buckets,)`.
        bucket_num_batches: batches of the bucket in an epoch, int64 `(buckets,)`.
        accumulates: whether batches add up to steps of the budget, or each is a step of its own.
        group_size: most sequences of a batch where batches are the groups of packed steps, or None.
        packed_timesteps: most timesteps of a packed batch of these groups. A step of more is cut
            into several; only a longer sequence, alone, exceeds it.
    """

    lengths: Mapping[int, int]
    budget: Budget
    replicas: int
    max_padding: float
    cost: BatchCost
    bucket_shortest: np.ndarray
    bucket_lengths: np.ndarray
    bucket_batch_sizes: np.ndarray
    bucket_num_batches: np.ndarray
    accumulates: bool = True
    group_size: int | None = None
    packed_timesteps: int = DEFAULT_PACKED_TIMESTEPS

    @property
    def num_sequences(self) -> int:
        """Sequences in an epoch, each counted once."""
        return sum(self.lengths.values())

    @property
    def num_timesteps(self) -> int:
        """Timesteps that the sequences of an epoch have."""
        return sum(length * count for length, count in self.lengths.items())

    def length_tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Tabulates by length, from 0 to the longest, int64 `(longest + 1,)` twice.

        Returns:
            The first bucket that takes it (0 for lengths that the plan does not have), and the
            number of its sequences.
        """
        lengths = list(self.lengths)
        first, planned = np.zeros((2, max(lengths) + 1), np.int64)
        first[lengths] = np.searchsorted(self.bucket_lengths, lengths)
        planned[lengths] = list(self.lengths.values())
        return first, planned

    @property
    def is_exact(self) -> bool:
        """Whether no bucket holds two lengths, so that nothing is padded."""
        return bool((self.bucket_shortest == self.bucket_lengths).all())

    @property
    def kind(self) -> str:
        """What the batches are, in words."""
        if self.is_exact:
            return "equal-length batches"
        is_mixed = math.isinf(self.max_padding)
        return f"batches of {'mixed' if is_mixed else 'neighbouring'} lengths"

    @property
    def num_spans(self) -> int:
        """Spans of neighbouring lengths that share batches; as many as lengths if it is exact."""
        return len(np.unique(self.bucket_lengths))

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return int(self.bucket_num_batches.sum())

    @property
    def bucket_limits(self) -> np.ndarray:
        """Most sequences that the options allow in a batch of the bucket, int64 `(buckets,)`."""
        return batch_limits(
            self.bucket_lengths.tolist(), self.budget, self.group_size, self.packed_timesteps
        )

    @property
    def partial_batches(self) -> int:
        """Batches with fewer sequences than the options allow at their length."""
        return int(self.bucket_num_batches[self.bucket_batch_sizes < self.bucket_limits].sum())

    @property
    def full_share(self) -> float:
        """Share of the batches that are not partial."""
        return 1 - self.partial_batches / self.num_batches

    @property
    def mean_fill(self) -> float:
        """Sequences of a batch as a share of the most that the options allow, over all batches.

        Batches of a length are balanced, 33 + 32 and not 64 + 1, so few may be full where all are
        nearly so.
        """
        fill = self.bucket_batch_sizes / self.bucket_limits
        return float(fill @ self.bucket_num_batches) / self.num_batches

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch.

        A step ends where the work that remains falls to or below a multiple of the budget. As no
        batch is more work than the budget, each multiple, 0 among them, ends a step of its own, in
        whatever order the batches come.
        """
        if not self.accumulates:
            return self.num_batches
        return -(-self.epoch_work // self.budget.limit)

    @property
    def epoch_work(self) -> int:
        """Sequences or timesteps in an epoch, padded ones among them, in the budget's unit."""
        if self.budget.batch_size is None:
            return self.num_timesteps + self.padded_timesteps
        return self.num_sequences

    @property
    def padded_timesteps(self) -> int:
        """Timesteps that the batches of an epoch have beyond those of their sequences."""
        rows = self.bucket_batch_sizes * self.bucket_num_batches
        return int(self.bucket_lengths @ rows) - self.num_timesteps

    @property
    def padding(self) -> float:
        """Padded timesteps, as a share of the timesteps that the sequences have."""
        return self.padded_timesteps / max(self.num_timesteps, 1)

    @property
    def filler_rows(self) -> int:
        """Rows of weight 0, over an epoch, that fill batches up to a multiple of the replicas."""
        return int(self._bucket_filler_rows @ self.bucket_num_batches)

    @property
    def computed_timesteps(self) -> int:
        """Timesteps that the batches of an epoch have, those of filler rows among them."""
        rows = self.bucket_batch_sizes + self._bucket_filler_rows
        return int(self.bucket_lengths * rows @ self.bucket_num_batches)

    @property
    def _bucket_filler_rows(self) -> np.ndarray:
        """Rows of weight 0 in each batch of the bucket, int64 `(buckets,)`; none in a group."""
        replicas = self.replicas if self.group_size is None else 1
        return -self.bucket_batch_sizes % replicas

    @property
    def bands_per_step(self) -> float:
        """Distinct lengths of a step, on average over all orders of the batches."""
        _, batches = self._count_by_length()
        return expected_bands(batches, self.num_batches / self.steps_per_epoch)

    @property
    def may_cut_steps(self) -> bool:
        """Whether a step may exceed `packed_timesteps`, and so be several packed batches."""
        groups, lengths = self.bucket_batch_sizes, self.bucket_lengths
        # A step is less than its budget and one more batch.
        most = self.budget.limit - 1 + int((groups * self.budget.work(lengths)).max())
        per_unit = int(lengths.max()) if self.budget.batch_timesteps is None else 1
        return most * per_unit > self.packed_timesteps

    @property
    def timesteps_in_a_row(self) -> int:
        """Timesteps that an epoch runs one after another: the lengths of its batches, added up.

        A batch takes its timesteps in turn however few its rows are, so this, and not the number of
        timesteps computed, is the time of a recurrent network on batches too small for the device.
        The groups of a step run side by side, so with `group_size` it is the expected longest
        length of a step, times the steps.
        """
        if self.group_size is None:
            return int(self.bucket_lengths @ self.bucket_num_batches)
        lengths, groups = self._count_by_length()
        per_step = expected_longest(lengths, groups, self.num_batches / self.steps_per_epoch)
        return round(per_step * self.steps_per_epoch)

    def _count_by_length(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lengths of batches, ascending, and how many each has, int64 `(lengths,)`."""
        lengths, of_length = np.unique(self.bucket_lengths, return_inverse=True)
        batches = np.zeros_like(lengths)
        np.add.at(batches, of_length, self.bucket_num_batches)
        return lengths, batches

    @property
    def predicted_seconds(self) -> float:
        """Time of an epoch on one device, by `cost`; filler rows are left out."""
        computed = self.num_timesteps + self.padded_timesteps
        batches = self.num_batches if self.group_size is None else self.steps_per_epoch
        return float(self.cost.seconds(batches, self.timesteps_in_a_row, computed))


def batch_limits(
    lengths: Sequence[int], budget: Budget, group_size: int | None, packed_timesteps: int
) -> np.ndarray:
    """Returns the most sequences of each length in one batch, int64 `(lengths,)`."""
    limits = np.array([budget.max_sequences(length) for length in lengths], np.int64)
    if group_size is None:
        return limits
    fitting = np.maximum(packed_timesteps // np.array(lengths), 1)
    return np.minimum(np.minimum(limits, group_size), fitting)
