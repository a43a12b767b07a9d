"""Makes batch plans from the histogram of lengths, before any sequence is read. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from padless.pipeline.planning.budget import DEFAULT_BUDGET, Budget
from padless.pipeline.planning.plan import DEFAULT_PACKED_TIMESTEPS, BatchPlan, batch_limits


def plan_batches(
    lengths: Mapping[int, int],
    *,
    batch_size: int | None = None,
    batch_timesteps: int | None = None,
    replicas: int = 1,
    group_size: int | None = None,
    packed_timesteps: int | None = None,
) -> BatchPlan:
    """Plans the batches of an epoch from the histogram of lengths.

    Batches of one length are balanced: 65 sequences under a batch size of 64 give 33 + 32, not
    64 + 1.

    Args:
        lengths: length in timesteps -> number of sequences.
        batch_size: most sequences per batch; 64 if `batch_timesteps` is not given either.
        batch_timesteps: most timesteps per batch.
        replicas: number of replicas that share each packed batch.
        group_size: for `packed_steps`: most sequences of one length that come into a step
            together, so that it has many lengths. None for batches of up to the whole budget.
        packed_timesteps: with `group_size`, most timesteps of a packed batch; a step of more is cut
            into several. 65,536 by default.

    Raises:
        ValueError: if there is no sequence, an argument is below 1, both budgets are given,
            `batch_timesteps` is less than the longest sequence, `group_size` is more than
            `batch_size`, or `packed_timesteps` is given without it.

    Example:
        >>> plan = plan_batches({7: 65, 9: 2}, batch_size=64)
        >>> plan.bucket_batch_sizes.tolist(), plan.steps_per_epoch
        ([33, 32, 2], 2)
        >>> plan = plan_batches({7: 65, 9: 2}, batch_size=64, group_size=8)
        >>> plan.bucket_batch_sizes.tolist(), plan.bucket_num_batches.tolist(), plan.steps_per_epoch
        ([8, 7, 2], [2, 7, 1], 2)
    """
    return plan_epoch(
        lengths,
        budget=Budget.of(batch_size, batch_timesteps),
        replicas=replicas,
        group_size=group_size,
        packed_timesteps=packed_timesteps,
    )


def plan_epoch(
    lengths: Mapping[int, int],
    *,
    budget: Budget = DEFAULT_BUDGET,
    replicas: int = 1,
    group_size: int | None = None,
    packed_timesteps: int | None = None,
) -> BatchPlan:
    """Plans an epoch as `plan_batches` does, from a budget that is made already."""
    lengths = {length: count for length, count in sorted(lengths.items()) if count}
    _check(lengths, budget, replicas=replicas)
    _check_groups(group_size, packed_timesteps, budget)
    packed_timesteps = packed_timesteps or DEFAULT_PACKED_TIMESTEPS
    limits = batch_limits(list(lengths), budget, group_size, packed_timesteps)
    buckets = [
        (length, size, batches)
        for (length, count), limit in zip(lengths.items(), limits.tolist(), strict=True)
        for size, batches in _balance(count, limit)
    ]
    bucket_lengths, sizes, batches = np.array(buckets, np.int64).T
    return BatchPlan(
        lengths=lengths,
        budget=budget,
        replicas=replicas,
        bucket_lengths=bucket_lengths,
        bucket_batch_sizes=sizes,
        bucket_num_batches=batches,
        group_size=group_size,
        packed_timesteps=packed_timesteps,
    )


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


def _check_groups(group_size: int | None, packed_timesteps: int | None, budget: Budget) -> None:
    for name, value in {"group_size": group_size, "packed_timesteps": packed_timesteps}.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if group_size is None:
        if packed_timesteps is not None:
            raise ValueError(
                "`packed_timesteps` needs a `group_size`: only packed steps are cut by it, "
                f"got {packed_timesteps} alone."
            )
    elif budget.batch_size is not None and group_size > budget.batch_size:
        raise ValueError(
            f"`group_size` must be at most `batch_size`, {budget.batch_size}, got {group_size}."
        )


def _balance(count: int, limit: int) -> list[tuple[int, int]]:
    """Splits `count` into the fewest batches, as (size, number of batches), largest first."""
    batches = -(-count // limit)
    size, larger = divmod(count, batches)
    return [(s, n) for s, n in ((size + 1, larger), (size, batches - larger)) if n]
