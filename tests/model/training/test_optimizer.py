"""The learning rate over a run."""

import keras
import numpy as np
import pytest

from padless.model import TrainingOptions
from padless.model.training.optimizer import make_optimizer


def rates(schedule, steps):
    optimizer = make_optimizer(TrainingOptions(schedule=schedule, learning_rate=0.01), steps)
    variable = keras.Variable([0.0])
    optimizer.build([variable])
    seen = []
    for _ in range(steps):
        seen.append(float(optimizer.learning_rate))
        optimizer.apply([np.ones(1, np.float32)], [variable])
    return np.array(seen)


def test_a_constant_schedule_stays():
    np.testing.assert_allclose(rates("constant", 5), 0.01)


def test_cosine_falls_from_the_highest_to_0():
    expected = 0.01 * (1 + np.cos(np.pi * np.arange(20) / 20)) / 2
    np.testing.assert_allclose(rates("cosine", 20), expected, rtol=1e-4)


def test_one_cycle_rises_for_three_tenths_and_falls():
    seen = rates("one_cycle", 20)
    assert seen[0] == pytest.approx(0.01 / 25)
    assert seen.argmax() == 6
    assert seen.max() == pytest.approx(0.01)
    assert (np.diff(seen[:7]) > 0).all()
    assert (np.diff(seen[6:]) < 0).all()
    assert seen[-1] < 0.0005


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_a_schedule_fits_a_run_of_one_step(schedule):
    assert np.isfinite(rates(schedule, 1)).all()
