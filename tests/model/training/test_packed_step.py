"""Packed steps: whatever a step is packed with, cut into or dealt out to, one objective."""

import functools

import numpy as np
import pytest

# Some lengths have fewer sequences than a group, and the last step fewer than there are replicas.
LENGTHS = [3] * 1 + [4] * 2 + [5] * 3 + [7] * 5 + [8] * 2 + [9] * 3
BATCH_SIZE = 6
GROUPS = {"group_size": 2}


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS)


@pytest.fixture(scope="module")
def train_on(make_trainer, deal, dataset):
    """Trains two epochs of packed steps, once: (trainer, sums of the steps)."""

    @functools.cache
    def run(replicas=1, weighting="sequence", clip_norm=None, packed=True, packed_timesteps=None):
        trainer = make_trainer(dataset, replicas, "adam", weighting=weighting, clip_norm=clip_norm)
        plan = GROUPS | {"packed": packed, "packed_timesteps": packed_timesteps}
        batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2, **plan)
        steps = [trainer.train_step(batches) for _ in range(2 * plan.steps_per_epoch)]
        return trainer, [[float(value) for value in step[:4]] for step in steps]

    return run


@pytest.fixture(scope="module")
def assert_same_training(train_on, weights_of):
    """Compares the steps and the weights, those of each replica, with one packed batch a step."""

    def compare(*, weighting="sequence", clip_norm=None, **others):
        trainer, expected = train_on(weighting=weighting, clip_norm=clip_norm)
        other, steps = train_on(weighting=weighting, clip_norm=clip_norm, **others)
        np.testing.assert_allclose(steps, expected, rtol=1e-5)
        weights = weights_of(trainer.model)
        np.testing.assert_allclose(
            weights_of(other.model), weights, rtol=1e-5, atol=1e-5 * np.abs(weights).max()
        )
        for variable in other.model.trainable_variables:
            own = other.strategy.experimental_local_results(variable.value)
            assert len(own) == others.get("replicas", 1)
            assert all((value.numpy() == own[0].numpy()).all() for value in own)

    return compare


TIMESTEPS_CLIPPED = {"weighting": "timestep", "clip_norm": 0.01}


@pytest.mark.parametrize("options", [{}, TIMESTEPS_CLIPPED], ids=["sequence", "timestep-clipped"])
def test_a_packed_step_is_that_of_its_groups_one_after_another(assert_same_training, options):
    assert_same_training(packed=False, **options)


def test_a_step_cut_into_several_packed_batches_is_the_same_step(assert_same_training):
    assert_same_training(packed_timesteps=20)


@pytest.mark.parametrize("replicas", [2, 3])
def test_packed_steps_train_the_same_weights_on_any_replicas(assert_same_training, replicas):
    assert_same_training(replicas=replicas)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, TIMESTEPS_CLIPPED], ids=["sequence", "timestep-clipped"])
@pytest.mark.parametrize("replicas", [2, 4, 5, 6, 7, 8])
def test_packed_steps_train_the_same_weights_on_2_to_8_replicas(
    assert_same_training, replicas, options
):
    assert_same_training(replicas=replicas, **options)


def test_a_replica_without_rows_adds_nothing(make_trainer, deal, make_dataset):
    dataset = make_dataset([4, 6])
    losses = []
    for replicas in (1, 3):
        trainer = make_trainer(dataset, replicas, clip_norm=1.0)
        batches, _ = deal(trainer, dataset, batch_size=2, group_size=1)
        sums = trainer.train_step(batches)
        assert [float(sums.weight), float(sums.timesteps)] == [2.0, 10.0]
        assert np.isfinite(float(sums.gradient_norm))
        losses.append(float(sums.loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_one_trace_takes_all_packed_steps(train_on):
    trainer, _ = train_on(2)
    assert trainer.train_step.experimental_get_tracing_count() == 1
