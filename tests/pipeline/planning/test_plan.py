"""The plan's arithmetic."""

import collections
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.pipeline.planning.batch_time import BatchCost
from padless.pipeline.planning.budget import Budget
from padless.pipeline.planning.describe import describe_plan, list_buckets
from padless.pipeline.planning.make_plan import (
    plan_batches,
    plan_frontier,
    plan_mixed_batches,
    without_padding,
)
from padless.pipeline.planning.padding import (
    expected_timesteps_padded_per_batch,
    timesteps_padded_to_longest,
)

histograms = st.dictionaries(st.integers(1, 60), st.integers(1, 300), min_size=1, max_size=12)


def buckets(plan):
    columns = plan.bucket_lengths, plan.bucket_batch_sizes, plan.bucket_num_batches
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize(
    ("lengths", "options", "expected"),
    [
        ({5: 65}, {"batch_size": 64}, [(5, 33, 1), (5, 32, 1)]),
        ({5: 64}, {"batch_size": 64}, [(5, 64, 1)]),
        ({5: 7}, {"batch_size": 3}, [(5, 3, 1), (5, 2, 2)]),
        ({9: 1, 5: 2}, {"batch_size": 64}, [(5, 2, 1), (9, 1, 1)]),
        ({5: 7, 10: 7}, {"batch_timesteps": 20}, [(5, 4, 1), (5, 3, 1), (10, 2, 3), (10, 1, 1)]),
        ({5: 2, 6: 0}, {}, [(5, 2, 1)]),
        ({5: 65}, {"batch_size": 64, "group_size": 8}, [(5, 8, 2), (5, 7, 7)]),
        (
            {5: 9, 50: 9},
            {"batch_timesteps": 100, "group_size": 4},
            [(5, 3, 3), (50, 2, 4), (50, 1, 1)],
        ),
        (
            {5: 9, 50: 3, 90: 2},
            {"group_size": 4, "packed_timesteps": 60},
            [(5, 3, 3), (50, 1, 3), (90, 1, 2)],
        ),
    ],
)
def test_plan_batches_balances_each_length(lengths, options, expected):
    assert buckets(plan_batches(lengths, **options)) == expected


@given(histograms, st.integers(1, 70), st.integers(1, 8))
def test_plan_batches_holds_every_sequence_once(lengths, batch_size, replicas):
    plan = plan_batches(lengths, batch_size=batch_size, replicas=replicas)
    held = dict.fromkeys(lengths, 0)
    for length, size, batches in buckets(plan):
        assert 1 <= size <= batch_size
        held[length] += size * batches
    assert held == lengths
    assert plan.num_batches == sum(-(-count // batch_size) for count in lengths.values())
    assert plan.padded_timesteps == 0


@given(histograms, st.integers(60, 200))
def test_plan_batches_keeps_to_a_budget_of_timesteps(lengths, batch_timesteps):
    plan = plan_batches(lengths, batch_timesteps=batch_timesteps)
    assert (plan.bucket_lengths * plan.bucket_batch_sizes).max() <= batch_timesteps
    assert plan.steps_per_epoch == -(-plan.num_timesteps // batch_timesteps)


def test_plan_batches_does_not_depend_on_replicas_but_for_filler():
    lengths = {5: 65, 9: 1, 12: 130}
    one, four = (plan_batches(lengths, batch_size=64, replicas=n) for n in (1, 4))
    assert buckets(one) == buckets(four)
    assert one.steps_per_epoch == four.steps_per_epoch == 4
    assert one.filler_rows == 0
    # 33 -> 36, 32 -> 32, 1 -> 4, 44 -> 44, 43 -> 44 twice
    assert four.filler_rows == 3 + 0 + 3 + 0 + 1 + 1


def test_mean_fill_is_over_batches():
    plan = plan_batches({5: 64, 7: 65}, batch_size=64)
    assert plan.full_share == pytest.approx(1 / 3)
    assert plan.mean_fill == pytest.approx((64 + 33 + 32) / 64 / 3)


def test_partial_batches_counts_batches_below_the_limit():
    assert plan_batches({5: 128, 7: 65, 9: 3}, batch_size=64).partial_batches == 3


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ({}, {}, "at least one sequence"),
        ({5: 0}, {}, "at least one sequence"),
        ({5: 1}, {"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({5: 1}, {"batch_timesteps": -2}, "`batch_timesteps` must be at least 1, got -2"),
        ({5: 1}, {"replicas": 0}, "`replicas` must be at least 1, got 0"),
        ({5: 1}, {"batch_timesteps": 4}, "longest sequence, 5, got 4"),
        ({5: 1}, {"batch_size": 2, "batch_timesteps": 9}, "Exactly one of"),
        ({5: 1}, {"max_padding": -0.1}, "`max_padding` must be at least 0 and finite, got -0.1"),
        ({5: 1}, {"max_padding": float("nan")}, "`max_padding` must be .* finite, got nan"),
        ({5: 1}, {"max_padding": float("inf")}, "`max_padding` must be .* finite, got inf"),
        ({5: 1}, {"group_size": 0}, "`group_size` must be at least 1, got 0"),
        ({5: 1}, {"group_size": 2, "packed_timesteps": 0}, "`packed_timesteps`.*at least 1, got 0"),
        ({5: 1}, {"group_size": 9, "batch_size": 8}, "`group_size` must be at most 8.*got 9"),
        ({5: 1, 9: 1}, {"group_size": 5, "batch_timesteps": 20}, "`group_size`.*at most 4.*got 5"),
        ({5: 1}, {"packed_timesteps": 9}, "`packed_timesteps` needs a `group_size`.*got 9"),
        ({5: 1}, {"group_size": 2, "max_padding": 0.1}, "`max_padding` must be 0.*got 0.1"),
    ],
)
def test_plan_batches_rejects(lengths, options, message):
    with pytest.raises(ValueError, match=message):
        plan_batches(lengths, **options)


def test_budget_rejects_nothing_given():
    with pytest.raises(ValueError, match="got neither"):
        Budget()


def test_timesteps_padded_to_longest():
    assert timesteps_padded_to_longest({2: 3, 5: 1}) == 20


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 9])
def test_expected_timesteps_padded_per_batch_is_the_mean_over_all_orders(batch_size):
    lengths = {1: 2, 3: 1, 4: 2}
    sequences = [length for length, count in lengths.items() for _ in range(count)]
    totals = [
        sum(
            max(order[i : i + batch_size]) * len(order[i : i + batch_size])
            for i in range(0, len(order), batch_size)
        )
        for order in itertools.permutations(sequences)
    ]
    expected = expected_timesteps_padded_per_batch(lengths, batch_size)
    assert expected == pytest.approx(np.mean(totals), rel=1e-12)


def test_timesteps_in_a_row_adds_up_the_lengths_of_the_batches():
    assert plan_batches({5: 65, 9: 2}, batch_size=64).timesteps_in_a_row == 5 + 5 + 9


@pytest.mark.parametrize(
    ("lengths", "has_note"), [({5: 640, 7: 64}, False), (dict.fromkeys(range(1, 900), 1), True)]
)
def test_summary_says_where_padding_would_be_faster(lengths, has_note):
    assert ("note: most lengths are rare" in describe_plan(plan_batches(lengths))) == has_note


def test_summary_of_less_than_a_batch_compares_with_what_there_is():
    shown = [
        line.split()
        for line in describe_plan(plan_batches({3: 2, 8: 1}, batch_size=64)).split("\n")
    ]
    assert ["padded", "to", "the", "longest", "of", "3", "24", "x", "1.71", "8"] in shown


@settings(deadline=None)
@given(
    histograms,
    st.fixed_dictionaries({"batch_size": st.integers(1, 70)})
    | st.fixed_dictionaries({"batch_timesteps": st.integers(60, 400)}),
    st.floats(0, 1.5),
)
def test_merged_plan_holds_every_sequence_within_its_bounds(lengths, budget, max_padding):
    plan = plan_batches(lengths, **budget, max_padding=max_padding)
    ranges = np.unique([plan.bucket_shortest, plan.bucket_lengths], axis=1).T.tolist()
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
    sizes = plan.bucket_batch_sizes * plan.bucket_num_batches
    padded = 0
    for shortest, longest in ranges:
        run = {length: n for length, n in lengths.items() if shortest <= length <= longest}
        assert sizes[plan.bucket_lengths == longest].sum() == sum(run.values())
        padded += sum((longest - length) * n for length, n in run.items())
    assert sizes.sum() == sum(lengths.values())
    assert plan.padded_timesteps == padded <= max_padding * plan.num_timesteps
    limits = [plan.budget.max_sequences(length) for length in plan.bucket_lengths.tolist()]
    assert (plan.bucket_batch_sizes <= limits).all()


@settings(deadline=None)
@given(histograms, st.integers(1, 70))
def test_plan_frontier_gets_faster_with_its_bound(lengths, batch_size):
    bounds = [0.0, 0.001, 0.01, 0.05, 0.2, 1.0, 50.0]
    plans = plan_frontier(lengths, bounds, budget=Budget(batch_size))
    seconds = [plan.predicted_seconds for plan in plans]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(seconds))
    for bound, plan in zip(bounds, plans, strict=True):
        alone = plan_batches(lengths, batch_size=batch_size, max_padding=bound)
        assert buckets(alone) == buckets(plan)
        assert alone.bucket_shortest.tolist() == plan.bucket_shortest.tolist()


def test_plan_frontier_of_many_lengths_gives_the_plan_of_each_bound():
    rng = np.random.default_rng(0)
    lengths = collections.Counter(rng.integers(1, 4000, 400).tolist())
    bounds = [0.002, 0.03, 0.5]
    for bound, plan in zip(bounds, plan_frontier(lengths, bounds), strict=True):
        alone = plan_batches(lengths, max_padding=bound)
        assert buckets(alone) == buckets(plan)
        assert 0 < plan.padding <= bound


@given(histograms, st.integers(1, 70))
def test_merged_plan_does_not_depend_on_replicas_but_for_filler(lengths, batch_size):
    one, four = (
        plan_batches(lengths, batch_size=batch_size, max_padding=0.1, replicas=n) for n in (1, 4)
    )
    assert buckets(one) == buckets(four)
    assert one.bucket_shortest.tolist() == four.bucket_shortest.tolist()
    assert one.predicted_seconds == four.predicted_seconds
    assert one.steps_per_epoch == four.steps_per_epoch


@given(histograms, st.integers(1, 70))
def test_plan_without_padding_is_exact_whatever_the_cost(lengths, batch_size):
    plan = plan_batches(lengths, batch_size=batch_size, cost=BatchCost(99.0, 0.0, 0.0))
    assert plan.is_exact
    assert plan.num_spans == len(lengths)
    merged = plan_batches(lengths, batch_size=batch_size, max_padding=2.0)
    assert buckets(without_padding(merged)) == buckets(plan)


def test_merged_plan_counts_padded_timesteps_in_its_steps():
    plan = plan_batches({9: 5, 10: 3}, batch_timesteps=40, max_padding=0.1)
    assert buckets(plan) == [(10, 4, 2)]
    assert (plan.padded_timesteps, plan.epoch_work, plan.steps_per_epoch) == (5, 80, 2)
    assert plan.timesteps_in_a_row == 20
    assert plan.full_share == 1


def test_summary_and_table_of_a_merged_plan_say_what_it_pads():
    plan = plan_batches({3: 2, 4: 9, 30: 1}, max_padding=0.05)
    shown = " ".join(describe_plan(plan).split())
    assert "merged into 2 spans of neighbours" in shown
    assert "padded timesteps 2 2.78 % of the sequences' own, at most 5 %" in shown
    assert "merged lengths (this plan) 74 x 1.03 34 equal lengths 72 x 1.00 37" in shown
    assert list_buckets(plan).split("\n")[1].split() == ["3", "to", "4", "11", "1"]


def test_summary_of_a_plan_of_groups_says_what_a_step_holds():
    plan = plan_batches({3: 64, 8: 64}, batch_size=64, group_size=32)
    shown = " ".join(describe_plan(plan).split())
    assert "groups 4 at most 32 sequences of one length each" in shown
    assert "steps per epoch 2 64.0 sequences of 1.7 lengths on average" in shown
    # The longest of two steps of 2 of 4 groups: 5 of 6 times the longer length.
    assert "packed steps (this plan) 704 x 1.00 14 padded" in shown


def test_without_accumulation_each_batch_is_a_step():
    plan = plan_batches({3: 65, 4: 1, 9: 2}, batch_size=64, accumulate=False)
    assert plan.steps_per_epoch == plan.num_batches == 4
    assert "one per batch, 17.0 sequences on average" in describe_plan(plan)
    assert plan_batches({3: 65, 4: 1, 9: 2}, batch_size=64).steps_per_epoch == 2


@given(histograms, st.integers(1, 70), st.integers(1, 4))
def test_mixed_plan_holds_all_padded_to_the_longest(lengths, batch_size, replicas):
    plan = plan_mixed_batches(lengths, budget=Budget(batch_size), replicas=replicas)
    rows = plan.bucket_batch_sizes * plan.bucket_num_batches
    assert set(plan.bucket_lengths.tolist()) == {max(lengths)}
    assert set(plan.bucket_shortest.tolist()) == {min(n for n in lengths if lengths[n])}
    assert rows.sum() == plan.num_sequences == sum(lengths.values())
    assert plan.num_timesteps + plan.padded_timesteps == max(lengths) * plan.num_sequences
    assert plan.num_batches == plan.steps_per_epoch == -(-plan.num_sequences // batch_size)


@given(
    histograms,
    st.fixed_dictionaries({"batch_size": st.integers(8, 70)})
    | st.fixed_dictionaries({"batch_timesteps": st.integers(480, 900)}),
    st.integers(1, 8),
    st.integers(1, 300),
    st.integers(1, 4),
)
def test_plan_of_groups_fills_the_steps_of_its_budget(
    lengths, budget, group_size, packed_timesteps, replicas
):
    options = {"group_size": group_size, "packed_timesteps": packed_timesteps}
    plan = plan_batches(lengths, **budget, **options, replicas=replicas)
    timesteps = plan.bucket_lengths * plan.bucket_batch_sizes
    assert plan.bucket_batch_sizes.max() <= group_size
    assert (timesteps[plan.bucket_batch_sizes > 1] <= packed_timesteps).all()
    assert plan.steps_per_epoch == plan_batches(lengths, **budget).steps_per_epoch
    assert plan.bucket_batch_sizes @ plan.bucket_num_batches == plan.num_sequences
    assert (plan.is_exact, plan.filler_rows) == (True, 0)
    assert plan.computed_timesteps == plan.num_timesteps
    again = without_padding(plan)
    assert (buckets(again), again.group_size) == (buckets(plan), group_size)


@pytest.mark.parametrize(
    ("options", "may_cut"),
    [
        # At most 63 + 8 sequences of 9 timesteps.
        ({"batch_size": 64, "packed_timesteps": 71 * 9}, False),
        ({"batch_size": 64, "packed_timesteps": 71 * 9 - 1}, True),
        # At most 299 timesteps and 8 sequences of 9.
        ({"batch_timesteps": 300, "packed_timesteps": 371}, False),
        ({"batch_timesteps": 300, "packed_timesteps": 370}, True),
    ],
)
def test_plan_of_groups_knows_whether_a_step_may_be_cut(options, may_cut):
    assert plan_batches({5: 100, 9: 100}, group_size=8, **options).may_cut_steps == may_cut


def test_plan_of_groups_runs_the_lengths_of_a_step_side_by_side():
    lengths = {5: 32, 9: 32}
    assert plan_batches(lengths, batch_size=64, group_size=8).timesteps_in_a_row == 9
    assert plan_batches(lengths, batch_size=64).timesteps_in_a_row == 14
    cost = BatchCost(1.0, 0.0, 0.0)
    plan = plan_batches(lengths, batch_size=32, group_size=8, cost=cost)
    assert plan.predicted_seconds == plan.steps_per_epoch == 2


def test_mixed_plan_counts_the_longest_in_its_budget():
    plan = plan_mixed_batches({3: 9, 10: 1}, budget=Budget(batch_timesteps=40))
    assert buckets(plan) == [(10, 4, 1), (10, 3, 2)]
    assert plan.kind == "batches of mixed lengths"
    assert plan_mixed_batches({3: 9}).kind == "equal-length batches"


@pytest.mark.parametrize("accumulate", [True, False])
def test_plans_of_a_budget_are_those_of_its_number(accumulate):
    lengths, options = {3: 65, 4: 1, 9: 2}, {"replicas": 2, "accumulate": accumulate}
    expected = plan_batches(lengths, batch_size=8, max_padding=0.1, **options)
    (plan,) = plan_frontier(lengths, [0.1], budget=Budget(8), **options)
    mixed = plan_mixed_batches(lengths, budget=Budget(8), **options)
    assert buckets(plan) == buckets(expected)
    assert plan.steps_per_epoch == expected.steps_per_epoch
    for each in (plan, mixed):
        assert (each.budget, each.replicas, each.accumulates) == (Budget(8), 2, accumulate)
