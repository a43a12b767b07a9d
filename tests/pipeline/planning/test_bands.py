"""What a step of groups is expected to hold, against steps that are drawn."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padless.pipeline.planning.bands import expected_bands, expected_longest, none_drawn
from padless.pipeline.planning.make_plan import plan_batches


@pytest.mark.parametrize("drawn", range(1, 7))
def test_none_drawn_is_the_share_of_all_choices(drawn):
    choices = list(itertools.combinations(range(6), drawn))
    for marked in range(7):
        share = np.mean([min(choice) >= marked for choice in choices])
        assert none_drawn(np.array([marked]), 6, drawn)[0] == pytest.approx(share)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.floats(0, 1))
def test_none_drawn_falls_between_whole_numbers(marked, share):
    marked = np.array(marked)
    total = int(marked.sum())
    less = 1 + share * (total - 1)
    more = min(less + 0.3, total)
    values = none_drawn(marked, total, less)
    assert ((values >= 0) & (values <= 1)).all()
    assert (none_drawn(marked, total, more) <= values + 1e-9).all()


def test_expected_bands_and_longest_are_those_of_drawn_steps():
    rng = np.random.default_rng(0)
    lengths = np.array([3, 5, 8, 9, 20])
    groups = np.array([30, 12, 5, 2, 1])
    drawn = [rng.permutation(np.repeat(lengths, groups))[:10] for _ in range(4000)]
    bands = np.mean([len(set(step)) for step in drawn])
    longest = np.mean([max(step) for step in drawn])
    assert expected_bands(groups, 10) == pytest.approx(bands, rel=0.01)
    assert expected_longest(lengths, groups, 10) == pytest.approx(longest, rel=0.01)


def test_bands_of_a_plan_are_those_of_drawn_steps():
    lengths = dict(zip(range(5, 25), np.random.default_rng(0).integers(1, 90, 20), strict=True))
    plan = plan_batches(lengths, batch_size=32, group_size=4)
    rng, bands, longest = np.random.default_rng(1), [], []
    for _ in range(100):
        groups = rng.permutation(
            np.repeat(np.arange(len(plan.bucket_lengths)), plan.bucket_num_batches)
        )
        sizes = plan.bucket_batch_sizes[groups]
        left = sizes.sum() - sizes.cumsum()
        ends = np.flatnonzero((left + sizes - 1) // 32 > (left - 1) // 32) + 1
        steps = np.split(plan.bucket_lengths[groups], ends[:-1])
        assert len(steps) == plan.steps_per_epoch
        bands += [len(set(step)) for step in steps]
        longest.append(sum(max(step) for step in steps))
    assert plan.bands_per_step == pytest.approx(np.mean(bands), rel=0.02)
    assert plan.timesteps_in_a_row == pytest.approx(np.mean(longest), rel=0.02)


@pytest.mark.parametrize(
    ("lengths", "options", "bands"),
    [
        ({5: 64, 9: 64}, {"batch_size": 64}, 1),
        ({5: 3, 9: 2}, {"batch_size": 64}, 2),
        ({5: 64, 9: 64}, {"batch_size": 64, "group_size": 32}, 2 * (1 - 1 / 6)),
        ({5: 64}, {"batch_size": 64, "group_size": 1}, 1),
    ],
)
def test_bands_per_step_of_known_plans(lengths, options, bands):
    assert plan_batches(lengths, **options).bands_per_step == pytest.approx(bands)
