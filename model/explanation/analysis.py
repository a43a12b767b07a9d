"""Everything that a model computes of a few sequences, which are in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

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
from padless.pipeline.batching.packing import PackedSequences

_MAX_BATCH_TIMESTEPS = 65_536
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
    found: list[SequenceAnalysis] = []
    for rows in _cut([len(sequence) for sequence in sequences]):
        found += _analyze_batch(model, [sequences[row] for row in rows])
    return found


class SequenceScorer:
    """Computes the scores of sequences in memory, by one trace for all lengths.

    Args:
        model: the trained model.
    """

    def __init__(self, model: SequenceAutoencoder):
        def score(values: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
            return model.analyze(PackedSequences(values, length))["score"]

        values = tf.TensorSpec((None, model.num_features), tf.float32)
        signature = (values, tf.TensorSpec((None,), tf.int32))
        self._score = tf.function(score, input_signature=signature, autograph=False)

    def __call__(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the scores of sequences `(timesteps, features)`, `(sequences,)`, in order."""
        scores: list[np.ndarray] = []
        for rows in _cut([len(sequence) for sequence in sequences]):
            packed, order = _pack([sequences[row] for row in rows])
            scores.append(self._score(*packed).numpy()[np.argsort(order.numpy())])
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)


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
    lengths = [len(sequence) for sequence in sequences]
    values = tf.constant(np.concatenate(sequences), tf.float32)
    return PackedSequences.of(tf.RaggedTensor.from_row_lengths(values, lengths))


def _cut(lengths: Sequence[int]) -> Iterator[range]:
    """Cuts rows into batches of a bounded number of timesteps, as far as their lengths allow."""
    begin = total = 0
    for row, length in enumerate(lengths):
        if total and total + length > _MAX_BATCH_TIMESTEPS:
            yield range(begin, row)
            begin = row
            total = 0
        total += length
    if total:
        yield range(begin, len(lengths))
