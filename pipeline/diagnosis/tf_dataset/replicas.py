"""What each replica is given of a batch, by the rule of `tf.distribute`. NumPy only."""

from __future__ import annotations

import numpy as np


def deal_rows(rows: np.ndarray, replicas: int) -> np.ndarray:
    """Computes how many sequences of each batch each replica is given.

    A batch is cut into pieces of the same size, rounded up; the last ones have what is left, which
    may be nothing. A test compares this with `MirroredStrategy`.

    Args:
        rows: sequences of each batch, `(batches,)`.
        replicas: number of replicas.

    Returns:
        `(batches, replicas)`.

    Example:
        >>> deal_rows(np.array([8, 5, 1]), 4).tolist()
        [[2, 2, 2, 2], [2, 2, 1, 0], [1, 0, 0, 0]]
    """
    size = -(-rows // replicas)[:, None]
    return np.clip(rows[:, None] - size * np.arange(replicas), 0, size)


def deal_timesteps(lengths: list[np.ndarray], replicas: int) -> np.ndarray:
    """Computes how many real timesteps of each batch each replica is given.

    Args:
        lengths: the length of each sequence, by batch.
        replicas: number of replicas.

    Returns:
        `(batches, replicas)`.
    """
    dealt = np.zeros((len(lengths), replicas), np.int64)
    for batch, of_batch in enumerate(lengths):
        size = -(-len(of_batch) // replicas)
        for replica in range(replicas):
            dealt[batch, replica] = of_batch[replica * size : (replica + 1) * size].sum()
    return dealt
