"""Embeddings as points of a plane, by principal components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Projection(NamedTuple):
    """Embeddings in a plane.

    Attributes:
        rows: which of the embeddings, `(points,)`: those that are finite.
        points: `(points, 2)` float64.
        explained: share of the variance along each of both axes.
    """

    rows: np.ndarray
    points: np.ndarray
    explained: tuple[float, float]


def project(embeddings: np.ndarray) -> Projection:
    """Projects embeddings onto the two directions in which they vary most.

    Args:
        embeddings: `(sequences, size)`; rows that are not finite are left out.

    Raises:
        ImportError: if scikit-learn is not installed.
    """
    from sklearn.decomposition import PCA

    rows = np.flatnonzero(np.isfinite(embeddings).all(axis=1))
    finite = embeddings[rows].astype(np.float64)
    points, explained = np.zeros((len(rows), 2)), [0.0, 0.0]
    if len(rows) > 1 and np.ptp(finite, axis=0).any():
        size = min(2, *finite.shape)
        pca = PCA(size, random_state=0).fit(finite)
        points[:, :size] = pca.transform(finite)
        explained[:size] = pca.explained_variance_ratio_.tolist()
    return Projection(rows, points, (explained[0], explained[1]))
