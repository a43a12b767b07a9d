"""The packed layout: sequences of different lengths side by side, without a padded timestep.

Rows are sorted by falling length, and their values are time-major without gaps: the first timestep
of all rows, then the second of the rows that have one, and so on. Three rows of 3, 2 and 1
timesteps are

    a0 b0 c0  a1 b1  a2

as in PyTorch's `PackedSequence`. Two neighbouring timesteps with the same number of rows belong to
one *band*, a dense block `(timesteps, rows, features)`.

The lengths say everything about the layout: `Packing` is what follows from them.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import tensorflow as tf


def on_host() -> contextlib.AbstractContextManager:
    """Places operations on the host where there is a GPU.

    Positions are few and derived from one another by many small operations, of which TensorFlow
    runs some on the host and some on the card, with a copy in between that both wait for.
    """
    if tf.config.get_visible_devices("GPU"):
        return tf.device("CPU:0")
    return contextlib.nullcontext()


class Packing(NamedTuple):
    """Where the values of packed rows are, all int32.

    Attributes:
        length: timesteps of each row, falling, `(rows,)`.
        live: number of rows that have each timestep, falling, `(longest,)`.
        start: position of the first row's value at each timestep, `(longest,)`.
        time: timestep of each value, `(timesteps of all rows,)`.
        row: row of each value, `(timesteps of all rows,)`.
    """

    length: tf.Tensor
    live: tf.Tensor
    start: tf.Tensor
    time: tf.Tensor
    row: tf.Tensor

    @classmethod
    def of(cls, length: tf.Tensor) -> Packing:
        """Derives the layout from the lengths.

        Args:
            length: timesteps of each row, integers of at least 1, falling, `(rows,)`. There may be
                no row.

        Example:
            >>> packing = Packing.of(tf.constant([3, 2, 1]))
            >>> packing.live.numpy().tolist(), packing.row.numpy().tolist()
            ([3, 2, 1], [0, 1, 2, 0, 1, 0])
        """
        with on_host():
            length = tf.ensure_shape(tf.cast(length, tf.int32), (None,))
            bands = Bands.of(length)
            live = tf.gather(bands.rows, _repeated(bands.timesteps))
            start = tf.cumsum(live, exclusive=True)
            time = _repeated(live)
            row = tf.range(tf.size(time)) - tf.gather(start, time)
        return cls(length, live, start, time, row)

    @property
    def num_rows(self) -> tf.Tensor:
        """Number of rows, `()`."""
        return tf.size(self.length)

    @property
    def last(self) -> tf.Tensor:
        """Position of the last value of each row, `(rows,)`."""
        with on_host():
            return tf.gather(self.start, self.length - 1) + tf.range(self.num_rows)

    @property
    def mirrored(self) -> tf.Tensor:
        """Position of each value in its row read from its end, `(timesteps of all rows,)`."""
        with on_host():
            mirrored = tf.gather(self.length, self.row) - 1 - self.time
            return tf.gather(self.start, mirrored) + self.row

    def pad(self, values: tf.Tensor) -> tf.Tensor:
        """Pads packed values `(timesteps of all rows, width)` to `(rows, longest, width)`.

        What is after the end of a row is 0.
        """
        shape = tf.stack((self.num_rows, tf.size(self.live), values.shape[1]))
        padded = tf.scatter_nd(self._places, values, shape)
        return tf.ensure_shape(padded, (None, None, values.shape[1]))

    def unpad(self, padded: tf.Tensor) -> tf.Tensor:
        """Takes the values before the ends of `(rows, longest, width)`, packed."""
        return tf.gather_nd(padded, self._places)

    @property
    def _places(self) -> tf.Tensor:
        return tf.stack((self.row, self.time), axis=1)

    def mean(self, values: tf.Tensor) -> tf.Tensor:
        """Computes the mean of each row over its timesteps.

        Args:
            values: `(timesteps of all rows, width)` floating-point numbers.

        Returns:
            `(rows, width)`.
        """
        total = tf.math.unsorted_segment_sum(values, self.row, self.num_rows)
        return total / tf.cast(self.length, values.dtype)[:, None]


class Bands(NamedTuple):
    """Neighbouring timesteps with the same number of rows, int32 `(bands,)` each.

    Attributes:
        rows: rows of each band, falling.
        timesteps: timesteps of each band.
    """

    rows: tf.Tensor
    timesteps: tf.Tensor

    @classmethod
    def of(cls, length: tf.Tensor) -> Bands:
        """Finds the bands of rows with these lengths, falling, int32 `(rows,)`.

        Example:
            >>> bands = Bands.of(tf.constant([9, 9, 4]))
            >>> bands.rows.numpy().tolist(), bands.timesteps.numpy().tolist()
            ([3, 2], [4, 5])
        """
        distinct, _, count = tf.unique_with_counts(length[::-1])
        rows = tf.size(length) - tf.cumsum(count, exclusive=True)
        return cls(rows, distinct - tf.concat((tf.zeros([1], tf.int32), distinct[:-1]), 0))


def _repeated(counts: tf.Tensor) -> tf.Tensor:
    """Returns the numbers from 0, each as often as is counted: 0, 0, 0, 1 of 3 and 1.

    By one operation, where `tf.repeat` takes some fifty.
    """
    ends = tf.cumsum(counts)
    positions = tf.range(tf.reduce_sum(counts))
    return tf.raw_ops.UpperBound(sorted_inputs=ends[None], values=positions[None])[0]


class PackedSequences(NamedTuple):
    """Sequences in the packed layout.

    Attributes:
        values: `(timesteps of all rows, features)`.
        length: timesteps of each row, falling, `(rows,)` integers.
    """

    values: tf.Tensor
    length: tf.Tensor

    @classmethod
    def of(cls, sequences: tf.RaggedTensor) -> tuple[PackedSequences, tf.Tensor]:
        """Packs the rows of a ragged tensor `(rows, None, features)`.

        Returns:
            The packed sequences, and which row of `sequences` each of them was, int32 `(rows,)`.
            Rows of one length keep their order.

        Raises:
            tf.errors.InvalidArgumentError: if a row has no timestep.
        """
        length = tf.cast(sequences.row_lengths(), tf.int32)
        first = tf.cast(sequences.row_starts(), tf.int32)
        order = tf.argsort(length, direction="DESCENDING", stable=True)
        length = tf.gather(length, order)
        with tf.control_dependencies([assert_not_empty(length)]):
            length = tf.identity(length)  # so that nothing is computed of it before
        packing = Packing.of(length)
        index = tf.gather(tf.gather(first, order), packing.row) + packing.time
        return cls(tf.gather(sequences.values, index), length), order

    def to_ragged(self, order: tf.Tensor | None = None) -> tf.RaggedTensor:
        """Returns the sequences as a ragged tensor `(rows, None, features)`.

        Args:
            order: the number that each row is to have there, int32 `(rows,)`, as `of` returns it;
                the order that they have here if None.
        """
        packing = Packing.of(self.length)
        order = tf.range(packing.num_rows) if order is None else order
        rank = tf.math.invert_permutation(order)
        length = tf.gather(packing.length, rank)
        splits = tf.concat((tf.zeros([1], tf.int32), tf.cumsum(length)), 0)
        index = tf.gather(splits, tf.gather(order, packing.row)) + packing.time
        values = tf.gather(self.values, tf.math.invert_permutation(index))
        return tf.RaggedTensor.from_row_splits(values, tf.cast(splits, tf.int64), validate=False)


def assert_not_empty(length: tf.Tensor) -> tf.Operation:
    """Asserts that each row has a timestep."""
    message = "Each sequence must have at least one timestep."
    return tf.debugging.assert_greater(length, tf.zeros((), length.dtype), message)


def assert_packed(sequences: PackedSequences) -> list[tf.Operation]:
    """Asserts that the lengths are falling, at least 1, and add up to the number of values."""
    values, length = sequences
    total = tf.reduce_sum(tf.cast(length, tf.int32))
    count = tf.shape(values)[0]
    return [
        assert_not_empty(length),
        tf.debugging.assert_less_equal(
            length[1:], length[:-1], "Packed sequences must be sorted by falling length."
        ),
        tf.debugging.assert_equal(
            total, count, "The lengths of packed sequences must add up to the number of values."
        ),
    ]
