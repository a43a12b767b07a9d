"""What `quality.py` shows beside the product's figures: answers that need no training.

- simple statistics of each sequence, which a few lines of NumPy compute;
- the embeddings of the model before training, which show what its form gives alone;
- scikit-learn's `IsolationForest` on the statistics, for anomalies.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np

_QUANTILES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
_LAGS = (1, 2, 4, 8, 16)


def describe_sequence(sequence: np.ndarray) -> np.ndarray:
    """Computes mean, deviation, quantiles, autocorrelation and length.

    Args:
        sequence: `(timesteps, features)`.

    Returns:
        `(14 * features + 1,)` float64.
    """
    values = sequence.astype(np.float64)
    centred = values - values.mean(axis=0)
    squares = np.square(centred).sum(axis=0)
    correlations = [
        (centred[lag:] * centred[:-lag]).sum(axis=0) / np.maximum(squares, 1e-9) for lag in _LAGS
    ]
    quantiles = np.quantile(values, _QUANTILES, axis=0)
    parts = [values.mean(axis=0), values.std(axis=0), *quantiles, *correlations, [len(values)]]
    return np.concatenate(parts)


def statistics_of(directory: pathlib.Path, split: str) -> np.ndarray:
    """Computes the statistics of all sequences of a split, in the order of its records."""
    return np.stack([describe_sequence(sequence) for sequence in _sequences(directory, split)])


def untrained_embeddings(directory: pathlib.Path, seed: int) -> dict[str, np.ndarray]:
    """Embeds the training and the test split with the model that a run would begin with.

    Args:
        directory: dataset directory.
        seed: of the weights.
    """
    import keras

    from padless.model import Architecture, Inference, SequenceAutoencoder, TrainingOptions
    from padless.model.run_directory.choices import choose
    from padless.model.scoring.inference import EMBEDDING
    from padless.pipeline import open_dataset

    dataset = open_dataset(directory)
    chosen = choose(Architecture(), TrainingOptions(), dataset.split("train").lengths)
    keras.utils.set_random_seed(seed)
    model = SequenceAutoencoder.for_moments(dataset.moments, chosen.architecture)
    inference = Inference(model, EMBEDDING)
    return {
        split: np.concatenate([w["embedding"] for w in inference.windows(dataset, split)])
        for split in ("train", "test")
    }


def isolation_scores(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Scores the statistics of a test split by a forest fitted to those of the training split."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed).fit(train)
    return -forest.score_samples(test)


def _sequences(directory: pathlib.Path, split: str) -> Iterator[np.ndarray]:
    from padless.model.scoring.inference import read_windows
    from padless.pipeline import open_dataset
    from padless.pipeline.dataset.records import parse_ragged_examples

    dataset = open_dataset(directory)
    for window in read_windows(dataset.split(split), dataset.record_format):
        parsed = parse_ragged_examples(window["serialized"], dataset.record_format)
        yield from np.split(parsed["values"].numpy(), window["length"].cumsum()[:-1])
