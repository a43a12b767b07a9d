"""What is measured of an epoch's order: the arithmetic against NumPy, and contract 6 on files."""

import dataclasses
import json
import math

import numpy as np
import pytest

from padless.pipeline import (
    EpochOrder,
    Shuffle,
    StepOrder,
    equal_length_batches,
    measure_order,
    plan_batches,
)
from padless.pipeline.batching.order import MateSample, chance_of_mates
from padless.pipeline.progress import Progress

RARE_LENGTHS = np.clip(np.random.default_rng(0).lognormal(3, 0.5, 16_000).astype(int), 1, None)


def order_of(lengths):
    order = StepOrder(len(lengths))
    for length in lengths:
        order.add(length)
    return order


@pytest.fixture(scope="module")
def many_rare(make_dataset):
    """Opens 16,000 sequences in 4 shards, and a plan: most lengths fill few batches."""
    dataset = make_dataset(RARE_LENGTHS.tolist(), num_features=1, num_shards=4)
    return dataset, plan_batches(dataset.split("train").lengths, batch_size=16)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_step_order_is_numpy_over_all_steps(offset):
    lengths = offset + np.random.default_rng(0).gamma(2, 20, 403).cumsum() ** 0.5
    order = order_of(lengths)
    correlation = np.corrcoef(lengths[1:], lengths[:-1])[0, 1]
    assert order.correlation == pytest.approx(correlation, rel=1e-6)
    assert order.drift == pytest.approx(lengths[-80:].mean() / lengths[:-80].mean() - 1, rel=1e-6)
    assert order.spread == pytest.approx(lengths.std() / lengths.mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("lengths", "correlation", "drift"),
    [
        ([], math.nan, math.nan),
        ([7], math.nan, math.nan),
        ([7, 9], math.nan, math.nan),
        ([3, 5, 3], -1.0, math.nan),
        ([1, 2, 3, 4], 1.0, math.nan),
        ([20.1] * 50, math.nan, 0.0),
        # All but the first are equal, to the last bit of a float.
        ([10.0] + [20.1] * 49, math.nan, 20.1 * 40 / (10 + 20.1 * 39) - 1),
        ([1, 3] * 10, -1.0, 0.0),
        ([5] * 8 + [10] * 2, 0.25**0.5 * 1.3228756555, 1.0),
    ],
)
def test_step_order_of_known_lengths(lengths, correlation, drift):
    order = StepOrder(max(1, len(lengths)))
    for length in lengths:
        order.add(length)
    assert order.correlation == pytest.approx(correlation, nan_ok=True)
    assert order.drift == pytest.approx(drift, nan_ok=True)


def test_step_order_goes_on_from_json_exactly():
    lengths = np.random.default_rng(0).gamma(2, 20, 100)
    order = StepOrder(len(lengths))
    for length in lengths:
        order = StepOrder(**json.loads(json.dumps(dataclasses.asdict(order))))
        order.add(length)
    assert order == order_of(lengths)


def test_step_order_rejects():
    with pytest.raises(ValueError, match="`steps_per_epoch` must be at least 1, got 0"):
        StepOrder(0)
    with pytest.raises(ValueError, match="must have 2 steps, got one more"):
        order_of([1, 2]).add(3)


def test_order_by_chance_holds_19_of_20_random_orders():
    rng = np.random.default_rng(0)
    orders = [order_of(rng.gamma(9, 5, 200)).result(0) for _ in range(400)]
    within = [
        (abs(o.correlation) < o.correlation_by_chance, abs(o.drift) < o.drift_by_chance)
        for o in orders
    ]
    np.testing.assert_allclose(np.mean(within, axis=0), 0.95, atol=0.03)


def test_epoch_order_prints_one_line():
    order = EpochOrder(1, 3125, 0.0121, 0.0358, -0.004, 0.047, 0.127, 0.036)
    assert str(order) == (
        "epoch 1: 3,125 steps, correlation of adjacent lengths +0.012 (by chance within 0.036), "
        "drift in the last fifth -0.4% (by chance within 4.7%), "
        "batch-mates repeated 12.7% (by chance 3.6%)"
    )


def test_epoch_order_says_what_is_not_defined():
    assert str(order_of([7, 9]).result(0)) == (
        "epoch 0: 2 steps, correlation of adjacent lengths not defined, "
        "drift in the last fifth not defined"
    )


def test_chance_of_mates_is_that_of_drawn_batches():
    plan = plan_batches({5: 7, 9: 4, 11: 1}, batch_size=3)
    rng, met = np.random.default_rng(0), 0
    # Of length 5 there are a batch of 3 and two of 2.
    for _ in range(4000):
        batch = rng.permutation([0, 0, 0, 1, 1, 2, 2])
        met += batch[0] == batch[1]
    chance = dict(zip(plan.bucket_lengths.tolist(), chance_of_mates(plan), strict=True))
    assert chance[5] == pytest.approx(met / 4000, abs=0.02)
    assert (chance[9], chance[11]) == (pytest.approx(1 / 3), 0)


def test_mate_sample_counts_mates_met_again():
    sample = MateSample(size=9)
    for batch in ([1, 2, 3], [4, 5, 6]):
        sample.add(np.array(batch), chance=0.5)
    assert np.isnan(sample.finish_epoch()).all()
    for batch in ([3, 1, 4], [2, 5, 6]):
        sample.add(np.array(batch), chance=0.25)
    # Of 12 mates, 1 and 3 meet again, and 5 and 6: 4, as each is a mate of the other.
    assert sample.finish_epoch() == (4 / 12, 0.25)


def test_mate_sample_estimates_within_its_bound():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, np.iinfo(np.int64).max, 40_000)
    sample = MateSample(size=200, most_mates=20)
    for _ in range(3):
        for batch in np.array_split(rng.permutation(hashes), 400):
            sample.add(batch, chance=99 / 39_999)
            assert sample.num_hashes <= 2 * 200 * 21
        repeated, expected = sample.finish_epoch()
    assert expected == pytest.approx(99 / 39_999)
    assert repeated == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("held_bytes", [2_000_000, 10**9], ids=["rare held", "all held"])
def test_order_is_mixed_with_many_rare_lengths(many_rare, held_bytes):
    shuffle = Shuffle(0, held_bytes=held_bytes)
    orders = list(measure_order(*many_rare, shuffle=shuffle, epochs=range(6)))
    assert max(abs(order.correlation) for order in orders) < 0.15
    # By chance one epoch may be off by 8 %, the mean of six by 3.4 %.
    assert abs(np.mean([order.drift for order in orders])) < 0.04
    assert math.isnan(orders[0].repeated_mates)
    for order in orders[1:]:
        assert order.repeated_mates < 1.2 * order.repeated_by_chance


def test_order_drifts_where_no_rare_length_is_held(many_rare):
    # What the grouping alone gives: proof that the bounds above tell the one from the other.
    orders = measure_order(*many_rare, shuffle=Shuffle(0, held_bytes=0), epochs=range(3))
    assert np.mean([order.drift for order in orders]) > 0.08


def test_measure_order_is_that_of_the_batches(make_dataset):
    dataset = make_dataset([2, 3, 3, 5, 8, 8, 8, 1] * 30)
    plan = plan_batches(dataset.split("train").lengths, batch_size=12)
    sums, means = np.zeros(2), []
    for batch in equal_length_batches(dataset, plan, shuffle=Shuffle(4)).as_numpy_iterator():
        sums += [batch["length"].sum(), len(batch["length"])]
        if batch["ends_step"][0]:
            means.append(sums[0] / sums[1])
            sums[:] = 0
    (order,) = measure_order(dataset, plan, shuffle=Shuffle(4), epochs=range(1))
    expected = order_of(means).result(0)
    assert (order.steps, order.correlation, order.drift) == (
        plan.steps_per_epoch,
        expected.correlation,
        expected.drift,
    )


def test_measure_order_shows_progress_and_goes_on(make_dataset):
    dataset = make_dataset([2, 3, 3, 5] * 30)
    plan, calls = plan_batches(dataset.split("train").lengths, batch_size=4), []
    options = {"shuffle": Shuffle(1), "progress": calls.append}
    whole = list(measure_order(dataset, plan, **options, epochs=range(4)))
    assert calls == [
        Progress(f"order of epoch {epoch}", done, plan.num_batches, "batches")
        for epoch in range(4)
        for done in range(plan.num_batches + 1)
    ]
    later = list(measure_order(dataset, plan, **options, epochs=range(2, 4)))
    assert later[1] == whole[3]
    assert (later[0].epoch, later[0].correlation) == (2, whole[2].correlation)


def test_measure_order_names_a_damaged_file(make_dataset):
    dataset = make_dataset([3, 3, 3])
    (file,) = dataset.split("train").files
    file.write_bytes(file.read_bytes()[:-5])
    plan = plan_batches(dataset.split("train").lengths)
    with pytest.raises(ValueError, match=r"-of-00001: record 2 at byte \d+.*truncated"):
        list(measure_order(dataset, plan, shuffle=Shuffle(0)))
