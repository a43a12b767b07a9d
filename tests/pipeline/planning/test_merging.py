"""Ways to merge lengths, against all ways there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.pipeline.planning import merging
from padless.pipeline.planning.batch_time import BatchCost
from padless.pipeline.planning.merging import merge_lengths

costs = st.sampled_from(
    [
        BatchCost(4e-3, 6e-5, 4e-6),
        BatchCost(1.0, 0.0, 0.0),
        BatchCost(0.0, 1.0, 0.0),
        BatchCost(0.0, 0.0, 1.0),
        BatchCost(1.0, 0.1, 0.01),
        BatchCost(7.0, 0.3, 0.0),
    ]
)


@st.composite
def histograms(draw):
    """Draws up to 8 lengths, their counts, and limits in sequences or in timesteps."""
    lengths = np.array(sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=8))))
    counts = np.array([draw(st.integers(1, 90)) for _ in lengths])
    limits = draw(
        st.integers(1, 100).map(lambda size: np.full(len(lengths), size))
        | st.integers(60, 900).map(lambda timesteps: timesteps // lengths)
    )
    return lengths, counts, limits


def cost_of(ends, lengths, counts, limits, cost):
    """Counts padding and time of some runs, sequence by sequence and batch by batch."""
    padded = seconds = 0
    for start, end in itertools.pairwise((0, *ends)):
        longest, rows = lengths[end - 1], counts[start:end].sum()
        padded += sum((longest - lengths[start:end]) * counts[start:end])
        for first in range(0, rows, limits[end - 1]):
            size = min(limits[end - 1], rows - first)
            seconds += cost.seconds(1, longest, size * longest)
    return padded, seconds


def all_ways(num_lengths):
    cuts = range(1, num_lengths)
    for size in range(num_lengths):
        for inner in itertools.combinations(cuts, size):
            yield (*inner, num_lengths)


@settings(max_examples=150, deadline=None)
@given(histograms(), costs, st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0, 99.0]))
def test_merge_lengths_is_optimal_among_all_ways(histogram, cost, bound):
    lengths, counts, _ = histogram
    most = bound * (lengths @ counts)
    frontier = merge_lengths(*histogram, cost)
    padded, seconds = cost_of(frontier.span_ends(most), *histogram, cost)
    every = [cost_of(ends, *histogram, cost) for ends in all_ways(len(lengths))]
    assert frontier.is_exact
    assert padded <= most
    assert seconds == pytest.approx(min(s for p, s in every if p <= most), rel=1e-9)


@settings(deadline=None)
@given(histograms(), costs)
def test_merge_lengths_gives_ways_with_the_cost_it_says(histogram, cost):
    frontier = merge_lengths(*histogram, cost)
    assert (np.diff(frontier.padded_timesteps) > 0).all()
    assert (np.diff(frontier.seconds) < 0).all()
    for padded, seconds in zip(frontier.padded_timesteps, frontier.seconds, strict=True):
        found = cost_of(frontier.span_ends(padded), *histogram, cost)
        assert found == (padded, pytest.approx(seconds))


@given(histograms(), costs)
def test_merge_lengths_without_padding_leaves_every_length_alone(histogram, cost):
    ends = merge_lengths(*histogram, cost).span_ends(0)
    assert ends.tolist() == list(range(1, len(histogram[0]) + 1))


def test_merge_lengths_does_not_pad_for_nothing():
    # Three full batches: merged or not, three they stay.
    histogram = np.array([5, 6, 7]), np.array([64, 64, 64]), np.array([64, 64, 64])
    assert merge_lengths(*histogram, BatchCost(0.1, 0.0, 0.0)).padded_timesteps.tolist() == [0]


def wide_histogram(num_lengths):
    rng = np.random.default_rng(0)
    lengths = np.unique(rng.integers(1, 10 * num_lengths, num_lengths))
    return lengths, rng.integers(1, 4, len(lengths)), np.full(len(lengths), 64)


def test_merge_lengths_thinned_keeps_to_the_bound_and_near_the_optimum(monkeypatch):
    histogram, cost = wide_histogram(80), BatchCost(4e-3, 6e-5, 4e-6)
    exact = merge_lengths(*histogram, cost)
    monkeypatch.setattr(merging, "_COMPARED_EXACTLY", 0)
    thinned = merge_lengths(*histogram, cost)
    assert exact.is_exact
    assert not thinned.is_exact
    timesteps = histogram[0] @ histogram[1]
    for bound in (0.0, 0.002, 0.01, 0.05, 0.2, 1.0):
        best = cost_of(exact.span_ends(bound * timesteps), *histogram, cost)
        found = cost_of(thinned.span_ends(bound * timesteps), *histogram, cost)
        assert found[0] <= bound * timesteps
        assert best[1] * (1 - 1e-9) <= found[1] <= best[1] * 1.02


def test_merge_lengths_of_many_lengths_is_thinned():
    histogram, cost = wide_histogram(600), BatchCost(4e-3, 6e-5, 4e-6)
    frontier = merge_lengths(*histogram, cost)
    assert not frontier.is_exact
    ends = frontier.span_ends(0.01 * (histogram[0] @ histogram[1]))
    padded, seconds = cost_of(ends, *histogram, cost)
    assert 0 < padded <= 0.01 * (histogram[0] @ histogram[1])
    assert seconds < 0.5 * frontier.seconds[0]


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ((-1.0, 0.0, 0.0), "`per_batch` must be at least 0 and finite, got -1.0"),
        ((1.0, float("nan"), 0.0), "`per_timestep_in_a_row` must be at least 0 and finite"),
        ((1.0, 0.0, float("inf")), "`per_computed_timestep` must be at least 0.*got inf"),
        ((0.0, 0.0, 0.0), "above 0, got 0 for all"),
    ],
)
def test_batch_cost_rejects(costs, message):
    with pytest.raises(ValueError, match=message):
        BatchCost(*costs)


def test_batch_cost_adds_up():
    assert BatchCost(1.0, 0.5, 0.25).seconds(2, 6, 8) == 2 + 3 + 2
