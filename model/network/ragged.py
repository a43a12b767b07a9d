"""Recurrent layers for sequences of different lengths in any Keras 3 model, without padding.

`keras.layers.LSTM` and `keras.layers.GRU` take dense tensors alone: given a ragged one, they fail
with "Cannot index into an inner ragged dimension". The layers here take it as it is.

1. `PackedSequences.of` sorts the rows by falling length.
2. `run_packed` computes each timestep of the rows that have it, and nothing else.
3. The outputs return to the rows that they belong to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from padless.model.kernels.fused_lstm import FusedLSTM
from padless.model.kernels.packed_recurrent import run_packed
from padless.model.network.layers import Shape
from padless.pipeline.batching.packing import PackedSequences, Packing, assert_packed

Sequences: TypeAlias = tf.RaggedTensor | PackedSequences | tf.Tensor

# Options of Keras' layers that ragged ones cannot act on: what is allowed, and why no more is.
_LIMITED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "activity_regularizer": ((None,), "Keras applies it to dense outputs only."),
    "implementation": ((2,), "the other one differs only in how inputs are dropped."),
    "recurrent_dropout": ((0,), "use `dropout`, which drops inputs."),
    "stateful": ((False,), "pass the states that one call returns to the next."),
    "unroll": ((False,), "the number of timesteps is known only when the layer runs."),
    "use_cudnn": (("auto", False), "whether cuDNN can run depends on the device."),
    "zero_output_for_mask": ((False,), "there is no mask."),
}
_REMEDY = (
    "`tf.RaggedTensor.from_row_lengths(values, lengths)` makes sequences of one number of features,"
    " and so does `tf.ragged.constant` with `ragged_rank=1`."
)


class RaggedRecurrent(keras.layers.Layer):
    """A layer of Keras, run on sequences of different lengths; see `RaggedLSTM`, `RaggedGRU`."""

    _keras_layer: type[keras.layers.RNN]
    stateful = False  # read by `keras.layers.Bidirectional`

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        **options: Any,
    ):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        _check_options(options)
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards = go_backwards
        self.supports_jit = False  # XLA has no tensors whose sizes depend on the data
        own = {"return_sequences": True, "return_state": True, "dtype": self.dtype_policy}
        self.layer = self._keras_layer(units, **options | own)

    @property
    def units(self) -> int:
        """Size of the state."""
        return self.layer.units

    @property
    def cell(self) -> keras.layers.Layer:
        """The cell of Keras that holds the weights."""
        return self.layer.cell

    @property
    def state_size(self) -> list[int]:
        """Size of each state: two for an LSTM, one for a GRU."""
        return list(tf.nest.flatten(self.cell.state_size))

    def build(
        self,
        sequences_shape: Shape | PackedSequences,
        initial_state_shape: Sequence[Shape] | None = None,
    ) -> None:
        """Creates the weights, those of Keras' layer in the same order."""
        sequences_shape = _restore_packed(sequences_shape)
        if isinstance(sequences_shape, PackedSequences):
            num_features = sequences_shape.values[-1]
        else:
            _check_rank(sequences_shape)
            num_features = sequences_shape[-1]
        if num_features is None:
            raise ValueError(
                "The number of features, the last dimension, must be known, got the shape "
                f"{sequences_shape}. {_REMEDY}"
            )
        self.layer.build((None, None, num_features))
        self.built = True

    def compute_output_shape(
        self,
        sequences_shape: Shape | PackedSequences,
        initial_state_shape: Sequence[Shape] | None = None,
    ) -> Any:
        """Returns the shape of each result, None where unknown."""
        sequences_shape = _restore_packed(sequences_shape)
        if isinstance(sequences_shape, PackedSequences):
            rows = sequences_shape.length[0]
            values_shape = (sequences_shape.values[0], self.units)
            outputs: Any = PackedSequences(values_shape, sequences_shape.length)
        else:
            rows, timesteps, _ = sequences_shape
            outputs = (rows, timesteps, self.units)
        return self._select(outputs, (rows, self.units), [(rows, n) for n in self.state_size])

    def compute_output_spec(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        """Describes each result of symbolic inputs, ragged ones as ragged."""
        sequences = _restore_packed(sequences)
        _check_sequences(sequences)
        _check_no_mask(mask)
        dtype = self.compute_dtype
        if isinstance(sequences, PackedSequences):
            values, length = sequences
            rows = length.shape[0]
            outputs: Any = PackedSequences(
                keras.KerasTensor((values.shape[0], self.units), dtype),
                keras.KerasTensor(length.shape, length.dtype),
            )
        else:
            rows, timesteps, _ = sequences.shape
            shape = (rows, timesteps, self.units)
            outputs = keras.KerasTensor(shape, dtype, ragged=sequences.ragged)
        *states, last = (
            keras.KerasTensor((rows, n), dtype) for n in (*self.state_size, self.units)
        )
        return self._select(outputs, last, states)

    def call(
        self,
        sequences: Sequences,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        """Runs each sequence from one of its ends to the other."""
        sequences = _restore_packed(sequences)
        _check_sequences(sequences)
        _check_no_mask(mask)
        states = self._check_states(initial_state)
        if isinstance(sequences, PackedSequences):
            return self._call_packed(sequences, states, training)
        if isinstance(sequences, tf.RaggedTensor):
            return self._call_ragged(sequences, states, training)
        if self.go_backwards:
            sequences = tf.reverse(sequences, (1,))
        outputs, *ends = self.layer(sequences, initial_state=states, training=training)
        return self._select(outputs, ends[0], ends)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this layer again."""
        return {
            **self.layer.get_config(),
            "use_cudnn": self.layer.use_cudnn,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            **super().get_config(),
        }

    def _call_ragged(
        self, sequences: tf.RaggedTensor, states: list[tf.Tensor] | None, training: bool
    ) -> Any:
        packed, order = PackedSequences.of(sequences)
        if states is not None:
            states = [tf.gather(state, order) for state in states]
        outputs, ends = self._run(packed, states, order, training)
        rank = tf.math.invert_permutation(order)
        ends = [tf.gather(end, rank) for end in ends]
        if self.return_sequences:
            ragged = PackedSequences(outputs, packed.length).to_ragged(order)
            # With the row splits of the input, so that TensorFlow knows the two to be alike.
            outputs = sequences.with_values(ragged.values)
        return self._select(outputs, ends[0], ends)

    def _call_packed(
        self, sequences: PackedSequences, states: list[tf.Tensor] | None, training: bool
    ) -> Any:
        with tf.control_dependencies(assert_packed(sequences)):
            values, length = (tf.identity(part) for part in sequences)
        outputs, ends = self._run(PackedSequences(values, length), states, None, training)
        return self._select(PackedSequences(outputs, length), ends[0], ends)

    def _run(
        self,
        packed: PackedSequences,
        states: list[tf.Tensor] | None,
        order: tf.Tensor | None,
        training: bool,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Computes the outputs `(timesteps of all rows, units)` and the states at the ends.

        The first of these is the output at the end, whether or not the others are asked for.
        """
        values, packing = packed.values, Packing.of(packed.length)
        if self.go_backwards:
            values = tf.gather(values, packing.mirrored)
        if training and self.layer.dropout:
            values *= tf.gather(self._draw_kept(values, packing, order), packing.row)
        results = run_packed(
            self.layer,
            values,
            packing,
            states,
            own_gradient=training,
            with_states=self.return_state,
        )
        results = tf.cast(results, self.compute_dtype)
        ends = tf.gather(results, packing.last)
        num_states = len(self.state_size) if self.return_state else 1
        return results[:, : self.units], tf.split(ends, num_states, axis=-1)

    def _draw_kept(self, values: tf.Tensor, packing: Packing, order: tf.Tensor | None) -> tf.Tensor:
        """Draws what dropout leaves of the features of each row, the same for all timesteps.

        As Keras does, so that one seed drops the same of rows in the same order.
        """
        kept = self.cell.get_dropout_mask(values[: packing.num_rows])
        self.cell.reset_dropout_mask()
        return kept if order is None else tf.gather(kept, order)

    def _select(self, outputs: Any, last: Any, states: Sequence[Any]) -> Any:
        output = outputs if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def _check_states(self, initial_state: Any) -> list[tf.Tensor] | None:
        if initial_state is None:
            return None
        states = list(tf.nest.flatten(initial_state))
        if len(states) != len(self.state_size):
            raise ValueError(
                f"`initial_state` must hold {len(self.state_size)} tensors, got {len(states)}."
            )
        return states


@keras.saving.register_keras_serializable(package="padless")
class RaggedLSTM(RaggedRecurrent):
    """`keras.layers.LSTM` for sequences of different lengths, without padding or mask.

    Each sequence is computed to its own end and gives what it gives alone; no timestep is computed
    after that. A layer has the weights of `keras.layers.LSTM` in the same order, so `set_weights`
    takes what `get_weights` returns there. `keras.layers.Bidirectional` wraps it for ragged and
    dense sequences. On a CPU it runs as one operation for all timesteps that the same rows have,
    with up to `FusedLSTM.MAX_FUSED_UNITS` units, and on a GPU as cuDNN.

    Args:
        units: size of the state.
        return_sequences: whether to return the output at each timestep, and not the last one.
        return_state: whether to return the states after the last timestep as well.
        go_backwards: whether to read each sequence from its own end. As in Keras, outputs come in
            the order of reading.
        name: of the layer.
        trainable: whether the weights are trained.
        dtype: of the layer, or a policy such as `"mixed_float16"`.
        options: what else `keras.layers.LSTM` takes, by name, such as `activation`, `use_bias`,
            `kernel_initializer`, `kernel_regularizer`, `dropout` or `seed`. Dropout leaves out the
            same features at all timesteps of a row. `stateful`, `unroll`, `recurrent_dropout`,
            `activity_regularizer`, `use_cudnn=True` and `implementation=1` are rejected.

    Call arguments:
        sequences: a `tf.RaggedTensor` `(batch, None, features)` without an empty row,
            `padless.pipeline.PackedSequences`, or a tensor `(batch, timesteps, features)`.
        initial_state: the hidden and the cell state to begin with, `(batch, units)` each; zeros if
            None.
        mask: not allowed.
        training: whether to drop.

    Returns:
        `(batch, units)`, the output after the last timestep of each sequence; or all outputs, in
        the form of `sequences`, with `units` for `features`. With states a tuple of this, the
        hidden state and the cell state, `(batch, units)` each. Rows keep their order.

    Raises:
        ValueError: if an option is rejected, the sequences are of another rank or no floating
            dtype, or there is a mask.
        tf.errors.InvalidArgumentError: if a sequence has no timestep, or packed sequences are not
            sorted by falling length or have lengths that do not add up.

    Example:
        >>> rows = tf.RaggedTensor.from_row_lengths(tf.ones((6, 3)), [1, 3, 2])
        >>> RaggedLSTM(4)(rows).shape
        TensorShape([3, 4])
        >>> RaggedLSTM(4, return_sequences=True)(rows).row_lengths().numpy().tolist()
        [1, 3, 2]
    """

    _keras_layer = FusedLSTM


@keras.saving.register_keras_serializable(package="padless")
class RaggedGRU(RaggedRecurrent):
    """`keras.layers.GRU` for sequences of different lengths, without padding or mask.

    It is to `keras.layers.GRU` what `RaggedLSTM` is to `keras.layers.LSTM`, with the same arguments
    and one state instead of two. On a CPU it runs timestep by timestep.

    Example:
        >>> rows = tf.RaggedTensor.from_row_lengths(tf.ones((6, 3)), [1, 3, 2])
        >>> RaggedGRU(4)(rows).shape
        TensorShape([3, 4])
    """

    _keras_layer = keras.layers.GRU


def _check_options(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        allowed, reason = _LIMITED.get(name, ((value,), ""))
        if value not in allowed:
            names = " or ".join(map(repr, allowed))
            raise ValueError(f"`{name}` must be {names}, got {value!r}: {reason}")


def _restore_packed(sequences: Any) -> Any:
    """Makes packed sequences, or their shapes, of the pair that Keras saves them as."""
    is_pair = isinstance(sequences, tuple | list) and len(sequences) == 2
    is_shape = is_pair and isinstance(sequences[0], int | None)
    return PackedSequences(*sequences) if is_pair and not is_shape else sequences


def _check_sequences(sequences: Any) -> None:
    """Checks form, rank and dtype of sequences, be they symbolic or not."""
    if isinstance(sequences, PackedSequences):
        values, length = sequences
        if (len(values.shape), len(length.shape)) != (2, 1):
            raise ValueError(
                "Packed sequences must have values (timesteps of all rows, features) and lengths "
                f"(rows,), got the shapes {tuple(values.shape)} and {tuple(length.shape)}."
            )
        if "int" not in keras.backend.standardize_dtype(length.dtype):
            raise ValueError(f"Lengths must be integers, got {length.dtype}.")
    else:
        values = sequences
        _check_rank(values.shape)
        ragged_rank = getattr(values, "ragged_rank", None) or 1
        if ragged_rank != 1:
            raise ValueError(
                f"Ragged sequences must have the ragged rank 1, got {ragged_rank}. {_REMEDY}"
            )
    if not keras.backend.is_float_dtype(values.dtype):
        raise ValueError(f"Sequences must hold floating-point numbers, got {values.dtype}.")


def _check_rank(shape: Sequence[int | None]) -> None:
    if len(shape) != 3:
        raise ValueError(
            f"Sequences must have the shape (batch, timesteps, features), got {tuple(shape)}."
        )


def _check_no_mask(mask: Any) -> None:
    if any(part is not None for part in keras.tree.flatten(mask)):
        raise ValueError(
            "A ragged layer takes no mask. Instead of padding and a mask pass the sequences "
            "themselves: `tf.RaggedTensor.from_tensor(padded, lengths)`."
        )
