"""The plan's arithmetic."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padless.pipeline.plan import (
    Budget,
    expected_timesteps_padded_per_batch,
    plan_batches,
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
    ],
)
def test_plan_batches_refuses(lengths, options, message):
    with pytest.raises(ValueError, match=message):
        plan_batches(lengths, **options)


def test_budget_refuses_nothing_given():
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
    assert ("note: most lengths are rare" in plan_batches(lengths).summary()) == has_note


def test_summary_of_less_than_a_batch_compares_with_what_there_is():
    shown = [
        line.split() for line in plan_batches({3: 2, 8: 1}, batch_size=64).summary().split("\n")
    ]
    assert ["padded", "to", "the", "longest", "of", "3", "24", "x", "1.71", "8"] in shown
