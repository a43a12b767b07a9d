"""A batch plan in words: its counts, what padding would cost instead, its buckets."""

from __future__ import annotations

from padless.pipeline.planning.padding import (
    expected_timesteps_padded_per_batch,
    timesteps_padded_to_longest,
)
from padless.pipeline.planning.plan import BatchPlan

# On a CPU with 64 units an epoch took 0.4 of the time of one padded per batch where 1.9 times the
# timesteps ran in a row (benchmarks/training_cost.py), and 2.3 of it where 32 times as many did.
_MANY_IN_A_ROW = 8


def describe_plan(plan: BatchPlan) -> str:
    """Shows a plan, and beside it what padding would cost, as aligned lines."""
    unit, limit = "sequences" if plan.budget.batch_size else "timesteps", plan.budget.limit
    rows = [
        ("sequences", plan.num_sequences, ""),
        ("lengths", len(plan.lengths), f"{min(plan.lengths)} to {max(plan.lengths)} timesteps"),
        *_merged_rows(plan),
        ("batches", plan.num_batches, f"at most {limit:,} {unit} each"),
        ("  of them partial", plan.partial_batches, "below that limit"),
        ("steps per epoch", plan.steps_per_epoch, _step_note(plan, unit)),
        ("padded timesteps", plan.padded_timesteps, _padding_note(plan)),
        ("filler rows", plan.filler_rows, f"of weight 0, with replicas: {plan.replicas}"),
    ]
    lines = [f"{name:<18}{count:>12,}  {note}".rstrip() for name, count, note in rows]
    return "\n".join([*lines, "", *_compare_with_padding(plan)])


def list_buckets(plan: BatchPlan) -> str:
    """Lists the buckets of a plan, one line each; of a span, its shortest and longest length."""
    columns = (
        plan.bucket_shortest,
        plan.bucket_lengths,
        plan.bucket_batch_sizes,
        plan.bucket_num_batches,
    )
    lines = [f"{'length':>15}  {'sequences per batch':>19}  {'batches':>8}"]
    for shortest, longest, size, batches in zip(*(c.tolist() for c in columns), strict=True):
        length = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
        lines.append(f"{length:>15}  {size:>19,}  {batches:>8,}")
    return "\n".join(lines)


def _step_note(plan: BatchPlan, unit: str) -> str:
    if plan.accumulates:
        return f"{plan.budget.limit:,} {unit} on average"
    return f"one per batch, {plan.epoch_work / plan.num_batches:,.1f} {unit} on average"


def _merged_rows(plan: BatchPlan) -> list[tuple[str, int, str]]:
    if plan.is_exact:
        return []
    return [("  merged into", plan.num_spans, "spans of neighbours, each padded to its longest")]


def _padding_note(plan: BatchPlan) -> str:
    if not plan.max_padding:
        return ""
    return f"{100 * plan.padding:.3g} % of the sequences' own, at most {100 * plan.max_padding:g} %"


def _compare_with_padding(plan: BatchPlan) -> list[str]:
    size = plan.budget.batch_size or max(1, round(plan.num_sequences / plan.steps_per_epoch))
    size = min(size, plan.num_sequences)
    batches = -(-plan.num_sequences // size)
    per_batch = expected_timesteps_padded_per_batch(plan.lengths, size)
    to_longest = timesteps_padded_to_longest(plan.lengths)
    ways = _ways_of(plan) | {
        f"padded to the longest of {size}": (per_batch, per_batch / size),
        "padded to the longest of all": (to_longest, max(plan.lengths) * batches),
    }
    lines = [f"{'timesteps per epoch':<34}{'computed':>16}{'':8}{'in a row':>12}"]
    for way, (computed, in_a_row) in ways.items():
        ratio = f"x {computed / plan.num_timesteps:.2f}"
        lines.append(f"  {way:<32}{computed:>16,.0f}{ratio:>8}{in_a_row:>12,.0f}")
    if plan.timesteps_in_a_row > _MANY_IN_A_ROW * per_batch / size:
        lines.append(
            "note: most lengths are rare, so batches are small and many timesteps run in a "
            "row: an epoch may take longer than a padded one would. `padless plan --frontier` "
            "shows what a little padding saves."
        )
    return lines


def _ways_of(plan: BatchPlan) -> dict[str, tuple[int, int]]:
    """Counts the timesteps of the plan and, where it pads, of the one that does not."""
    equal = plan if plan.is_exact else plan.without_padding()
    ways = {"equal lengths": (equal.computed_timesteps, equal.timesteps_in_a_row)}
    if plan.is_exact:
        return {"equal lengths (this plan)": ways["equal lengths"]}
    merged = plan.computed_timesteps, plan.timesteps_in_a_row
    return {"merged lengths (this plan)": merged} | ways
