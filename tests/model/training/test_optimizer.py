"""Adam in one operation, and the learning rate over a run."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import TrainingOptions
from padless.model.training.optimizer import FusedAdam, make_optimizer
from padless.model.training.replicas import mirrored_strategy


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


def variables_after(make, replicas=1, steps=20, **options):
    """Updates variables that replicas hold by gradients that differ, and returns all there are."""
    strategy, rng = mirrored_strategy(replicas), np.random.default_rng(0)
    drawn = [rng.normal(size=(steps, *shape)).astype(np.float32) for shape in [(3, 4), (5,), ()]]
    with strategy.scope():
        variables = [keras.Variable(gradients[0]) for gradients in drawn]
        optimizer = make(0.01, **options)
        optimizer.build(variables)

    @tf.function(autograph=False)
    def step(gradients):
        # Keras adds up what the replicas give.
        share = 1 / replicas
        strategy.run(lambda: optimizer.apply([g * share for g in gradients], variables))

    for gradients in zip(*drawn, strict=True):
        step([tf.constant(gradient) for gradient in gradients])
    return [v.numpy() for v in (*variables, *optimizer.variables)]


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("options", [{}, {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1}], ids=str)
def test_one_operation_updates_as_that_of_keras(replicas, options):
    expected = variables_after(keras.optimizers.Adam, **options)
    received = variables_after(FusedAdam, replicas, **options)
    for result, value in zip(received, expected, strict=True):
        np.testing.assert_allclose(result, value, rtol=1e-5, atol=1e-6)


def test_the_optimizer_of_a_run_takes_one_operation_for_each_variable():
    optimizer, variables = make_optimizer(TrainingOptions(), 1), [keras.Variable([1.0, 2.0])]
    optimizer.build(variables)
    update = tf.function(lambda: optimizer.apply([tf.ones(2)], variables), autograph=False)
    operations = [node.op for node in update.get_concrete_function().graph.as_graph_def().node]
    assert operations.count("ResourceApplyAdam") == 1
    assert "AssignSubVariableOp" not in operations
