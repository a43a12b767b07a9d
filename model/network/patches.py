"""Patches: neighbouring timesteps that a recurrent layer reads and gives at once.

A sequence of n timesteps has n / k patches of k timesteps, rounded up. The last one ends where the
sequence ends, so that nothing is padded: it may share timesteps with the one before it. Of these,
its own are taken when patches become timesteps again:

    timesteps  0 1 2 3 4 5 6         patches of 3:  (0 1 2) (3 4 5) (4 5 6)
    joined     0 1 2 3 4 5 6         taken from:     1 1 1   2 2 2       3

A sequence shorter than a patch has one, in which its first timestep comes more than once.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from padless.pipeline.batching.packing import Packing, on_host


class Patches(NamedTuple):
    """Where the timesteps of some sequences are in their patches, and the other way round.

    Attributes:
        size: timesteps of a patch.
        length: patches of each sequence, as layers take it: `(batch,)`, of packed sequences their
            `Packing`; None where all have as many.
        timesteps: numbers of the timesteps of each patch: of packed sequences positions among
            their values, `(patches of all rows, size)`, or else `(batch, patches, size)`, or
            `(patches, size)` where they are the same in each row. None for patches of one timestep.
        places: for each timestep its place among the timesteps of all patches of its row, of
            packed sequences of all rows, likewise.
    """

    size: int
    length: Packing | tf.Tensor | None
    timesteps: tf.Tensor | None = None
    places: tf.Tensor | None = None

    @classmethod
    def of(cls, values: tf.Tensor, length: Packing | tf.Tensor | None, size: int) -> Patches:
        """Finds the patches of sequences.

        Args:
            values: `(batch, timesteps, features)`, or, packed, `(timesteps of all rows, features)`.
            length: timesteps of each sequence, `(batch,)` integers, of packed ones their `Packing`;
                None where all have as many.
            size: timesteps of a patch, at least 1.
        """
        if size == 1:
            return cls(size, length)
        if isinstance(length, Packing):
            return cls._of_packed(length, size)
        longest = tf.shape(values)[1]
        known = longest if length is None else tf.cast(length, tf.int32)[:, None]
        patch, time = tf.range(_count(longest, size)), tf.range(longest)
        timesteps = _timesteps(patch, known, size)
        number, place = _place(time, known, size)
        counts = None if length is None else _count(known, size)[:, 0]
        # After the end of a row there may be any.
        return cls(size, counts, tf.minimum(timesteps, longest - 1), number * size + place)

    @classmethod
    def _of_packed(cls, packing: Packing, size: int) -> Patches:
        with on_host():
            patches = Packing.of(_count(packing.length, size))
            of_patch = tf.gather(packing.length, patches.row)
            timesteps = _timesteps(patches.time, of_patch, size)
            timesteps = tf.gather(packing.start, timesteps) + patches.row[:, None]
            of_value = tf.gather(packing.length, packing.row)
            number, place = _place(packing.time, of_value, size)
            position = tf.gather(patches.start, number) + packing.row
        return cls(size, patches, timesteps, position * size + place)

    def cut(self, values: tf.Tensor) -> tf.Tensor:
        """Cuts timesteps `(..., features)` into patches `(..., size * features)`."""
        if self.timesteps is None:
            return values
        width = self.size * values.shape[-1]
        if isinstance(self.length, Packing):
            return tf.reshape(tf.gather(values, self.timesteps), (-1, width))
        cut = tf.gather(values, self.timesteps, axis=1, batch_dims=int(self.length is not None))
        return tf.reshape(cut, (tf.shape(values)[0], tf.shape(cut)[-3], width))

    def join(self, patches: tf.Tensor) -> tf.Tensor:
        """Joins patches `(..., size * features)` to timesteps `(..., features)`."""
        if self.places is None:
            return patches
        width = patches.shape[-1] // self.size
        if isinstance(self.length, Packing):
            return tf.gather(tf.reshape(patches, (-1, width)), self.places)
        one_by_one = tf.reshape(patches, (tf.shape(patches)[0], -1, width))
        batch_dims = int(self.length is not None)
        return tf.gather(one_by_one, self.places, axis=1, batch_dims=batch_dims)


def _count(length: tf.Tensor, size: int) -> tf.Tensor:
    return (length + size - 1) // size


def _first(patch: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the first timestep of patches; before the first of the sequence if it is shorter."""
    return tf.minimum(patch * size, length - size)


def _timesteps(patch: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the numbers of the timesteps of patches, `(..., size)`."""
    return tf.maximum(_first(patch, length, size)[..., None] + tf.range(size), 0)


def _place(time: tf.Tensor, length: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the patch that timesteps are taken from, and their place in it.

    After the end of a sequence it is the last place of its last patch.
    """
    patch = tf.minimum(time // size, _count(length, size) - 1)
    return patch, tf.minimum(time - _first(patch, length, size), size - 1)
