"""Which shard a partition goes to, and what is known when all sequences have been seen."""

import hypothesis
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Output
from padless.beam_jobs.output.layout import Layout, plan_layout


def plan(num_bytes, **output):
    sizes = {("train", 3, partition): (1, size) for partition, size in num_bytes.items()}
    return plan_layout(sizes, Output("out", **output))


@pytest.mark.parametrize(
    ("shard_bytes", "shards"),
    [(100, [0, 0, 0, 0]), (40, [0, 0, 0, 0]), (20, [0, 0, 1, 1]), (10, [0, 1, 2, 3])],
)
def test_plan_layout_cuts_partitions_into_shards_of_the_size(shard_bytes, shards):
    layout = plan(dict.fromkeys([7, 9, 500, 1023], 10), shard_bytes=shard_bytes)
    assert layout.num_features == 3
    assert list(layout.shards["train"].values()) == shards


def test_plan_layout_leaves_no_shard_empty():
    layout = plan({1: 10, 2: 1000, 3: 10}, shard_bytes=10)
    assert layout.shards["train"] == {1: 0, 2: 1, 3: 2}


@hypothesis.given(
    st.dictionaries(st.integers(0, 1023), st.integers(1, 500), min_size=1), st.integers(1, 2000)
)
def test_shards_hold_about_the_target(num_bytes, shard_bytes):
    shards = plan(num_bytes, shard_bytes=shard_bytes).shards["train"]
    assert shards.keys() == num_bytes.keys()
    assert sorted(set(shards.values())) == list(range(max(shards.values()) + 1))
    for shard in set(shards.values()):
        held = [num_bytes[partition] for partition in shards if shards[partition] == shard]
        assert sum(held) <= shard_bytes + max(held)


def test_plan_layout_writes_one_shard_in_the_order_of_the_input():
    layout = plan({1: 99, 2: 99}, shard_bytes=1, order="input")
    assert layout.num_shards == {"train": 1}


@pytest.mark.parametrize(
    ("counts", "num_features"),
    [({3: 2, 2: 5}, 2), ({3: 5, 2: 2}, 3), ({3: 2, 2: 2}, 2), ({}, 0)],
)
def test_plan_layout_takes_the_most_frequent_number_of_features(counts, num_features):
    sizes = {("train", features, 0): (count, 9) for features, count in counts.items()}
    assert plan_layout(sizes, Output("out")).num_features == num_features


def test_plan_layout_leaves_out_splits_without_a_sequence_of_that_width():
    sizes = {("test", 2, 0): (5, 9), ("train", 2, 1): (5, 9), ("validation", 3, 0): (1, 9)}
    assert plan_layout(sizes, Output("out")).num_shards == {"train": 1, "test": 1}


def test_plan_layout_without_a_sequence_is_empty():
    assert plan_layout({}, Output("out")) == Layout(0, {})


def test_splits_that_are_given_stand_in_the_usual_order():
    sizes = {(split, 2, 0): (1, 9) for split in ("zoo", "test", "abc", "train")}
    assert list(plan_layout(sizes, Output("out")).shards) == ["train", "test", "abc", "zoo"]
