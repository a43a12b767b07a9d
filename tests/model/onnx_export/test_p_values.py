"""p-values in a graph of ONNX are those that NumPy computes."""

import numpy as np
import pytest

from padless.model import Calibration
from padless.model.onnx_export.graph import Graph
from padless.model.onnx_export.p_values import add_p_values

RNG = np.random.default_rng(0)


@pytest.fixture
def p_values_of(run_onnx):
    """Computes p-values in a graph that does nothing else; the scores are its sequences."""

    def compute(calibration, length, score):
        graph = Graph()
        scores = graph.input("sequence", np.float32, ["batch"])
        lengths = graph.input("length", np.int64, ["batch"])
        graph.output("p_value", add_p_values(calibration, lengths, scores), ["batch"])
        return run_onnx(graph.as_model("test"), score, length)["p_value"]

    return compute


def draw(count, shortest, longest, trend=0.0):
    length = RNG.integers(shortest, longest + 1, count)
    return length, np.exp(RNG.normal(size=count) + trend * length)


@pytest.mark.parametrize(
    ("count", "shortest", "longest", "trend"),
    [(1, 5, 5, 0), (30, 3, 4, 0), (150, 1, 300, 0.02), (600, 10, 60, -0.05), (400, 7, 7, 0)],
)
def test_p_values_are_those_of_the_calibration(p_values_of, count, shortest, longest, trend):
    calibration = Calibration("validation", *draw(count, shortest, longest, trend))
    length, score = draw(200, max(1, shortest - 9), longest + 9, trend)
    # Among them scores of the calibration itself, which count as high as themselves.
    score = np.concatenate((score, calibration.score[:20])).astype(np.float32)
    length = np.concatenate((length, calibration.length[:20]))
    received = p_values_of(calibration, length, score)
    expected = calibration.p_values(length, score).astype(np.float32)
    np.testing.assert_array_equal(received, expected)
    assert len({*expected}) > min(count, 5)


def test_scores_that_are_not_finite(p_values_of):
    calibration = Calibration("validation", *draw(50, 3, 9))
    score = np.array([np.nan, np.inf, 0.0], np.float32)
    received = p_values_of(calibration, np.full(3, 4), score)
    assert np.isnan(received[0])
    np.testing.assert_array_equal(received, calibration.p_values(np.full(3, 4), score).astype("f"))
