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
from typing import Any

import numpy as np

from padless.pipeline.planning.bands import expected_bands, expected_longest
from padless.pipeline.planning.batch_time import DEFAULT_COST, BatchCost
from padless.pipeline.planning.budget import DEFAULT_BUDGET, Budget
from padless.pipeline.planning.merging import merge_lengths

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
        return _batch_limits(
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

    def without_padding(self) -> BatchPlan:
        """Returns the plan of the same sequences with nothing padded."""
        return plan_epoch(
            self.lengths,
            budget=self.budget,
            replicas=self.replicas,
            cost=self.cost,
            accumulate=self.accumulates,
            group_size=self.group_size,
            packed_timesteps=None if self.group_size is None else self.packed_timesteps,
        )


def plan_batches(
    lengths: Mapping[int, int],
    *,
    batch_size: int | None = None,
    batch_timesteps: int | None = None,
    replicas: int = 1,
    max_padding: float = 0.0,
    cost: BatchCost = DEFAULT_COST,
    accumulate: bool = True,
    group_size: int | None = None,
    packed_timesteps: int | None = None,
) -> BatchPlan:
    """Plans the batches of an epoch from the histogram of lengths.

    Batches of one length are balanced: 65 sequences under a batch size of 64 give 33 + 32, not
    64 + 1.

    Args:
        lengths: length in timesteps -> number of sequences.
        batch_size: most sequences per batch; 64 if `batch_timesteps` is not given either.
        batch_timesteps: most timesteps per batch, padded ones among them.
        replicas: number of replicas that share each batch.
        max_padding: most padded timesteps, as a share of those that the sequences have. Above 0
            neighbouring lengths merge where that is predicted to save time.
        cost: what batches take, which decides what merges; it changes nothing without padding.
        accumulate: whether batches add up to steps of the budget. If not, each batch is a step, the
            small ones of rare lengths too.
        group_size: for `packed_steps`: most sequences of one length that come into a step
            together, so that it has many lengths. None for batches of up to the whole budget.
        packed_timesteps: with `group_size`, most timesteps of a packed batch; a step of more is cut
            into several. 65,536 by default.

    Raises:
        ValueError: if there is no sequence, an argument is below 1, both budgets are given,
            `batch_timesteps` is less than the longest sequence, `max_padding` is negative or not
            finite, `group_size` is more than a step holds or pads, or `packed_timesteps` is given
            without it.

    Example:
        >>> plan = plan_batches({7: 65, 9: 2}, batch_size=64)
        >>> plan.bucket_batch_sizes.tolist(), plan.steps_per_epoch
        ([33, 32, 2], 2)
        >>> plan = plan_batches({7: 60, 9: 2}, batch_size=64, max_padding=0.3)
        >>> plan.bucket_shortest.tolist(), plan.bucket_lengths.tolist(), plan.padded_timesteps
        ([7], [9], 120)
        >>> plan = plan_batches({7: 65, 9: 2}, batch_size=64, group_size=8)
        >>> plan.bucket_batch_sizes.tolist(), plan.bucket_num_batches.tolist(), plan.steps_per_epoch
        ([8, 7, 2], [2, 7, 1], 2)
    """
    return plan_epoch(
        lengths,
        budget=Budget.of(batch_size, batch_timesteps),
        replicas=replicas,
        max_padding=max_padding,
        cost=cost,
        accumulate=accumulate,
        group_size=group_size,
        packed_timesteps=packed_timesteps,
    )


def plan_epoch(
    lengths: Mapping[int, int],
    *,
    budget: Budget = DEFAULT_BUDGET,
    replicas: int = 1,
    max_padding: float = 0.0,
    cost: BatchCost = DEFAULT_COST,
    accumulate: bool = True,
    group_size: int | None = None,
    packed_timesteps: int | None = None,
) -> BatchPlan:
    """Plans an epoch as `plan_batches` does, from a budget that is made already."""
    (plan,) = plan_frontier(
        lengths,
        [max_padding],
        budget=budget,
        replicas=replicas,
        cost=cost,
        accumulate=accumulate,
        group_size=group_size,
        packed_timesteps=packed_timesteps,
    )
    return plan


def plan_mixed_batches(
    lengths: Mapping[int, int],
    *,
    budget: Budget = DEFAULT_BUDGET,
    replicas: int = 1,
    cost: BatchCost = DEFAULT_COST,
    accumulate: bool = True,
) -> BatchPlan:
    """Plans batches of any lengths, all padded to the longest, as a baseline to compare with.

    Args:
        lengths: length in timesteps -> number of sequences.
        budget: how much work a step may hold.
        replicas: number of replicas that share each batch.
        cost: what batches take.
        accumulate: whether batches add up to steps of the budget.

    Raises:
        ValueError: as `plan_batches`.

    Example:
        >>> plan = plan_mixed_batches({7: 65, 9: 2}, budget=Budget(batch_size=64))
        >>> plan.bucket_batch_sizes.tolist(), plan.bucket_lengths.tolist(), plan.padded_timesteps
        ([34, 33], [9, 9], 130)
    """
    lengths = _sorted(lengths)
    _check(lengths, budget, replicas=replicas)
    return _plan_spans(
        lengths,
        np.full(len(lengths), budget.max_sequences(max(lengths))),
        np.array([len(lengths)]),
        budget=budget,
        replicas=replicas,
        max_padding=math.inf,
        cost=cost,
        accumulates=accumulate,
    )


def plan_frontier(
    lengths: Mapping[int, int],
    max_paddings: Sequence[float],
    *,
    budget: Budget = DEFAULT_BUDGET,
    replicas: int = 1,
    cost: BatchCost = DEFAULT_COST,
    accumulate: bool = True,
    group_size: int | None = None,
    packed_timesteps: int | None = None,
) -> list[BatchPlan]:
    """Plans an epoch under each of several bounds on the padding, in one search.

    Args:
        lengths: length in timesteps -> number of sequences.
        max_paddings: bounds on the padded timesteps, as in `plan_batches`.
        budget: how much work a step may hold.
        replicas: number of replicas that share each batch.
        cost: what batches take, which decides what merges.
        accumulate: whether batches add up to steps of the budget.
        group_size: most sequences of a group, as in `plan_batches`.
        packed_timesteps: most timesteps of a packed batch, as in `plan_batches`.

    Returns:
        For each bound the plan that `plan_batches` returns for it.

    Raises:
        ValueError: as `plan_batches`.
    """
    lengths = _sorted(lengths)
    _check(lengths, budget, replicas=replicas)
    for bound in max_paddings:
        check_max_padding(bound)
    _check_groups(group_size, packed_timesteps, budget=budget, shortest=min(lengths))
    if group_size is not None:
        _check_exact(max_paddings)
    packed_timesteps = packed_timesteps or DEFAULT_PACKED_TIMESTEPS
    limits = _batch_limits(list(lengths), budget, group_size, packed_timesteps)
    distinct, counts = np.array([*lengths.items()], np.int64).T
    apart = np.arange(1, len(lengths) + 1)
    frontier = merge_lengths(distinct, counts, limits, cost) if any(max_paddings) else None
    return [
        _plan_spans(
            lengths,
            limits,
            frontier.span_ends(bound * int(distinct @ counts)) if frontier and bound else apart,
            budget=budget,
            replicas=replicas,
            max_padding=bound,
            cost=cost,
            accumulates=accumulate,
            group_size=group_size,
            packed_timesteps=packed_timesteps,
        )
        for bound in max_paddings
    ]


def check_max_padding(max_padding: float) -> None:
    """Checks a bound on the padding before there are lengths to plan.

    Raises:
        ValueError: if it is negative or not finite.
    """
    if not 0 <= max_padding < math.inf:
        raise ValueError(f"`max_padding` must be at least 0 and finite, got {max_padding}.")


def _sorted(lengths: Mapping[int, int]) -> dict[int, int]:
    return {length: count for length, count in sorted(lengths.items()) if count}


def _check(lengths: Mapping[int, int], budget: Budget, *, replicas: int) -> None:
    if replicas < 1:
        raise ValueError(f"`replicas` must be at least 1, got {replicas}.")
    if not lengths:
        raise ValueError("`lengths` must count at least one sequence, got none.")
    if budget.max_sequences(longest := max(lengths)) < 1:
        raise ValueError(
            "`batch_timesteps` must be at least the length of the longest sequence, "
            f"{longest}, got {budget.batch_timesteps}."
        )


def _check_groups(
    group_size: int | None, packed_timesteps: int | None, *, budget: Budget, shortest: int
) -> None:
    for name, value in {"group_size": group_size, "packed_timesteps": packed_timesteps}.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if group_size is None:
        if packed_timesteps is not None:
            raise ValueError(
                "`packed_timesteps` needs a `group_size`: only packed steps are cut by it, "
                f"got {packed_timesteps} alone."
            )
    elif group_size > (most := budget.max_sequences(shortest)):
        raise ValueError(
            f"`group_size` must be at most {most}, the sequences of the shortest length that the "
            f"budget of a step allows, got {group_size}."
        )


def _check_exact(max_paddings: Sequence[float]) -> None:
    if any(max_paddings):
        raise ValueError(
            "`max_padding` must be 0 with a `group_size`, as packed steps hold all lengths without "
            f"padding, got {max(max_paddings)}."
        )


def _batch_limits(
    lengths: Sequence[int], budget: Budget, group_size: int | None, packed_timesteps: int
) -> np.ndarray:
    """Returns the most sequences of each length in one batch, int64 `(lengths,)`."""
    limits = np.array([budget.max_sequences(length) for length in lengths], np.int64)
    if group_size is None:
        return limits
    fitting = np.maximum(packed_timesteps // np.array(lengths), 1)
    return np.minimum(np.minimum(limits, group_size), fitting)


def _plan_spans(
    lengths: Mapping[int, int], limits: np.ndarray, ends: np.ndarray, **options: Any
) -> BatchPlan:
    """Makes the plan whose spans end before the positions `ends` of the lengths."""
    distinct, counts = np.array([*lengths.items()], np.int64).T
    shortest, longest, sizes, batches = _bucket_spans(distinct, counts, limits, ends)
    return BatchPlan(
        lengths=lengths,
        bucket_shortest=shortest,
        bucket_lengths=longest,
        bucket_batch_sizes=sizes,
        bucket_num_batches=batches,
        **options,
    )


def _bucket_spans(
    lengths: np.ndarray, counts: np.ndarray, limits: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Lists the buckets of each span: shortest and longest length, batch size, batches."""
    starts = np.concatenate([[0], ends[:-1]])
    spans = zip(
        lengths[starts].tolist(),
        lengths[ends - 1].tolist(),
        np.add.reduceat(counts, starts).tolist(),
        limits[ends - 1].tolist(),
        strict=True,
    )
    buckets = [
        (shortest, longest, size, batches)
        for shortest, longest, count, limit in spans
        for size, batches in _balance(count, limit)
    ]
    return np.array(buckets, np.int64).T


def _balance(count: int, limit: int) -> list[tuple[int, int]]:
    """Splits `count` into the fewest batches, as (size, number of batches), largest first."""
    batches = -(-count // limit)
    size, larger = divmod(count, batches)
    return [(s, n) for s, n in ((size + 1, larger), (size, batches - larger)) if n]
