"""p-values in a graph are those that NumPy computes."""

import numpy as np
import pytest
import tensorflow as tf

from padless.model import Calibration
from padless.model.scoring.p_value_graph import p_values_in_graph

RNG = np.random.default_rng(0)


def draw(count, shortest, longest, trend=0.0):
    length = RNG.integers(shortest, longest + 1, count)
    return length, np.exp(RNG.normal(size=count) + trend * length)


@pytest.mark.parametrize(
    ("count", "shortest", "longest", "trend"),
    [(1, 5, 5, 0), (30, 3, 4, 0), (150, 1, 300, 0.02), (600, 10, 60, -0.05), (400, 7, 7, 0)],
)
def test_p_values_are_those_of_the_calibration(count, shortest, longest, trend):
    calibration = Calibration("validation", *draw(count, shortest, longest, trend))
    length, score = draw(200, max(1, shortest - 9), longest + 9, trend)
    # Among them scores of the calibration itself, which count as high as themselves.
    score = np.concatenate((score, calibration.score[:20])).astype(np.float32)
    length = np.concatenate((length, calibration.length[:20]))
    run = tf.function(p_values_in_graph(calibration))
    received = run(tf.constant(length), tf.constant(score))
    expected = calibration.p_values(length, score).astype(np.float32)
    np.testing.assert_array_equal(received, expected)
    assert len({*expected}) > min(count, 5)


def test_lengths_between_those_of_the_calibration_are_carried_no_further_than_it():
    length = np.repeat([3, 90], 120)
    calibration = Calibration("validation", length, np.exp(RNG.normal(size=240) + length / 30))
    lengths, scores = np.arange(1, 99), np.full(98, 2.0, np.float32)
    received = p_values_in_graph(calibration)(tf.constant(lengths), tf.constant(scores))
    expected = calibration.p_values(lengths, scores).astype(np.float32)
    np.testing.assert_array_equal(received, expected)


def test_scores_that_are_not_finite():
    calibration = Calibration("validation", *draw(50, 3, 9))
    score = np.array([np.nan, np.inf, 0.0], np.float32)
    received = p_values_in_graph(calibration)(tf.constant([4, 4, 4]), tf.constant(score)).numpy()
    assert np.isnan(received[0])
    np.testing.assert_array_equal(received, calibration.p_values(np.full(3, 4), score).astype("f"))
