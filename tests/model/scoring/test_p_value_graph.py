"""p-values in a graph are those that NumPy computes."""

import numpy as np
import tensorflow as tf
from calibrations import (
    assert_p_values_are_equal,
    assert_scores_that_are_not_finite_are_answered,
    every_kind,
)

from padless.model import Calibration
from padless.model.scoring.p_value_graph import p_values_in_graph


def p_values_of(calibration, length, score):
    run = tf.function(p_values_in_graph(calibration))
    return run(tf.constant(length), tf.constant(score))


@every_kind
def test_p_values_are_those_of_the_calibration(count, shortest, longest, trend):
    assert_p_values_are_equal(p_values_of, count, shortest, longest, trend)


def test_lengths_between_those_of_the_calibration_are_carried_no_further_than_it():
    rng, length = np.random.default_rng(0), np.repeat([3, 90], 120)
    calibration = Calibration("validation", length, np.exp(rng.normal(size=240) + length / 30))
    lengths, scores = np.arange(1, 99), np.full(98, 2.0, np.float32)
    received = p_values_in_graph(calibration)(tf.constant(lengths), tf.constant(scores))
    expected = calibration.p_values(lengths, scores).astype(np.float32)
    np.testing.assert_array_equal(received, expected)


def test_scores_that_are_not_finite():
    assert_scores_that_are_not_finite_are_answered(p_values_of)
