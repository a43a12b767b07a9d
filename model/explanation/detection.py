"""How well scores tell labels apart: ROC and precision-recall curves, by scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np

_MOST_POINTS = 400


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class DetectionCurves:
    """How well one measure of anomaly tells abnormal sequences from normal ones.

    Attributes:
        auroc: area under the ROC curve: the chance that an abnormal sequence ranks above a normal
            one.
        average_precision: area under the precision-recall curve.
        false_alarms: share of the normal sequences that is called abnormal, rising `(points,)`.
        hits: share of the abnormal ones that is, at the same thresholds.
        recall: the same share, rising, of the other curve, `(other points,)`.
        precision: share of those called abnormal that are so, at the same thresholds.
    """

    auroc: float
    average_precision: float
    false_alarms: np.ndarray
    hits: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


def measure_detection(is_abnormal: np.ndarray, anomaly: np.ndarray) -> DetectionCurves:
    """Measures both curves.

    Args:
        is_abnormal: bool `(sequences,)`; some are and some are not.
        anomaly: `(sequences,)`, the higher the more anomalous; may be infinite, and not NaN.

    Raises:
        ImportError: if scikit-learn is not installed.
        ValueError: if all sequences are of one kind.
    """
    from sklearn import metrics

    if is_abnormal.all() or not is_abnormal.any():
        raise ValueError("there must be both normal and abnormal sequences, got one kind alone.")
    # Only the order counts, and scikit-learn takes no infinite values.
    ranks = np.unique(anomaly, return_inverse=True)[1].reshape(-1)
    false_alarms, hits, _ = metrics.roc_curve(is_abnormal, ranks)
    precision, recall, _ = metrics.precision_recall_curve(is_abnormal, ranks)
    thinned, of_recall = _thin(len(hits)), _thin(len(recall))
    return DetectionCurves(
        auroc=float(metrics.roc_auc_score(is_abnormal, ranks)),
        average_precision=float(metrics.average_precision_score(is_abnormal, ranks)),
        false_alarms=false_alarms[thinned],
        hits=hits[thinned],
        recall=recall[::-1][of_recall],
        precision=precision[::-1][of_recall],
    )


def _thin(count: int) -> np.ndarray:
    """Picks at most some hundred of the points of a curve, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).round().astype(int))
