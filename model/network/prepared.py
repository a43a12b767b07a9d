"""What the encoder reads and what the decoder is to give back: target, errors and losses.

1. `Prepared.of` takes standardized sequences to the scale they are reconstructed on.
2. `errors` and `losses` compare them with what the decoder gives, at valid timesteps.
3. `on_training_scale` takes that back to the scale of the training set.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from padless.model.network.alignment import Alignment
from padless.model.network.own_scale import OwnScale
from padless.model.network.pooling import for_timesteps, mean_of_rows
from padless.model.network.recurrent import blank, valid_timesteps
from padless.pipeline.batching.packing import Packing


class Prepared(NamedTuple):
    """Sequences as the layers take them.

    Attributes:
        inputs: what the encoder reads, `(batch, timesteps, inputs)` float32; or, packed,
            `(timesteps of all rows, inputs)`. 0 after the end of a sequence.
        target: what is to be reconstructed, `(..., features)` likewise.
        scale: the own scales of the sequences.
        is_own: whether the target is on them, and not on that of the training set.
        length: valid timesteps of each row, `(batch,)`; None where all are; of packed sequences
            their `Packing`.
        known: what the layers may know of it: nothing, where padding counts as data.
        timesteps: of the rectangle that the sequences came in, `()`; None of packed ones.
    """

    inputs: tf.Tensor
    target: tf.Tensor
    scale: OwnScale
    is_own: bool
    length: tf.Tensor | Packing | None
    known: tf.Tensor | Packing | None
    timesteps: tf.Tensor | None

    @classmethod
    def of(
        cls,
        standardized: tf.Tensor,
        length: tf.Tensor | Packing | None,
        *,
        own_scale: bool,
        longest: int | None = None,
    ) -> Prepared:
        """Prepares sequences.

        Args:
            standardized: `(batch, timesteps, features)`; or, packed, `(timesteps of all rows,
                features)`.
            length: see the attribute.
            own_scale: whether sequences are also read on their own scale, and reconstructed on it.
            longest: timesteps that all are padded to, and padding then counts as data; None if not.
        """
        is_packed = isinstance(length, Packing)
        timesteps = None if is_packed else tf.shape(standardized)[1]
        target = inputs = standardized if is_packed else blank(standardized, length)
        scale = OwnScale.of(inputs, length)
        if own_scale:
            target = scale.apply(inputs)
            target = target if is_packed else blank(target, length)
            inputs = tf.concat((inputs, target), axis=-1)
        if longest is None:
            return cls(inputs, target, scale, own_scale, length, length, timesteps)
        padded = _pad(inputs, longest), _pad(target, longest)
        return cls(*padded, scale, own_scale, length, None, timesteps)

    def errors(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the squared error of each feature over valid timesteps.

        Args:
            given: what the decoder gives, in the shape of `target`.

        Returns:
            `(batch, features)`, in squared units of the target.
        """
        return mean_of_rows(self._cropped(tf.square(given - self.target)), self.length)

    def errors_on_training_scale(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the same in units of the training variance of each feature."""
        return self._in_training_variance(self.errors(given))

    def timestep_errors(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the squared error of each timestep in units of the training variance.

        Returns:
            `(batch, timesteps, features)`, 0 after the end of a sequence; packed `(timesteps of all
            rows, features)`.
        """
        squared = self._cropped(tf.square(given - self.target))
        if self.is_own:
            squared *= tf.square(for_timesteps(self.scale.deviation, self.length))
        return squared if isinstance(self.length, Packing) else blank(squared, self.length)

    def losses(self, given: tf.Tensor, alignment: Alignment) -> tf.Tensor:
        """Computes what training minimises of each sequence, `(batch,)`.

        It is infinite where the error on the scale of the training set is. On its own scale a
        sequence of values that are too large has a finite loss, and only the fit of the score,
        after all epochs, would find it.

        Args:
            given: what the decoder gives, in the shape of `target`.
            alignment: what counts besides the valid timesteps.
        """
        errors = self.errors(given)
        if alignment.counts_tail or alignment.counts_padding:
            losses = self._losses_beyond_the_end(given, alignment)
        else:
            losses = tf.reduce_mean(errors, axis=-1)
        if not self.is_own:
            return losses
        error = tf.reduce_mean(self._in_training_variance(errors), axis=-1)
        return tf.where(tf.math.is_finite(error), losses, float("inf"))

    def _in_training_variance(self, errors: tf.Tensor) -> tf.Tensor:
        return errors * tf.square(self.scale.deviation) if self.is_own else errors

    def _losses_beyond_the_end(self, given: tf.Tensor, alignment: Alignment) -> tf.Tensor:
        target = _repeat_last(self.target, self.length) if alignment.counts_tail else self.target
        squared = tf.reduce_mean(tf.square(given - target), axis=-1)
        if self.length is None or alignment.counts_padding:
            return tf.reduce_mean(squared, axis=-1)
        return tf.reduce_sum(squared, axis=-1) / tf.cast(self.length, squared.dtype)

    def on_training_scale(self, given: tf.Tensor) -> tf.Tensor:
        """Returns it on the scale of the training set, with the timesteps that came in.

        Args:
            given: what the decoder gives, in the shape of `target`.
        """
        values = self._cropped(given)
        return self.scale.invert(values) if self.is_own else values

    def _cropped(self, values: tf.Tensor) -> tf.Tensor:
        return values if self.timesteps is None else values[:, : self.timesteps]


def _pad(sequence: tf.Tensor, longest: int) -> tf.Tensor:
    """Pads `(batch, timesteps, features)` with zeros at the end to `longest` timesteps."""
    timesteps = tf.shape(sequence)[1]
    rule = f"the alignment `padded` takes sequences of at most {longest} timesteps, as it was built"
    with tf.control_dependencies([tf.debugging.assert_less_equal(timesteps, longest, rule)]):
        missing = longest - timesteps
    return tf.pad(sequence, [[0, 0], [0, missing], [0, 0]])


def _repeat_last(sequence: tf.Tensor, length: tf.Tensor | None) -> tf.Tensor:
    """Fills the timesteps after the end of each sequence with its last valid one."""
    if length is None:
        return sequence
    last = tf.gather(sequence, length - 1, axis=1, batch_dims=1)
    valid = valid_timesteps(sequence, length)[:, :, None]
    return tf.where(valid, sequence, last[:, None, :])
