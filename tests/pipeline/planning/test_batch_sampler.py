"""Batches for loaders that are not tf.data, against the plan and its contracts."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from padless.pipeline import BatchSampler, plan_batches

LENGTHS = np.random.default_rng(0).integers(5, 25, 300)
OPTIONS = [
    {"batch_size": 16},
    {"batch_timesteps": 300},
    {"batch_size": 16, "group_size": 4},
    {"batch_timesteps": 300, "group_size": 4},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_sequence_comes_once_per_epoch_in_as_many_batches_as_are_told(options):
    sampler = BatchSampler(LENGTHS, **options)
    epochs = [list(sampler) for _ in range(3)]
    for batches in epochs:
        assert len(batches) == len(sampler)
        assert sorted(itertools.chain(*batches)) == list(range(len(LENGTHS)))
    assert sampler.epoch == 3
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("options", OPTIONS[:2], ids=str)
def test_batches_have_one_length_and_the_sizes_of_the_plan(options):
    counts = dict(zip(*np.unique(LENGTHS, return_counts=True), strict=True))
    plan = plan_batches(counts, **options)
    planned = np.repeat(
        np.stack((plan.bucket_lengths, plan.bucket_batch_sizes), 1), plan.bucket_num_batches, 0
    )
    batches = BatchSampler(LENGTHS, **options).batches(0)
    found = [(*{LENGTHS[i] for i in batch}, len(batch)) for batch in batches]
    assert sorted(found) == sorted(map(tuple, planned.tolist()))
    assert found != sorted(found)


@pytest.mark.parametrize("options", OPTIONS[2:], ids=str)
def test_steps_have_many_lengths_that_fall_and_about_the_budget(options):
    sampler = BatchSampler(LENGTHS, **options)
    for batch in sampler.batches(0):
        lengths = LENGTHS[batch].tolist()
        assert lengths == sorted(lengths, reverse=True)
        work = len(batch) if "batch_size" in options else sum(lengths)
        assert 0 < work <= sampler.plan.most_work_per_step
    assert np.mean([len({*LENGTHS[batch]}) for batch in sampler.batches(0)]) > 3


def test_the_order_is_that_of_seed_and_epoch():
    sampler = BatchSampler(LENGTHS, batch_size=8, seed=3)
    first, second = list(sampler), list(sampler)
    again = BatchSampler(LENGTHS.tolist(), batch_size=8, seed=3)
    again.set_epoch(1)
    assert list(again) == second
    assert again.batches(0) == first
    assert BatchSampler(LENGTHS, batch_size=8, seed=4).batches(0) != first


def test_mates_are_drawn_anew():
    sampler = BatchSampler(np.full(256, 9), batch_size=16)
    before, after = (
        {
            frozenset(pair)
            for batch in sampler.batches(epoch)
            for pair in itertools.combinations(batch, 2)
        }
        for epoch in (0, 1)
    )
    by_chance = 15 / 255
    assert len(before & after) / len(before) == pytest.approx(by_chance, abs=0.04)


def test_without_a_seed_nothing_is_drawn():
    sampler = BatchSampler([5, 7, 5, 5, 7], batch_size=2, seed=None)
    assert list(sampler) == list(sampler) == [[0, 2], [3], [1, 4]]


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ([], {}, r"integers `\(sequences,\)`, got shape \(0,\)"),
        ([[3, 4]], {}, r"got shape \(1, 2\)"),
        ([3.0], {}, "of float64"),
        ([3, 0, 2], {}, "`lengths` must be at least 1, got 0 at position 1"),
        ([3], {"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ([3], {"batch_size": 2, "group_size": 4}, "`group_size` must be at most `batch_size`, 2"),
        ([9], {"batch_timesteps": 5}, "at least the length of the longest sequence, 9, got 5"),
        ([3], {"seed": -1}, "`seed` must be at least 0, got -1"),
    ],
)
def test_what_does_not_fit_is_named(lengths, options, message):
    with pytest.raises(ValueError, match=message):
        BatchSampler(lengths, **options)


def test_an_epoch_is_not_negative():
    with pytest.raises(ValueError, match="`epoch` must be at least 0, got -1"):
        BatchSampler([3]).batches(-1)


def test_it_needs_numpy_alone():
    code = (
        "import sys; from padless.pipeline import BatchSampler; print(list(BatchSampler([4, 4])));"
        "print({'tensorflow', 'keras', 'apache_beam', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "set()"
