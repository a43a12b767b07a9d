"""Rare lengths held in memory: which, and what becomes of them in each epoch."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from padless.pipeline import Shuffle, equal_length_batches, open_dataset, plan_batches
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.rare import bucket_bytes, first_buckets, rare_buckets, release

# 40 lengths: those far from 20 are rare.
LENGTHS = np.clip(np.random.default_rng(1).normal(20, 6, 3000).astype(int), 1, None).tolist()


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS, num_shards=3)


@pytest.fixture(scope="module")
def plan(dataset):
    return plan_batches(dataset.split("train").lengths, batch_size=8)


def batches_of(dataset, plan, shuffle, epochs):
    batches = equal_length_batches(dataset, plan, shuffle=shuffle, epochs=epochs)
    return [batch["key"].tolist() for batch in batches.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("lengths", "max_bytes", "expected"),
    [
        # The length 90 is rare and far off; 10 is common; of 12 there are 65, so two buckets.
        ({10: 6400, 12: 65, 90: 40}, 10**6, [False, False, False, True]),
        ({10: 6400, 12: 65, 90: 40}, 40 * (90 * 8 + 128) - 1, [False] * 4),
        # With a hundred times as many the last batches do not matter.
        ({10: 640_000, 12: 65, 90: 40}, 10**8, [False] * 4),
        # What fits is held whole.
        ({10: 6400, 12: 65, 90: 40}, 10**9, [True] * 4),
        ({10: 64}, 64 * (10 * 8 + 128), [True]),
        ({10: 64}, 0, [False]),
    ],
)
def test_rare_buckets_are_the_rarest_that_matter(lengths, max_bytes, expected):
    plan = plan_batches(lengths, batch_size=64)
    assert rare_buckets(plan, 2, max_bytes).tolist() == expected


@pytest.mark.parametrize("max_bytes", [0, 3_000, 50_000, 10**9])
def test_rare_buckets_stay_within_their_bound(dataset, plan, max_bytes):
    held = rare_buckets(plan, 2, max_bytes)
    groups = first_buckets(plan)
    assert all(len(set(held[groups == group])) == 1 for group in groups)
    lengths = set(plan.bucket_lengths[held].tolist())
    records = tf.data.TFRecordDataset([str(file) for file in dataset.split("train").files])
    sizes = [len(record) for record in records.as_numpy_iterator()]
    order = itertools.chain(*(LENGTHS[shard::3] for shard in range(3)))
    stored = sum(size for size, length in zip(sizes, order, strict=True) if length in lengths)
    assert stored <= bucket_bytes(plan, 2)[held].sum() <= max_bytes


@pytest.mark.parametrize("held_bytes", [0, 50_000, 10**9])
def test_batches_go_on_whatever_is_held(dataset, plan, held_bytes):
    shuffle = Shuffle(5, record_buffer=100, batch_buffer=10, held_bytes=held_bytes)
    whole = batches_of(dataset, plan, shuffle, range(3))
    assert batches_of(dataset, plan, shuffle, range(1, 3)) == whole[plan.num_batches :]
    for epoch in np.array_split(np.arange(len(whole)), 3):
        keys = [key for i in epoch for key in whole[i]]
        assert sorted(keys) == sorted(f"train/{i}".encode() for i in range(len(LENGTHS)))


def test_batches_of_held_lengths_have_new_mates_each_epoch(make_dataset):
    dataset = make_dataset([3] * 90 + [40] * 90)
    plan = plan_batches(dataset.split("train").lengths, batch_size=9)
    assert rare_buckets(plan, 2, 10**6).all()
    batches = batches_of(dataset, plan, Shuffle(0), range(2))
    first, second = (set(map(frozenset, part)) for part in (batches[:20], batches[20:]))
    assert not first & second


def test_release_puts_rare_batches_anywhere_alike():
    common, rare = tf.data.Dataset.range(30), tf.data.Dataset.range(100, 110)
    orders = (
        tf.data.Dataset.range(500)
        .flat_map(lambda seed: release(common, rare, (30, 10), seed).batch(40))
        .as_numpy_iterator()
    )
    orders = np.array(list(orders))
    assert orders.shape == (500, 40)
    for order in orders[:20]:
        assert order[order < 100].tolist() == list(range(30))
        assert order[order >= 100].tolist() == list(range(100, 110))
    share = (orders >= 100).mean(axis=0)
    # Five standard deviations of the share at one position.
    np.testing.assert_allclose(share, 0.25, atol=5 * (0.25 * 0.75 / 500) ** 0.5)
    together = np.mean((orders[:, 1:] >= 100) & (orders[:, :-1] >= 100))
    assert together == pytest.approx(10 / 40 * 9 / 39, abs=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files[0].write_bytes(b""), "a shard has lost records"),
        (lambda files: [file.write_bytes(b"") for file in files], "a shard has lost records"),
        (
            lambda files: files[0].write_bytes(files[0].read_bytes() * 2),
            "not counted often enough",
        ),
        (
            lambda files: files[0].write_bytes(files[0].read_bytes() + files[1].read_bytes()),
            "not counted often enough",
        ),
        (lambda files: files[1].write_bytes(files[1].read_bytes()[:-3]), "truncated"),
    ],
    ids=["one shard lost", "all lost", "one twice", "another twice", "truncated"],
)
@pytest.mark.parametrize("held_bytes", [2_000, 10**9], ids=["some held", "all held"])
def test_held_records_of_a_damaged_split_are_an_error(make_dataset, change, message, held_bytes):
    dataset = make_dataset([3] * 40 + [5, 5, 60], num_shards=2)
    plan = plan_batches(dataset.split("train").lengths, batch_size=8)
    assert rare_buckets(plan, 2, held_bytes).any()
    change(dataset.split("train").files)
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    with pytest.raises(ValueError, match=message), explained(dataset.split("train")):
        batches_of(dataset, plan, Shuffle(0, held_bytes=held_bytes), range(1))


def test_held_records_of_an_unknown_length_are_an_error(make_dataset):
    dataset, other = make_dataset([3] * 4 + [60] * 4), make_dataset([4])
    plan = plan_batches(dataset.split("train").lengths, batch_size=2)
    assert rare_buckets(plan, 2, 10**6).all()
    (file,), (more,) = dataset.split("train").files, other.split("train").files
    file.write_bytes(file.read_bytes() + more.read_bytes())
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    with (
        pytest.raises(ValueError, match="a length that is not counted"),
        explained(dataset.split("train")),
    ):
        batches_of(dataset, plan, Shuffle(0), range(1))
