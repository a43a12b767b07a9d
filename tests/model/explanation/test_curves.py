"""PCA and the curves of detection against NumPy."""

import numpy as np
import pytest

from padless.model.explanation.detection import measure_detection
from padless.model.explanation.projection import project


def test_project_finds_the_directions_of_the_largest_variance():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 5)) * [1, 9, 0.1, 3, 0.5]
    projection = project(values)
    assert list(np.abs(projection.points).std(axis=0) > 1) == [True, True]
    variance = values.var(axis=0)
    expected = np.sort(variance)[::-1][:2] / variance.sum()
    np.testing.assert_allclose(projection.explained, expected, rtol=0.05)
    correlation = np.corrcoef(projection.points[:, 0], values[:, 1])[0, 1]
    assert abs(correlation) > 0.99


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (3, 3), (2, 9)])
def test_project_takes_few_embeddings_and_few_values(shape):
    projection = project(np.random.default_rng(0).normal(size=shape))
    assert projection.points.shape == (shape[0], 2)
    assert np.isfinite(projection.points).all()


def test_project_leaves_out_what_is_not_finite():
    values = np.random.default_rng(0).normal(size=(6, 3))
    values[2, 1] = np.inf
    assert list(project(values).rows) == [0, 1, 3, 4, 5]
    assert project(np.ones((4, 3))).explained == (0.0, 0.0)


def count_pairs(is_abnormal, anomaly):
    """The share of pairs that are in the right order, equal ones counted half."""
    above = anomaly[is_abnormal][:, None] - anomaly[~is_abnormal]
    return ((above > 0) + 0.5 * (above == 0)).mean()


def test_measure_detection_counts_pairs():
    rng = np.random.default_rng(0)
    is_abnormal = rng.uniform(size=300) < 0.3
    anomaly = (rng.normal(size=300) + is_abnormal).round(1)
    curves = measure_detection(is_abnormal, anomaly)
    assert curves.auroc == pytest.approx(count_pairs(is_abnormal, anomaly))
    # The areas below the curves that are drawn are those that are told.
    area = np.sum(np.diff(curves.false_alarms) * (curves.hits[1:] + curves.hits[:-1]) / 2)
    assert area == pytest.approx(curves.auroc, abs=0.005)
    steps = np.sum(np.diff(curves.recall) * curves.precision[1:])
    assert steps == pytest.approx(curves.average_precision, abs=0.01)


def test_measure_detection_takes_infinite_scores_and_many():
    is_abnormal = np.arange(5000) % 2 == 0
    anomaly = np.where(is_abnormal, np.inf, np.arange(5000))
    curves = measure_detection(is_abnormal, anomaly)
    assert (curves.auroc, curves.average_precision) == (1.0, 1.0)
    assert max(len(curves.hits), len(curves.recall)) <= 400


@pytest.mark.parametrize("kind", [True, False])
def test_measure_detection_needs_both_kinds(kind):
    with pytest.raises(ValueError, match="both normal and abnormal"):
        measure_detection(np.full(3, kind), np.arange(3.0))
