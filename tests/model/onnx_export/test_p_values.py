"""p-values in a graph of ONNX are those that NumPy computes."""

import numpy as np
import pytest
from calibrations import (
    assert_p_values_are_equal,
    assert_scores_that_are_not_finite_are_answered,
    every_kind,
)

from padless.model.onnx_export.graph import Graph
from padless.model.onnx_export.p_values import add_p_values


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


@every_kind
def test_p_values_are_those_of_the_calibration(p_values_of, count, shortest, longest, trend):
    assert_p_values_are_equal(p_values_of, count, shortest, longest, trend)


def test_scores_that_are_not_finite(p_values_of):
    assert_scores_that_are_not_finite_are_answered(p_values_of)
