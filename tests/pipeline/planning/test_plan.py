"""The plan's arithmetic."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padless.pipeline.planning.budget import Budget
from padless.pipeline.planning.describe import describe_plan, list_buckets
from padless.pipeline.planning.make_plan import plan_batches
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


@given(histograms, st.integers(60, 200))
def test_plan_batches_keeps_to_a_budget_of_timesteps(lengths, batch_timesteps):
    plan = plan_batches(lengths, batch_timesteps=batch_timesteps)
    assert (plan.bucket_lengths * plan.bucket_batch_sizes).max() <= batch_timesteps
    assert plan.steps_per_epoch == -(-plan.num_timesteps // batch_timesteps)


def test_plan_batches_does_not_depend_on_replicas():
    lengths = {5: 65, 9: 1, 12: 130}
    one, four = (plan_batches(lengths, batch_size=64, replicas=n) for n in (1, 4))
    assert buckets(one) == buckets(four)
    assert one.steps_per_epoch == four.steps_per_epoch == 4


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
        ({5: 1}, {"group_size": 0}, "`group_size` must be at least 1, got 0"),
        ({5: 1}, {"group_size": 2, "packed_timesteps": 0}, "`packed_timesteps`.*at least 1, got 0"),
        ({5: 1}, {"group_size": 9, "batch_size": 8}, "at most `batch_size`, 8, got 9"),
        ({5: 1}, {"packed_timesteps": 9}, "`packed_timesteps` needs a `group_size`.*got 9"),
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


def test_summary_of_less_than_a_batch_compares_with_what_there_is():
    shown = [
        line.split()
        for line in describe_plan(plan_batches({3: 2, 8: 1}, batch_size=64)).split("\n")
    ]
    assert ["padded", "to", "the", "longest", "of", "3", "24", "x", "1.71", "8"] in shown


def test_summary_of_a_plan_of_groups_says_what_a_step_holds():
    plan = plan_batches({3: 64, 8: 64}, batch_size=64, group_size=32)
    shown = " ".join(describe_plan(plan).split())
    assert "groups 4 at most 32 sequences of one length each" in shown
    assert "steps per epoch 2 64.0 sequences of 1.7 lengths on average" in shown
    # The longest of two steps of 2 of 4 groups: 5 of 6 times the longer length.
    assert "packed steps (this plan) 704 x 1.00 14 equal lengths 704 x 1.00 11 padded" in shown
    assert list_buckets(plan).split("\n")[1].split() == ["3", "32", "2"]


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
