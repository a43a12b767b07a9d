"""One epoch of a dataset, iterated: what its batches hold, as counts.

Where nothing tells how many timesteps of a sequence are real, those that look like padding are
counted too, see `padless.pipeline.diagnosis.ends`.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from padless.pipeline.diagnosis.ends import EndCounter, Ends
from padless.pipeline.diagnosis.tf_dataset.components import Component
from padless.pipeline.progress import Progress, ShowProgress, counted
from padless.pipeline.wording import shorten

FIRST_BATCHES = 10
_MAX_MESSAGE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Masked:
    """Real timesteps that a mask made from values would hide.

    Attributes:
        value: the number that sequences are padded by.
        timesteps: real timesteps whose values all equal it.
        sequences: sequences that have such a timestep.
    """

    value: float
    timesteps: int = 0
    sequences: int = 0

    def count(self, values: np.ndarray, lengths: np.ndarray) -> Masked:
        """Adds those of a batch: `(rows, timesteps, ...)`, and `(rows,)`."""
        is_value = (values.reshape(*values.shape[:2], -1) == self.value).all(2)
        is_value &= np.arange(values.shape[1]) < lengths[:, None]
        of_rows = is_value.sum(1)
        return Masked(
            self.value,
            self.timesteps + int(of_rows.sum()),
            self.sequences + int((of_rows > 0).sum()),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Epoch:
    """What was counted in an epoch, or in the part of it that was read.

    Attributes:
        rows: sequences of each batch, `(batches,)`.
        timesteps: timesteps that each batch is as long as, `(batches,)`.
        lengths: the real length of each sequence by batch, or None where no component holds it.
        shapes: distinct shapes of batches -> number of batches.
        ends: what looks like padding, or None.
        repeated_rows: sequences that were there before in the same epoch, with equal values; 0
            where the stage of batches can be read.
        first: fingerprints of the first batches.
        weighted_padding: whether sample weights are above 0 at some padded timestep; None if there
            are no weights per timestep or no lengths.
        seconds: wall time.
        is_whole: whether it was read to its end.
        masked: real timesteps whose values are those of padding, where `lengths` tell them apart.
    """

    rows: np.ndarray
    timesteps: np.ndarray
    lengths: tuple[np.ndarray, ...] | None
    shapes: dict[tuple[tuple[int, ...], ...], int]
    ends: Ends | None
    repeated_rows: int
    first: tuple[bytes, ...]
    weighted_padding: bool | None
    seconds: float
    is_whole: bool
    masked: Masked | None = None

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return len(self.rows)

    @property
    def num_rows(self) -> int:
        """Number of sequences."""
        return int(self.rows.sum())

    @property
    def computed(self) -> int:
        """Timesteps that a model computes: those of the rectangles."""
        return int((self.rows * self.timesteps).sum())


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of an element are.

    Attributes:
        sequence: the component with the timesteps.
        length: the component with the lengths, or None.
        weights: the component with a weight per timestep, or None.
        is_batched: whether the first dimension of a component is that of the sequences.
        has_stage: whether the stage that makes the batches can be read, which then counts what
            comes twice.
    """

    sequence: Component
    length: Component | None = None
    weights: Component | None = None
    is_batched: bool = True
    has_stage: bool = False


def read_epoch(
    dataset: Any, layout: Layout, *, max_batches: int | None, progress: ShowProgress
) -> Epoch | None:
    """Iterates an epoch and counts.

    Args:
        dataset: a `tf.data.Dataset`.
        layout: where the parts of its elements are.
        max_batches: how many are read at most, or None for all.
        progress: called with how many are read.

    Returns:
        The counts, or None where there is no batch.

    Raises:
        ValueError: if a batch cannot be read; says which.
    """
    counter, started = _Counter(layout), time.monotonic()
    total = int(dataset.cardinality().numpy())
    known = [n for n in (max_batches, total) if n is not None and n >= 0]
    start = Progress("read an epoch", 0, min(known, default=None), "batches")
    iterator = iterate(dataset if max_batches is None else dataset.take(max_batches), "batch")
    for element in counted(iterator, progress, start):
        counter.add(tf.nest.flatten(element))
    if not counter.rows:
        return None
    is_whole = max_batches is None or len(counter.rows) < max_batches or total == max_batches
    return counter.finish(time.monotonic() - started, is_whole)


def iterate(dataset: Any, unit: str) -> Iterator[Any]:
    """Yields elements, and says which one it was that raised an error.

    Raises:
        ValueError: if one did.
    """
    iterator, number = iter(dataset), 0
    while True:
        try:
            element = next(iterator)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            text = _clean(str(error.message))
            raise ValueError(f"The dataset raised an error at {unit} {number}: {text}") from error
        yield element
        number += 1


def _clean(message: str) -> str:
    """Leaves the places in graphs and the tracebacks out of a message of TensorFlow."""
    text = re.sub(r"\{\{.*?\}\}", "", message)
    text = re.sub(r"^\s*Got error code \w+ and message: \{", "", text)
    text = re.split(r"\n\s*(?:\[\[|Traceback)", text)[0]
    return shorten(" ".join(text.split()), _MAX_MESSAGE)


def fingerprint(components: Sequence[Any]) -> bytes:
    """Returns what tells elements apart by their shapes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for component in components:
        for part in tf.nest.flatten(component, expand_composites=True):
            values = part.numpy()
            digest.update(str((values.shape, values.dtype)).encode())
            digest.update(
                repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
            )
    return digest.digest()


class _Counter:
    """Counts batch after batch."""

    def __init__(self, layout: Layout):
        self._layout = layout
        self.rows: list[int] = []
        self._timesteps: list[int] = []
        self._lengths: list[np.ndarray] | None = []
        self._shapes: collections.Counter[tuple[tuple[int, ...], ...]] = collections.Counter()
        self._first: list[bytes] = []
        self._seen: set[bytes] = set()
        self._repeated = 0
        self._weighted: bool | None = None
        self._ends = EndCounter()
        self._masked: Masked | None = None

    def add(self, components: list[Any]) -> None:
        self._shapes[tuple(_shape_of(one) for one in components)] += 1
        if len(self._first) < FIRST_BATCHES:
            self._first.append(fingerprint(components))
        sequence = components[self._layout.sequence.index]
        if not isinstance(sequence, tf.RaggedTensor) and not self._layout.is_batched:
            sequence = sequence[None]
        lengths = self._read_lengths(sequence, components)
        if lengths is None:
            self._lengths = None
        elif self._lengths is not None:
            self._lengths.append(lengths)
        values = _rectangle(sequence)
        self.rows.append(values.shape[0])
        self._timesteps.append(values.shape[1])
        if not self._layout.has_stage:
            self._count_rows(values, lengths)
        self._check_weights(components, lengths, values.shape[1])
        if lengths is None:
            self._ends.add(values)
        elif self._layout.length is not None:
            self._count_masked(values, lengths)

    def _read_lengths(self, sequence: Any, components: list[Any]) -> np.ndarray | None:
        if isinstance(sequence, tf.RaggedTensor):
            return sequence.row_lengths().numpy()
        if self._layout.length is None:
            return None
        lengths = np.atleast_1d(components[self._layout.length.index].numpy())
        if len(lengths) != sequence.shape[0] or (lengths > sequence.shape[1]).any():
            raise ValueError(
                f"`length` must hold the timesteps of each sequence, {self._layout.length.name!r} "
                f"has {lengths[:5].tolist()} for sequences of {sequence.shape[1]}, in batch "
                f"{len(self.rows)}."
            )
        return lengths

    def _count_rows(self, values: np.ndarray, lengths: np.ndarray | None) -> None:
        ends = [values.shape[1]] * len(values) if lengths is None else lengths.tolist()
        for row, end in zip(values, ends, strict=True):
            digest = hashlib.blake2b(row[:end].tobytes(), digest_size=16).digest()
            self._repeated += digest in self._seen
            self._seen.add(digest)

    def _count_masked(self, values: np.ndarray, lengths: np.ndarray) -> None:
        """Counts from the first batch on that is padded, by the number that it is padded by."""
        is_padded = np.arange(values.shape[1]) >= lengths[:, None]
        if self._masked is None and is_padded.any() and values.dtype.kind in "iuf":
            self._masked = Masked(float(values[is_padded].flat[0]))
        if self._masked is not None:
            self._masked = self._masked.count(values, lengths)

    def _check_weights(
        self, components: list[Any], lengths: np.ndarray | None, timesteps: int
    ) -> None:
        if self._layout.weights is None or lengths is None:
            return
        weights = components[self._layout.weights.index].numpy()
        is_padded = np.arange(timesteps) >= lengths[:, None]
        is_weighted = bool((weights.reshape(is_padded.shape)[is_padded] != 0).any())
        self._weighted = is_weighted or bool(self._weighted)

    def finish(self, seconds: float, is_whole: bool) -> Epoch:
        return Epoch(
            rows=np.array(self.rows),
            timesteps=np.array(self._timesteps),
            lengths=None if self._lengths is None else tuple(self._lengths),
            shapes=dict(self._shapes),
            ends=self._ends.result(),
            repeated_rows=self._repeated,
            first=tuple(self._first),
            weighted_padding=self._weighted,
            seconds=seconds,
            is_whole=is_whole,
            masked=self._masked,
        )


def _shape_of(component: Any) -> tuple[int, ...]:
    """Returns the shapes that a trace depends on; of a ragged tensor, those of its parts."""
    parts = tf.nest.flatten(component, expand_composites=True)
    return tuple(size for part in parts for size in part.shape.as_list())


def _rectangle(sequence: Any) -> np.ndarray:
    """Returns values `(rows, timesteps, ...)`, also of a ragged tensor."""
    if isinstance(sequence, tf.RaggedTensor):
        sequence = sequence.to_tensor()
    return sequence.numpy()
