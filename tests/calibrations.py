"""Calibrations of many kinds, on which p-values in a graph are compared with those of NumPy."""

import numpy as np
import pytest

from padless.model import Calibration

every_kind = pytest.mark.parametrize(
    ("count", "shortest", "longest", "trend"),
    [(1, 5, 5, 0), (30, 3, 4, 0), (150, 1, 300, 0.02), (600, 10, 60, -0.05), (400, 7, 7, 0)],
)


def draw(rng, count, shortest, longest, trend=0.0):
    """Draws lengths, and scores that rise with them by the trend."""
    length = rng.integers(shortest, longest + 1, count)
    return length, np.exp(rng.normal(size=count) + trend * length)


def assert_p_values_are_equal(p_values_of, count, shortest, longest, trend):
    """Checks a function of a calibration, lengths and scores, within its lengths and beyond."""
    rng = np.random.default_rng(0)
    calibration = Calibration("validation", *draw(rng, count, shortest, longest, trend))
    length, score = draw(rng, 200, max(1, shortest - 9), longest + 9, trend)
    # Among them scores of the calibration itself, which count as high as themselves.
    score = np.concatenate((score, calibration.score[:20])).astype(np.float32)
    length = np.concatenate((length, calibration.length[:20]))
    received = p_values_of(calibration, length, score)
    expected = calibration.p_values(length, score).astype(np.float32)
    np.testing.assert_array_equal(received, expected)
    assert len({*expected}) > min(count, 5)


def assert_scores_that_are_not_finite_are_answered(p_values_of):
    """Checks that NaN stays, and that infinity is as high as a score can be."""
    calibration = Calibration("validation", *draw(np.random.default_rng(0), 50, 3, 9))
    score = np.array([np.nan, np.inf, 0.0], np.float32)
    received = np.asarray(p_values_of(calibration, np.full(3, 4), score))
    assert np.isnan(received[0])
    np.testing.assert_array_equal(received, calibration.p_values(np.full(3, 4), score).astype("f"))
