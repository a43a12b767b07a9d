"""What `quality.py` measures on the embeddings and scores of a run, and of simpler answers."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import warnings

import numpy as np
import quality_baselines as baselines
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

# Alarms are raised below these, which no label chooses.
_P_VALUES = (0.02, 0.05)
# Of more sequences, the constant of the support vector machine is chosen on as many.
_MOST_FOR_CHOICE = 1000


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a run gives for the sequences of a set.

    Attributes:
        data: dataset directory.
        seed: of the run.
        train: column -> its values in the training split.
        test: the same of the test split.
    """

    data: pathlib.Path
    seed: int
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]

    @functools.cached_property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """The simple statistics of both splits."""
        return tuple(baselines.statistics_of(self.data, split) for split in ("train", "test"))


def classify(run: Scored) -> dict[str, float]:
    """Predicts labels from embeddings, from those of an untrained model, and from statistics."""
    untrained = baselines.untrained_embeddings(run.data, run.seed)
    answers = {
        "": (run.train["embedding"], run.test["embedding"]),
        ", untrained": (untrained["train"], untrained["test"]),
        ", statistics": run.statistics,
    }
    labels = run.train["label"], run.test["label"]
    return {
        f"{name}{what}": accuracy(make, vectors, labels)
        for what, vectors in answers.items()
        for name, make in (("SVM", _make_svm), ("regression", _make_regression))
    }


def accuracy(make, vectors, labels) -> float:
    """Fits a classifier on standardized vectors of the training split; its accuracy on the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes with fewer members than folds
        classifier = make_pipeline(StandardScaler(), make(vectors[0], labels[0]))
        return classifier.fit(vectors[0], labels[0]).score(vectors[1], labels[1])


def _make_regression(train: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return LogisticRegression(max_iter=2000)


def _make_svm(train: np.ndarray, labels: np.ndarray) -> SVC:
    """Makes the machine of the references: C by cross-validation, where there is enough for it."""
    if len(labels) < 50 or len(labels) / len(set(labels)) < 5:
        return SVC(C=np.inf)
    if len(labels) <= _MOST_FOR_CHOICE:
        return GridSearchCV(SVC(), {"C": [0.1, 1, 10, 100, 1000]}, cv=5)
    some = np.random.default_rng(0).permutation(len(labels))[:_MOST_FOR_CHOICE]
    choice = make_pipeline(StandardScaler(), _make_svm(train[some], labels[some]))
    choice.fit(train[some], labels[some])
    return SVC(C=choice[-1].best_params_["C"])


def detect(run: Scored) -> dict[str, float]:
    """Finds anomalies, of label "1", by their score and by their p-value."""
    is_anomaly = run.test["label"] == "1"
    normal = {name: values[~is_anomaly] for name, values in run.test.items()}
    found = separate(run)
    for p in _P_VALUES:
        found[f"F1 at p < {p}"] = f1_score(is_anomaly, run.test["p_value"] < p)
        found[f"false alarms at p < {p}"] = (normal["p_value"] < p).mean()
    return found | _length_dependence(normal)


def separate(run: Scored) -> dict[str, float]:
    """Tells anomalies, of label "1", from normal sequences, whatever the threshold."""
    is_anomaly = run.test["label"] == "1"
    forest = baselines.isolation_scores(*run.statistics, run.seed)
    return {
        "AUROC": roc_auc_score(is_anomaly, run.test["score"]),
        "AUROC of the error alone": roc_auc_score(is_anomaly, run.test["error"]),
        "AUROC of an isolation forest on statistics": roc_auc_score(is_anomaly, forest),
    }


def foresee(run: Scored) -> dict[str, float]:
    """Correlates the score with the distance to failure, which is the label."""
    distance = run.test["label"].astype(float)
    return {
        "rank correlation with distance to failure": spearmanr(run.test["score"], distance)[0],
        "that of the error alone": spearmanr(run.test["error"], distance)[0],
    }


def _length_dependence(normal: dict[str, np.ndarray]) -> dict[str, float]:
    if len(set(normal["length"])) == 1:
        return {}
    by_length = np.argsort(normal["length"], kind="stable")
    alarm = normal["p_value"] < _P_VALUES[-1]
    quarters = [alarm[rows].mean() for rows in np.array_split(by_length, 4)]
    return {
        "the same, least of four quarters by length": min(quarters),
        "the same, most": max(quarters),
        "score ~ length": spearmanr(normal["score"], normal["length"])[0],
        "error ~ length": spearmanr(normal["error"], normal["length"])[0],
        "p ~ length": spearmanr(normal["p_value"], normal["length"])[0],
    }
