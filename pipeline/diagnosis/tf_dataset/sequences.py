"""The sequences that the stage of batches takes, in the batches that it forms of them.

What a batch was padded to, and who was dropped, cannot be read from the batches. The stage's input
can: its sequences are described, each by a few numbers, and the descriptions are batched as the
stage batches the sequences. Random stages before it make it another draw of the epoch than the one
that is read, with the same rules.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from padless.pipeline.diagnosis.tf_dataset.components import Component
from padless.pipeline.diagnosis.tf_dataset.epoch import iterate
from padless.pipeline.diagnosis.tf_dataset.stages import BatchStage
from padless.pipeline.progress import Progress, ShowProgress, counted


@dataclasses.dataclass(frozen=True, slots=True)
class Sequences:
    """What was counted before batches were padded or dropped.

    Attributes:
        lengths: the length of each sequence by batch, batches that are dropped among them; 0 where
            `has_lengths` is not set.
        has_lengths: whether sequences come to the stage as such, not as serialized records, say.
        buckets: the group that each batch is of, `(batches,)`.
        full_sizes: sequences that each batch would have if it were full, `(batches,)`.
        is_dropped: which batches are dropped, `(batches,)`.
        padding_value: what is counted as such: that of the stage, else 0.
        masked: real timesteps whose values all equal it.
        masked_sequences: sequences that have such a timestep.
        not_finite: sequences with NaN or infinite values.
        repeated: sequences that were there before, with equal values.
    """

    lengths: tuple[np.ndarray, ...]
    has_lengths: bool
    buckets: np.ndarray
    full_sizes: np.ndarray
    is_dropped: np.ndarray
    padding_value: float
    masked: int
    masked_sequences: int
    not_finite: int
    repeated: int

    @property
    def num_sequences(self) -> int:
        """Number of sequences, those that are dropped among them."""
        return sum(map(len, self.lengths))

    @property
    def num_dropped(self) -> int:
        """Number of sequences in batches that are dropped."""
        return sum(map(len, self.dropped))

    @property
    def kept(self) -> list[np.ndarray]:
        """The lengths by batch, without those that are dropped."""
        pairs = zip(self.lengths, self.is_dropped, strict=True)
        return [lengths for lengths, is_dropped in pairs if not is_dropped]

    @property
    def dropped(self) -> list[np.ndarray]:
        """The lengths of those that are dropped, by batch."""
        pairs = zip(self.lengths, self.is_dropped, strict=True)
        return [lengths for lengths, is_dropped in pairs if is_dropped]


def read_sequences(
    stage: BatchStage,
    sequence: Component | None,
    *,
    max_batches: int | None,
    progress: ShowProgress,
) -> Sequences:
    """Iterates the sequences that a stage takes, and counts.

    Args:
        stage: the stage that makes batches.
        sequence: the component with the timesteps, of the stage's input; None where it has none.
        max_batches: how many batches are formed at most, or None for all.
        progress: called with how many are formed.

    Raises:
        ValueError: if a sequence cannot be read; says in which batch.
    """
    value = _find_padding_value(stage, sequence)

    @tf.autograph.experimental.do_not_convert
    def describe(*element: Any) -> dict[str, Any]:
        components = tf.nest.flatten(element)
        bucket = tf.constant(0, tf.int64)
        if stage.batch_size is None:
            bucket = tf.cast(stage.find_bucket(components), tf.int64)
        if sequence is None:
            return {"bucket": bucket, "hash": _hash(components[0]), "length": tf.constant(0)}
        return {"bucket": bucket} | _describe(components[sequence.index], value)

    described = stage.source.map(
        describe,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    batches = stage.group(described)
    batches = batches if max_batches is None else batches.take(max_batches)
    start = Progress("read what is batched", 0, max_batches, "batches")
    parts: dict[str, list[np.ndarray]] = {}
    for batch in counted(iterate(batches, "sequence of batch"), progress, start):
        for name, numbers in batch.items():
            parts.setdefault(name, []).append(numbers.numpy())
    return _count(parts, stage, value, has_lengths=sequence is not None)


def _find_padding_value(stage: BatchStage, sequence: Component | None) -> float:
    if stage.padding_values is None or sequence is None:
        return 0.0
    known = stage.padding_values[sequence.index]
    return 0.0 if known is None or isinstance(known, bytes) else float(known)


def _describe(values: Any, padding: float) -> dict[str, Any]:
    """Describes one sequence by scalars, inside a graph."""
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor()
    is_equal = tf.equal(values, tf.cast(padding, values.dtype))
    is_padding = tf.reduce_all(is_equal, axis=tf.range(1, tf.rank(values)))
    is_finite = tf.constant(True)
    if values.dtype.is_floating:
        is_finite = tf.reduce_all(tf.math.is_finite(values))
    return {
        "length": tf.shape(values)[0],
        "masked": tf.reduce_sum(tf.cast(is_padding, tf.int32)),
        "is_finite": is_finite,
        "hash": _hash(values),
    }


def _hash(values: Any) -> Any:
    if isinstance(values, tf.RaggedTensor):
        values = values.to_tensor()
    return tf.strings.to_hash_bucket_fast(tf.io.serialize_tensor(values), 2**62)


def _count(
    parts: dict[str, list[np.ndarray]], stage: BatchStage, padding: float, *, has_lengths: bool
) -> Sequences:
    buckets = [int(bucket[0]) for bucket in parts.get("bucket", [])]
    sizes = {bucket: stage.size_of(bucket) for bucket in set(buckets)}
    full_sizes = np.array([sizes[bucket] for bucket in buckets], np.int64)
    rows = np.array([len(bucket) for bucket in parts.get("bucket", [])], np.int64)
    masked = np.concatenate(parts.get("masked", [np.zeros(0)]))
    hashes = np.concatenate(parts.get("hash", [np.zeros(0)]))
    return Sequences(
        lengths=tuple(parts.get("length", [])),
        has_lengths=has_lengths,
        buckets=np.array(buckets, np.int64),
        full_sizes=full_sizes,
        is_dropped=(rows < full_sizes) & bool(stage.drops_remainder),
        padding_value=padding,
        masked=int(masked.sum()),
        masked_sequences=int((masked > 0).sum()),
        not_finite=int((~np.concatenate(parts.get("is_finite", [np.ones(0, bool)]))).sum()),
        repeated=len(hashes) - len(np.unique(hashes)),
    )
