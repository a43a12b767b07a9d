"""The cost of batches, fitted and measured."""

import numpy as np
import pytest

from padless.model.training.measure_batch_time import fit_cost, measure_batch_cost
from padless.pipeline import BatchCost, Budget

SHAPES = np.array([(n, t) for t in (5, 20, 80) for n in (1, 8, 64)])


def predict(cost, shapes):
    sequences, timesteps = shapes.T
    return cost.seconds(1, timesteps, sequences * timesteps)


@pytest.mark.parametrize("parts", [(4e-3, 6e-5, 4e-6), (0, 1e-4, 0), (1e-3, 0, 2e-6)])
def test_fit_finds_the_cost_that_made_the_times(parts):
    fitted = fit_cost(SHAPES, predict(BatchCost(*parts), SHAPES))
    received = [fitted.per_batch, fitted.per_timestep_in_a_row, fitted.per_computed_timestep]
    np.testing.assert_allclose(received, parts, rtol=1e-6, atol=1e-12)


def test_fit_is_never_negative():
    """Times that fall with the length would ask for a negative part."""
    fitted = fit_cost(SHAPES, 1.0 / SHAPES[:, 1])
    assert min(fitted.per_timestep_in_a_row, fitted.per_computed_timestep) >= 0


def test_measured_cost_grows_with_the_batch(make_trainer, weights_of, make_dataset):
    trainer = make_trainer(make_dataset([3, 4]), replicas=2, optimizer="adam")
    before = weights_of(trainer.model)
    cost = measure_batch_cost(trainer, 2, (5, 50, 400), Budget(batch_size=64))
    small, large = predict(cost, np.array([(2, 5), (64, 400)]))
    assert 0 < small < large < 10
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert trainer.train_step.experimental_get_tracing_count() == 1
