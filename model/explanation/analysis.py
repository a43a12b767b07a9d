"""Everything that a model computes of a few sequences, which are in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from padless.model.explanation.score_parts import (
    LevelShare,
    ScoreParts,
    divide_level,
    divide_scores,
)
from padless.model.network.anomaly_score import Traits
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.scoring.inference import cut_batches
from padless.pipeline.batching.packing import PackedSequences

_OF_SEQUENCES = ("score", "feature_error", *Traits._fields)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SequenceAnalysis:
    """What a model computes of one sequence.

    Attributes:
        original: `(timesteps, features)` float32, in the units of the records.
        reconstruction: likewise.
        timestep_error: `(timesteps, features)`, see `SequenceAutoencoder.analyze`.
        feature_error: `(features,)`.
        score: the anomaly score.
        error: of the reconstruction, in units of the training variance.
        unexplained: the same as a share of the sequence's own variance.
        parts: what the score consists of.
        level: what means and deviations contribute to its level, the largest share first.
    """

    original: np.ndarray
    reconstruction: np.ndarray
    timestep_error: np.ndarray
    feature_error: np.ndarray
    score: float
    error: float
    unexplained: float
    parts: ScoreParts
    level: list[LevelShare]


def analyze_sequences(
    model: SequenceAutoencoder, sequences: Sequence[np.ndarray]
) -> list[SequenceAnalysis]:
    """Analyzes some sequences, in their order.

    Args:
        model: the trained model.
        sequences: `(timesteps, features)` float32 each, raw units.
    """
    found: dict[int, SequenceAnalysis] = {}
    for rows in cut_batches(model, _lengths(sequences)):
        found |= zip(rows, _analyze_batch(model, [sequences[row] for row in rows]), strict=True)
    return [found[row] for row in range(len(sequences))]


class SequenceScorer:
    """Computes the scores of sequences in memory, by one trace for all lengths.

    Args:
        model: the trained model.
    """

    def __init__(self, model: SequenceAutoencoder):
        def score(values: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
            return model.analyze(PackedSequences(values, length))["score"]

        self._model = model
        values = tf.TensorSpec((None, model.num_features), tf.float32)
        signature = (values, tf.TensorSpec((None,), tf.int32))
        self._score = tf.function(score, input_signature=signature, autograph=False)

    def __call__(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the scores of sequences `(timesteps, features)`, `(sequences,)`, in order."""
        scores = np.zeros(len(sequences), np.float32)
        for rows in cut_batches(self._model, _lengths(sequences)):
            packed, order = _pack([sequences[row] for row in rows])
            scores[rows[order.numpy()]] = self._score(*packed)
        return scores


def _analyze_batch(
    model: SequenceAutoencoder, sequences: Sequence[np.ndarray]
) -> list[SequenceAnalysis]:
    packed, order = _pack(sequences)
    outputs = model.analyze(packed, timesteps=True)
    reconstruction = model(packed)
    by_timestep = [
        PackedSequences(values, packed.length).to_ragged(order)
        for values in (reconstruction, outputs["timestep_error"])
    ]
    # `order` says which sequence each packed row was.
    rank = np.argsort(order.numpy())
    by_row = {name: outputs[name].numpy()[rank] for name in _OF_SEQUENCES}
    parts = divide_scores(model.anomaly_score, by_row)
    return [
        SequenceAnalysis(
            original=sequence,
            reconstruction=by_timestep[0][i].numpy(),
            timestep_error=by_timestep[1][i].numpy(),
            feature_error=by_row["feature_error"][i],
            score=float(by_row["score"][i]),
            error=float(by_row["error"][i]),
            unexplained=float(by_row["unexplained"][i]),
            parts=parts[i],
            level=divide_level(model.anomaly_score, by_row["level"][i]),
        )
        for i, sequence in enumerate(sequences)
    ]


def _pack(sequences: Sequence[np.ndarray]) -> tuple[PackedSequences, tf.Tensor]:
    lengths = _lengths(sequences)
    values = tf.constant(np.concatenate(sequences), tf.float32)
    return PackedSequences.of(tf.RaggedTensor.from_row_lengths(values, lengths))


def _lengths(sequences: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([len(sequence) for sequence in sequences], np.int64)
