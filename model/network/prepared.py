"""What the encoder reads and what the decoder is to give back: target, errors and losses.

1. `Prepared.of` takes standardized sequences to the scale they are reconstructed on.
2. `errors` and `losses` compare them with what the decoder gives, at valid timesteps.
3. `on_training_scale` takes that back to the scale of the training set.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from padless.model.network.alignment import Alignment
from padless.model.network.carrying import carry_forward
from padless.model.network.layers import Standardize
from padless.model.network.own_scale import OwnScale
from padless.model.network.pooling import for_timesteps, mean_of_rows, mean_of_seen
from padless.model.network.recurrent import blank, valid_timesteps
from padless.pipeline.batching.packing import Packing

# What a sequence of less variance counts as having, in units of the training variance, where it is
# not rebuilt on its own scale: the smallest errors there do not follow its variance.
SMALLEST_VARIANCE = 0.05**2
# What is read beside a value that is seen. With 1 instead, embeddings tell more of when values are
# missing than of what they are.
TOLD = 0.2


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
        seen: which of the values that came in are not missing, bool; None where none may be.
    """

    inputs: tf.Tensor
    target: tf.Tensor
    scale: OwnScale
    is_own: bool
    length: tf.Tensor | Packing | None
    known: tf.Tensor | Packing | None
    timesteps: tf.Tensor | None
    seen: tf.Tensor | None = None

    @classmethod
    def of(
        cls,
        values: tf.Tensor,
        length: tf.Tensor | Packing | None,
        standardize: Standardize,
        *,
        own_scale: bool,
        masks_missing: bool = False,
        longest: int | None = None,
    ) -> Prepared:
        """Prepares sequences.

        Args:
            values: in raw units, `(batch, timesteps, features)` float32; or, packed, `(timesteps of
                all rows, features)`.
            length: see the attribute.
            standardize: takes raw units to the scale of the training set.
            own_scale: whether sequences are also read on their own scale, and beside it their
                amplitude, and reconstructed on that scale.
            masks_missing: whether NaN is a missing value. The encoder reads the last value that was
                seen instead, and beside it which values are seen.
            longest: timesteps that all are padded to, and padding then counts as data; None if not.
        """
        timesteps = None if isinstance(length, Packing) else tf.shape(values)[1]
        seen = ~tf.math.is_nan(values) if masks_missing else None
        values = _blank(values, length, seen)
        scale = OwnScale.of(values, length, standardize, seen)
        if seen is not None:
            values = carry_forward(values, seen, scale.centre, length)
        target = inputs = _blank(standardize(values), length)
        if own_scale:
            target = _blank(scale.apply(values), length)
            amplitude = _blank(scale.amplitude(target), length)
            inputs = tf.concat((inputs, target, amplitude), axis=-1)
        if seen is not None:
            told = _blank(TOLD * tf.cast(seen, inputs.dtype), length)
            inputs = tf.concat((inputs, told), axis=-1)
        if longest is None:
            return cls(inputs, target, scale, own_scale, length, length, timesteps, seen)
        padded = _pad(inputs, longest), _pad(target, longest)
        return cls(*padded, scale, own_scale, length, None, timesteps, seen)

    def errors(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the squared error of each feature over valid timesteps, without missing values.

        Args:
            given: what the decoder gives, in the shape of `target`.

        Returns:
            `(batch, features)`, in squared units of the target; 0 for a feature without a value.
        """
        squared = self._cropped(tf.square(given - self.target))
        return mean_of_seen(squared, self.length, self.seen)

    def errors_on_training_scale(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the same in units of the training variance of each feature."""
        return self._in_training_variance(self.errors(given))

    def variance(self) -> tf.Tensor:
        """Computes the variance of each sequence that its error is compared with, `(batch,)`."""
        variance = tf.square(self.scale.deviation)
        return self.mean_of_features(
            variance if self.is_own else tf.maximum(variance, SMALLEST_VARIANCE)
        )

    def timestep_errors(self, given: tf.Tensor) -> tf.Tensor:
        """Computes the squared error of each timestep in units of the training variance.

        Returns:
            `(batch, timesteps, features)`, 0 after the end of a sequence and NaN where a value is
            missing; packed `(timesteps of all rows, features)`.
        """
        squared = self._cropped(tf.square(given - self.target))
        if self.is_own:
            squared *= tf.square(for_timesteps(self.scale.deviation, self.length))
        if self.seen is not None:
            squared = tf.where(self.seen, squared, float("nan"))
        return _blank(squared, self.length)

    def mean_of_features(self, values: tf.Tensor) -> tf.Tensor:
        """Computes the mean over the features that have a value, `(batch,)`.

        Args:
            values: `(batch, features)`.
        """
        if (has_values := self.has_values()) is None:
            return tf.reduce_mean(values, axis=-1)
        weight = tf.cast(has_values, values.dtype)
        return tf.math.divide_no_nan(
            tf.reduce_sum(values * weight, axis=-1), tf.reduce_sum(weight, axis=-1)
        )

    def has_values(self) -> tf.Tensor | None:
        """Checks which features have a value, `(batch, features)`; None where all have."""
        if self.seen is None:
            return None
        return mean_of_rows(tf.cast(self.seen, tf.float32), self.length) > 0

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
            losses = self.mean_of_features(errors)
        if not self.is_own:
            return losses
        error = self.mean_of_features(self._in_training_variance(errors))
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


def _blank(
    values: tf.Tensor, length: tf.Tensor | Packing | None, seen: tf.Tensor | None = None
) -> tf.Tensor:
    """Sets values to 0 after the end of a sequence, and where they are not seen."""
    if seen is not None:
        values = tf.where(seen, values, tf.zeros((), values.dtype))
    return values if isinstance(length, Packing) else blank(values, length)


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
