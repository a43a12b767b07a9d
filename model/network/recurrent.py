"""Recurrent layers for sequences that end within the batch: one operation on a CPU, cuDNN on a GPU.

A mask would send them to a loop over the timesteps on a CPU, and on a GPU it must be checked first.
None is needed: nothing after the end of a sequence changes the outputs before it. It
can be asked for all the same, to compare.

1. `FusedLSTM` runs the timesteps, from the first to the last of the batch, or `run_packed` each
   timestep of the rows that have it.
2. `Recurrent` turns each sequence about its own length and takes the output at its own end.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from padless.model.kernels.fused_lstm import FusedLSTM
from padless.model.kernels.packed_recurrent import run_packed
from padless.model.network.architecture import CELLS, POOLINGS
from padless.model.network.layers import Array, ReplicaDropout, Shape
from padless.model.network.pooling import WIDTHS, pool
from padless.pipeline.batching.packing import Packing
from padless.pipeline.wording import list_names

# Parts of a band that run side by side where there is one direction; two directions do as they are.
SLICES = 2

_LAYERS = {"lstm": FusedLSTM, "gru": keras.layers.GRU}


@keras.saving.register_keras_serializable(package="padless")
class Recurrent(keras.layers.Layer):
    """A recurrent layer, in one or both directions, that knows where each sequence ends.

    What a row of a padded batch gives is what its sequence gives alone, and so is the gradient.

    Args:
        cell: `"lstm"` or `"gru"`.
        units: size of the state in each direction.
        bidirectional: whether a second set of weights also reads each sequence from its end.
        return_sequences: whether to return the output of each timestep, and not one vector.
        pooling: what that vector is made of, see `padless.model.network.pooling`.
        dropout: share of the inputs dropped in training; the recurrent connections are whole.
        masked: whether Keras gets a mask made of the lengths. It gives the same, at another price,
            and after its end a row repeats its last output.

    Call arguments:
        sequences: `(batch, timesteps, features)`, finite after the ends as well; or, packed,
            `(timesteps of all rows, features)`.
        length: valid timesteps of each row `(batch,)`, integers from 1 to `timesteps`; None where
            all are valid; of packed sequences their `Packing`.
        initial_state: what the states of each direction begin with, a list of `(batch, units)`, two
            for an LSTM and one for a GRU; zeros if None.
        training: whether to drop.

    Returns:
        `(batch, timesteps, width)`, packed `(timesteps of all rows, width)`, or, pooled, `(batch,
        width)` float32; `width` is `units`, twice that if bidirectional, and of pooled outputs as
        many times that as the pooling holds. A row is of no meaning after its end, unless masked.

    Raises:
        ValueError: if the cell or the pooling is unknown, `dropout` is not from 0 to 1, or a masked
            layer is called on packed sequences.

    Example:
        >>> import numpy as np
        >>> layer = Recurrent("gru", 4, bidirectional=True)
        >>> layer(np.zeros((2, 5, 3), "float32"), length=np.array([5, 2])).shape
        TensorShape([2, 8])
    """

    def __init__(
        self,
        cell: str,
        units: int,
        *,
        bidirectional: bool = False,
        return_sequences: bool = False,
        pooling: str = "last",
        dropout: float = 0.0,
        masked: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for name, value, allowed in (("cell", cell, CELLS), ("pooling", pooling, POOLINGS)):
            if value not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {list_names(sorted(allowed))}, got {value!r}."
                )
        self.cell, self.units = cell, units
        self.bidirectional, self.return_sequences = bidirectional, return_sequences
        self.pooling, self.masked = pooling, masked
        self.dropout = ReplicaDropout(dropout, name="dropout", dtype=self.dtype_policy)
        self.forward_layer = self._direction("forward")
        self.backward_layer = self._direction("backward") if bidirectional else None

    def build(
        self,
        sequences_shape: Shape,
        length_shape: Shape | None = None,
        initial_state_shape: Sequence[Shape] | None = None,
    ) -> None:
        """Creates the weights of each direction."""
        for layer in filter(None, (self.forward_layer, self.backward_layer)):
            layer.build(sequences_shape)
        self.built = True

    def compute_output_shape(
        self,
        sequences_shape: Shape,
        length_shape: Shape | None = None,
        initial_state_shape: Sequence[Shape] | None = None,
    ) -> Shape:
        """Returns `(batch, timesteps, width)` or `(batch, width)`, None where unknown."""
        width = self.units * (2 if self.bidirectional else 1)
        if self.return_sequences:
            return (*sequences_shape[:2], width)
        return (sequences_shape[0], width * WIDTHS[self.pooling])

    def call(
        self,
        sequences: Array,
        length: Array | Packing | None = None,
        initial_state: Sequence[tf.Tensor] | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Runs each direction from one end of each sequence to the other."""
        sequences = self.dropout(sequences, training=training)
        run = functools.partial(
            self._run, length=length, initial_state=initial_state, training=training
        )
        outputs, last = run(self.forward_layer, sequences)
        if self.bidirectional:
            backward, first = run(self.backward_layer, _turn(sequences, length))
            outputs = tf.concat((outputs, _turn(backward, length)), axis=-1)
            last = tf.concat((last, first), axis=-1)
        return outputs if self.return_sequences else pool(last, outputs, length, self.pooling)

    def avoid_cudnn(self) -> None:
        """Lets what is traced from now on run on a CPU too, wherever it is traced.

        Keras decides for cuDNN when it traces, where it sees a GPU, and a CPU has no such kernel.
        """
        for layer in filter(None, (self.forward_layer, self.backward_layer)):
            layer.use_cudnn = False

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return super().get_config() | {
            "cell": self.cell,
            "units": self.units,
            "bidirectional": self.bidirectional,
            "return_sequences": self.return_sequences,
            "pooling": self.pooling,
            "dropout": self.dropout.rate,
            "masked": self.masked,
        }

    def _direction(self, name: str) -> keras.layers.RNN:
        options = {"return_sequences": True, "return_state": True, "dtype": self.dtype_policy}
        return _LAYERS[self.cell](self.units, name=name, **options)

    def _run(
        self,
        layer: keras.layers.RNN,
        sequences: tf.Tensor,
        length: Array | Packing | None,
        *,
        initial_state: Sequence[tf.Tensor] | None,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the outputs of a direction, and the last one of each row."""
        if isinstance(length, Packing):
            return self._run_packed(layer, sequences, length, initial_state, training=training)
        is_masked = self.masked and length is not None
        mask = valid_timesteps(sequences, length) if is_masked else None
        outputs, last, *_ = layer(sequences, mask=mask, initial_state=initial_state)
        # As a new tensor: Keras hangs the mask on its own, and warns where the next layer is one
        # that takes lengths.
        outputs = tf.identity(outputs)
        if length is not None and not is_masked:
            last = tf.gather(outputs, length - 1, axis=1, batch_dims=1)
        return outputs, last

    def _run_packed(
        self,
        layer: keras.layers.RNN,
        values: tf.Tensor,
        packing: Packing,
        initial_state: Sequence[tf.Tensor] | None,
        *,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.masked:
            raise ValueError("Packed sequences have no padding that `masked` could mask.")
        slices = 1 if self.bidirectional else SLICES
        outputs = run_packed(
            layer,
            values,
            packing,
            initial_state,
            slices=slices,
            own_gradient=training,
        )
        return outputs, tf.gather(outputs, packing.last)


def valid_timesteps(sequences: Array, length: Array) -> tf.Tensor:
    """Returns which timesteps are before the end of their sequence, `(batch, timesteps)` bool."""
    return tf.sequence_mask(length, tf.shape(sequences)[1])


def blank(sequence: tf.Tensor, length: Array | None = None) -> tf.Tensor:
    """Sets the timesteps after the end of each sequence to 0, and their gradient too.

    By choice, not by product: 0 times a value that is not finite would not be 0.

    Args:
        sequence: `(batch, timesteps, features)`.
        length: valid timesteps of each row `(batch,)`; None where all are.
    """
    if length is None:
        return sequence
    valid = valid_timesteps(sequence, length)[:, :, None]
    return tf.where(valid, sequence, tf.zeros((), sequence.dtype))


def _turn(sequences: tf.Tensor, length: Array | Packing | None) -> tf.Tensor:
    """Reverses each sequence; the timesteps after its end stay where they are."""
    if isinstance(length, Packing):
        return tf.gather(sequences, length.mirrored)
    if length is None:
        return tf.reverse(sequences, axis=(1,))
    return tf.reverse_sequence(sequences, length, seq_axis=1)
