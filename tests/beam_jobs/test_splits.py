"""Splits drawn from the key alone, and the layout of the shards."""

import collections

import hypothesis
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import PreprocessOptions, splits


def make(**options):
    return PreprocessOptions(inputs=("x.csv",), output="out", **options)


def test_draws_never_change():
    assert splits.hash_key(3, b"run/17") == (6948484881229174751, 10490139061316979117)
    assert splits.draw_split(b"b", make()) == "train"
    assert splits.draw_split(b"c", make()) == "test"


@hypothesis.given(st.binary(max_size=100), st.integers(0, 2**63 - 1))
def test_hash_key_depends_on_seed_and_key(key, seed):
    assert splits.hash_key(seed, key) != splits.hash_key(seed, key + b".")
    assert splits.hash_key(seed, key) != splits.hash_key((seed + 1) % 2**63, key)


@hypothesis.given(st.binary(max_size=100))
def test_a_larger_first_split_keeps_what_it_had(key):
    smaller, larger = make(splits={"a": 0.3, "b": 0.7}), make(splits={"a": 0.4, "b": 0.6})
    if splits.draw_split(key, smaller) == "a":
        assert splits.draw_split(key, larger) == "a"


def test_draw_split_follows_the_shares():
    counts = collections.Counter(splits.draw_split(b"%d" % i, make()) for i in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["validation"] == pytest.approx(2_000, abs=200)


@pytest.mark.parametrize(
    ("num_bytes", "shard_bytes", "shards"), [(1, 10, 1), (10, 10, 1), (11, 10, 2), (99, 10, 10)]
)
def test_plan_layout_counts_shards(num_bytes, shard_bytes, shards):
    group = ("train", 3)
    layout = splits.plan_layout({group: 1}, {group: num_bytes}, make(shard_bytes=shard_bytes))
    assert layout == splits.Layout(3, {"train": shards})


def test_plan_layout_writes_one_shard_in_the_order_of_the_input():
    group = ("train", 3)
    layout = splits.plan_layout({group: 1}, {group: 99}, make(shard_bytes=1, order="input"))
    assert layout.num_shards == {"train": 1}


@pytest.mark.parametrize(
    ("counts", "num_features"),
    [({3: 2, 2: 5}, 2), ({3: 5, 2: 2}, 3), ({3: 2, 2: 2}, 2), ({}, 0)],
)
def test_plan_layout_takes_the_most_frequent_number_of_features(counts, num_features):
    counts = {("train", features): count for features, count in counts.items()}
    assert splits.plan_layout(counts, counts, make()).num_features == num_features


def test_plan_layout_leaves_out_splits_without_a_sequence_of_that_width():
    counts = {("test", 2): 5, ("train", 2): 5, ("validation", 3): 1}
    assert list(splits.plan_layout(counts, counts, make()).num_shards) == ["train", "test"]
