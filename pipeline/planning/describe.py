"""A batch plan in words: its counts, what padding would cost instead, its buckets."""

from __future__ import annotations

from padless.pipeline.planning.make_plan import plan_epoch
from padless.pipeline.planning.padding import (
    expected_timesteps_padded_per_batch,
    timesteps_padded_to_longest,
)
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.wording import as_range


def describe_plan(plan: BatchPlan) -> str:
    """Returns a plan, and beside it what padding would cost, as aligned lines."""
    unit = "sequences" if plan.budget.batch_size else "timesteps"
    rows = [
        ("sequences", plan.num_sequences, ""),
        ("lengths", len(plan.lengths), f"{as_range(plan.lengths)} timesteps"),
        _batch_row(plan, unit),
        ("  of them partial", plan.partial_batches, "below that limit"),
        ("steps per epoch", plan.steps_per_epoch, _step_note(plan, unit)),
    ]
    lines = [f"{name:<18}{count:>12,}  {note}".rstrip() for name, count, note in rows]
    return "\n".join([*lines, "", *_compare_with_padding(plan)])


def list_buckets(plan: BatchPlan) -> str:
    """Lists the buckets of a plan, one line each."""
    name, plural = ("batch", "batches") if plan.group_size is None else ("group", "groups")
    columns = (plan.bucket_lengths, plan.bucket_batch_sizes, plan.bucket_num_batches)
    lines = [f"{'length':>10}  {f'sequences per {name}':>19}  {plural:>8}"]
    for length, size, batches in zip(*(c.tolist() for c in columns), strict=True):
        lines.append(f"{length:>10,}  {size:>19,}  {batches:>8,}")
    return "\n".join(lines)


def _batch_row(plan: BatchPlan, unit: str) -> tuple[str, int, str]:
    if plan.group_size is None:
        return "batches", plan.num_batches, f"at most {plan.budget.limit:,} {unit} each"
    note = f"at most {plan.group_size:,} sequences of one length each"
    return "groups", plan.num_batches, note


def _step_note(plan: BatchPlan, unit: str) -> str:
    if plan.group_size is not None:
        mean = plan.epoch_work / plan.steps_per_epoch
        return f"{mean:,.1f} {unit} of {plan.bands_per_step:,.1f} lengths on average"
    return f"{plan.budget.limit:,} {unit} on average"


def count_timesteps(plan: BatchPlan) -> dict[str, tuple[float, float]]:
    """Counts the timesteps of an epoch: those of the plan, and what others would make of them.

    Returns:
        Timesteps computed, and timesteps in a row (the lengths of the batches added up), by the way
        to form batches: `"plan"`; `"equal_lengths"`, if the plan has groups; and for batches of
        random sequences `"padded_per_batch"`, each to its own longest, and `"padded_to_longest"`,
        to that of the epoch.
    """
    size = _mean_sequences(plan)
    ways: dict[str, tuple[float, float]] = {"plan": (plan.num_timesteps, plan.timesteps_in_a_row)}
    if plan.group_size is not None:
        equal = plan_epoch(plan.lengths, budget=plan.budget)
        ways["equal_lengths"] = equal.num_timesteps, equal.timesteps_in_a_row
    per_batch = expected_timesteps_padded_per_batch(plan.lengths, size)
    ways["padded_per_batch"] = per_batch, per_batch / size
    batches = -(-plan.num_sequences // size)
    to_longest = timesteps_padded_to_longest(plan.lengths)
    return ways | {"padded_to_longest": (to_longest, max(plan.lengths) * batches)}


def _mean_sequences(plan: BatchPlan) -> int:
    size = plan.budget.batch_size or max(1, round(plan.num_sequences / plan.steps_per_epoch))
    return min(size, plan.num_sequences)


def name_ways(plan: BatchPlan) -> dict[str, str]:
    """Names the ways of `count_timesteps` for readers."""
    return {
        "plan": f"{'equal lengths' if plan.group_size is None else 'packed steps'} (this plan)",
        "equal_lengths": "equal lengths",
        "padded_per_batch": f"padded to the longest of {_mean_sequences(plan)}",
        "padded_to_longest": "padded to the longest of all",
    }


def _compare_with_padding(plan: BatchPlan) -> list[str]:
    ways, names = count_timesteps(plan), name_ways(plan)
    lines = [
        "timesteps of an epoch: those computed, as a multiple of the sequences' own, and",
        "those in a row, the lengths of all batches added up (the sequences of a batch",
        "run side by side)",
        f"  {'batches':<32}{'computed':>16}{'':8}{'in a row':>12}",
    ]
    for way, (computed, in_a_row) in ways.items():
        ratio = f"x {computed / plan.num_timesteps:.2f}"
        lines.append(f"  {names[way]:<32}{computed:>16,.0f}{ratio:>8}{in_a_row:>12,.0f}")
    return lines
