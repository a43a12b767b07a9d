"""Bins of lengths: none is lost, and each is wide enough to be seen."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies as st

from padless.model.reporting.length_bins import MOST_BINS, bin_lengths

HISTOGRAMS = st.dictionaries(st.integers(1, 10**6), st.integers(1, 1000), min_size=1, max_size=50)


@hypothesis.given(HISTOGRAMS)
def test_bins_count_every_sequence_once_and_touch_each_other(lengths):
    bins = bin_lengths(lengths)
    assert len(bins) <= MOST_BINS
    assert sum(part.num_sequences for part in bins) == sum(lengths.values())
    for part in bins:
        assert part.num_sequences == sum(
            n for length, n in lengths.items() if part.first <= length <= part.last
        )
    assert all(after.first == part.last + 1 for part, after in itertools.pairwise(bins))
    assert bins[0].first <= min(lengths) <= bins[0].last
    assert bins[-1].first <= max(lengths) <= bins[-1].last
    assert len({part.width for part in bins}) == 1


@pytest.mark.parametrize(
    ("shortest", "longest", "width"),
    [(7, 29, 1), (1, 60, 1), (1, 61, 2), (128, 362, 5), (0, 299, 5), (10, 20_000, 500)],
)
def test_the_width_of_a_bin_is_a_round_number(shortest, longest, width):
    assert bin_lengths({shortest: 1, longest: 1})[0].width == width


def test_splits_share_the_bins_of_all_lengths():
    every = {3: 5, 400: 1}
    assert [part[:2] for part in bin_lengths({3: 5}, like=every)] == [
        part[:2] for part in bin_lengths(every)
    ]


def test_a_bin_is_named_by_its_lengths():
    assert [str(part) for part in bin_lengths({1: 1, 2: 1})] == ["1", "2"]
    assert str(bin_lengths({1: 1, 2_000: 1})[-1]) == "2,000 to 2,049"
