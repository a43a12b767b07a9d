"""The batch plan: which batches and steps an epoch has, known before it starts. NumPy only.

A *batch* has sequences of one length. A *step* is one update of the weights: it takes batches until
its budget is full. So a rare length costs a small batch, but not a step of its own. A step holds
the budget on average, and never twice as much.

With `group_size` the batches are *groups*: a few sequences of one length, so that a step has many
lengths. `padless.pipeline.packed_steps` reads all groups of a step as one packed batch.

Neither batches nor steps depend on the number of replicas. That is what makes a run on 4 replicas
the run on 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padless.pipeline.planning.bands import expected_bands, expected_longest
from padless.pipeline.planning.budget import Budget

# Most sequences of a group where nothing else is asked for: docs/plan.md has the measurements.
DEFAULT_GROUP_SIZE = 8
# Most timesteps of a packed batch where nothing else is asked for: 64 sequences of 1,024 timesteps.
DEFAULT_PACKED_TIMESTEPS = 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batches and steps of one epoch, as buckets of equal batches.

    A length has one bucket, or two whose batch sizes differ by one, so that every batch of a bucket
    is full: grouping leaves no remainder to drop or to flush at the end of the epoch.

    Attributes:
        lengths: length in timesteps -> number of sequences, ascending.
        budget: what was asked for.
        replicas: how many share each packed batch.
        bucket_lengths: timesteps of its sequences, int64 `(buckets,)`, ascending.
        bucket_batch_sizes: sequences in each batch of the bucket, int64 `(buckets,)`.
        bucket_num_batches: batches of the bucket in an epoch, int64 `(buckets,)`.
        group_size: most sequences of a batch where batches are the groups of packed steps, or None.
        packed_timesteps: most timesteps of a packed batch of these groups. A step of more is cut
            into several; only a longer sequence, alone, exceeds it.
    """

    lengths: Mapping[int, int]
    budget: Budget
    replicas: int
    bucket_lengths: np.ndarray
    bucket_batch_sizes: np.ndarray
    bucket_num_batches: np.ndarray
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
    def num_batches(self) -> int:
        """Batches in an epoch; groups, where there is a `group_size`."""
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
    def steps_per_epoch(self) -> int:
        """Steps in an epoch.

        A step ends where the work that remains falls to or below a multiple of the budget. As no
        batch is more work than the budget, each multiple, 0 among them, ends a step of its own, in
        whatever order the batches come.
        """
        return -(-self.epoch_work // self.budget.limit)

    @property
    def epoch_work(self) -> int:
        """Sequences or timesteps in an epoch, in the budget's unit."""
        return self.num_timesteps if self.budget.batch_size is None else self.num_sequences

    def ends_step(self, before: Any, after: Any) -> Any:
        """Checks whether the work that remains falls to or below a multiple of the budget.

        Counting up would also show where the budget is full, but could end an epoch one step early:
        a last batch that reaches past the last multiple leaves no batch for the step after it.

        Args:
            before: work of the epoch that is left before a batch, integers in an array or a tensor.
            after: that after it.
        """
        return (before - 1) // self.budget.limit > (after - 1) // self.budget.limit

    @property
    def bands_per_step(self) -> float:
        """Distinct lengths of a step, on average over all orders of the batches."""
        _, batches = self._count_by_length()
        return expected_bands(batches, self.num_batches / self.steps_per_epoch)

    @property
    def bucket_work(self) -> np.ndarray:
        """What a batch of each bucket takes from the budget, int64 `(buckets,)`."""
        return self.bucket_batch_sizes * self.budget.work(self.bucket_lengths)

    @property
    def may_cut_steps(self) -> bool:
        """Whether a step may exceed `packed_timesteps`, and so be several packed batches."""
        per_unit = int(self.bucket_lengths.max()) if self.budget.batch_timesteps is None else 1
        return self.most_work_per_step * per_unit > self.packed_timesteps

    @property
    def most_work_per_step(self) -> int:
        """Most that a step holds in the budget's unit: less than the budget and one more batch."""
        return self.budget.limit - 1 + int(self.bucket_work.max())

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


def batch_limits(
    lengths: Sequence[int], budget: Budget, group_size: int | None, packed_timesteps: int
) -> np.ndarray:
    """Returns the most sequences of each length in one batch, int64 `(lengths,)`."""
    limits = np.array([budget.max_sequences(length) for length in lengths], np.int64)
    if group_size is None:
        return limits
    fitting = np.maximum(packed_timesteps // np.array(lengths), 1)
    return np.minimum(np.minimum(limits, group_size), fitting)
