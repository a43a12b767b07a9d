"""How much an embedding tells of the labels, which the encoder has never seen."""

from __future__ import annotations

import numpy as np


def check_scikit_learn() -> None:
    """Checks that what measures the accuracy is there, before any work is done for it.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "The accuracy of labels needs scikit-learn: install it with "
            "`pip install 'padless[compare]'`."
        ) from error


def label_accuracy(
    train_embeddings: np.ndarray,
    train_labels: np.ndarray,
    embeddings: np.ndarray,
    labels: np.ndarray,
) -> float:
    """Fits a logistic regression on embeddings and returns its share of right answers on others.

    Args:
        train_embeddings: `(sequences, latent_size)`, to fit on; they are standardized first.
        train_labels: `(sequences,)`, of at least two kinds.
        embeddings: `(others, latent_size)`, to answer for.
        labels: `(others,)`.

    Raises:
        ImportError: if scikit-learn is not installed.
        ValueError: if the labels to fit on are all the same.
    """
    check_scikit_learn()
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    classifier.fit(train_embeddings, train_labels.astype(str))
    return float(classifier.score(embeddings, labels.astype(str)))
