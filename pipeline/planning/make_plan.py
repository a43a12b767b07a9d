"""Makes batch plans from the histogram of lengths, before any sequence is read. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padless.pipeline.planning.batch_time import DEFAULT_COST, BatchCost
from padless.pipeline.planning.budget import DEFAULT_BUDGET, Budget
from padless.pipeline.planning.merging import merge_lengths
from padless.pipeline.planning.plan import DEFAULT_PACKED_TIMESTEPS, BatchPlan, batch_limits


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
    limits = batch_limits(list(lengths), budget, group_size, packed_timesteps)
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


def without_padding(plan: BatchPlan) -> BatchPlan:
    """Returns the plan of the same sequences with nothing padded."""
    return plan_epoch(
        plan.lengths,
        budget=plan.budget,
        replicas=plan.replicas,
        cost=plan.cost,
        accumulate=plan.accumulates,
        group_size=plan.group_size,
        packed_timesteps=None if plan.group_size is None else plan.packed_timesteps,
    )


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
