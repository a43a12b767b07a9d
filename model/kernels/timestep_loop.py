"""LSTM and GRU over packed sequences, timestep by timestep, with their own gradient.

Left to TensorFlow, the gradient of a loop keeps each value that an operation took and reads it back
by an operation of its own. Here a timestep keeps its gates alone, and whatever does not depend on
the timestep before is computed for all timesteps at once: the products of the inputs, the
derivatives of the gates, the gradients of the weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import keras
import tensorflow as tf

from padless.model.kernels.band_lstm import joined
from padless.pipeline.batching.packing import Packing

Tensors: TypeAlias = tuple[tf.Tensor, ...]
Arrays: TypeAlias = tuple[tf.TensorArray, ...]
States: TypeAlias = tuple[tf.Tensor, ...]
"""Hidden state, and the cell state of an LSTM, `(rows, units)` each; or their gradients."""


def can_loop(layer: keras.layers.RNN, training: bool) -> bool:
    """Checks whether the formulas here are what the layer's options ask for."""
    cell = layer.cell
    return (
        isinstance(layer, keras.layers.LSTM | keras.layers.GRU)
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
        and not (training and (cell.dropout or cell.recurrent_dropout))
        and getattr(cell, "reset_after", True)
    )


def run_loop(
    layer: keras.layers.RNN,
    values: tf.Tensor,
    packing: Packing,
    states: Sequence[tf.Tensor],
    *,
    own_gradient: bool = False,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs an LSTM or a GRU timestep by timestep, each on the rows that have it.

    Args:
        layer: one that `can_loop`, built.
        values: `(timesteps of all rows, features)` float32, packed.
        packing: where they are.
        states: what the rows begin with, `(rows, units)` float32 each.
        own_gradient: whether to take the gradient that is written here. TensorFlow's is the same,
            to rounding, and takes longer; but a SavedModel can hold it, and it keeps less.
        with_states: whether to return the cell states as well.

    Returns:
        The hidden states after each timestep, `(timesteps of all rows, units)`; with states, the
        cell states beside them.
    """
    formulas: type[_Formulas] = _GRU if isinstance(layer, keras.layers.GRU) else _LSTM
    # In mixed precision rounded to 16 bits, as the values are.
    weights = _Weights(*(tf.cast(part, tf.float32) for part in formulas.weights_of(layer.cell)))
    inputs = tf.matmul(values, weights.kernel) + weights.input_bias

    def run(
        inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, *states: tf.Tensor
    ) -> tuple[States, Callable]:
        loop = _Loop(formulas, packing, (kernel, bias), states)
        after, kept = loop.run(inputs, keep=own_gradient)
        return after, lambda *of_outputs: loop.run_back(of_outputs, after, kept)

    arguments = (inputs, weights.recurrent_kernel, weights.recurrent_bias, *states)
    after = tf.custom_gradient(run)(*arguments) if own_gradient else run(*arguments)[0]
    return tf.concat(after, -1) if with_states else after[0]


class _Weights(NamedTuple):
    """Weights of a cell, its gates in the order of the formulas.

    Attributes:
        kernel: of the inputs, `(features, gates * units)`.
        input_bias: `(gates * units,)`.
        recurrent_kernel: of the hidden state, `(units, gates * units)`.
        recurrent_bias: `(gates * units,)`.
    """

    kernel: tf.Tensor
    input_bias: tf.Tensor
    recurrent_kernel: tf.Tensor
    recurrent_bias: tf.Tensor


class _Formulas(Protocol):
    """What a cell computes, of one timestep or of all at once: tensors are `(values, width)`.

    Attributes:
        kept: width of each tensor that `after` keeps for the way back, in units.
        factors: width of each tensor that `factors_of` returns, in units.
        adds_bias: whether the product has a bias of its own.
    """

    kept: ClassVar[tuple[int, ...]]
    factors: ClassVar[tuple[int, ...]]
    adds_bias: ClassVar[bool]

    @staticmethod
    def weights_of(cell: keras.layers.Layer) -> _Weights:
        """Returns the weights of a cell of Keras."""

    @staticmethod
    def after(inputs: tf.Tensor, product: tf.Tensor, before: States) -> tuple[Tensors, States]:
        """Returns what to keep, and the states after a timestep.

        Args:
            inputs: what the inputs add to the gates.
            product: what the hidden state adds to them.
            before: the states before the timestep.
        """

    @staticmethod
    def factors_of(kept: Tensors, before: States, after: States) -> Tensors:
        """Returns what gradients are multiplied by on the way back."""

    @staticmethod
    def of_product(factors: Tensors, of_after: States) -> tf.Tensor:
        """Returns the gradient of the product, of that of the states after a timestep."""

    @staticmethod
    def of_inputs(factors: Tensors, of_after: States, of_product: tf.Tensor) -> tf.Tensor:
        """Returns the gradient of the inputs."""

    @staticmethod
    def of_before(factors: Tensors, of_after: States, of_hidden: tf.Tensor) -> States:
        """Returns the gradient of the states before a timestep.

        Args:
            factors: see `factors_of`.
            of_after: gradient of the states after the timestep.
            of_hidden: gradient of the hidden state before it by way of the product.
        """


class _LSTM:
    kept: ClassVar[tuple[int, ...]] = (3, 1)
    factors: ClassVar[tuple[int, ...]] = (4, 1, 1)
    adds_bias: ClassVar[bool] = False

    @staticmethod
    def weights_of(cell: keras.layers.Layer) -> _Weights:
        def ordered(weights: tf.Tensor) -> tf.Tensor:
            into, forget, new, output = tf.split(weights, 4, -1)
            return tf.concat((into, forget, output, new), -1)

        kernel, recurrent_kernel = map(ordered, (cell.kernel, cell.recurrent_kernel))
        bias = ordered(cell.bias) if cell.use_bias else tf.zeros(4 * cell.units)
        return _Weights(kernel, bias, recurrent_kernel, tf.zeros(4 * cell.units))

    @staticmethod
    def after(inputs: tf.Tensor, product: tf.Tensor, before: States) -> tuple[Tensors, States]:
        units = before[0].shape[1]
        gates = inputs + product
        sigmoids, new = tf.sigmoid(gates[:, : 3 * units]), tf.tanh(gates[:, 3 * units :])
        into, forget, output = tf.split(sigmoids, 3, -1)
        cell = forget * before[1] + into * new
        return (sigmoids, new), (output * tf.tanh(cell), cell)

    @staticmethod
    def factors_of(kept: Tensors, before: States, after: States) -> Tensors:
        sigmoids, new = kept
        into, forget, output = tf.split(sigmoids, 3, -1)
        slopes = tf.split(sigmoids * (1 - sigmoids), 3, -1)
        shown = tf.tanh(after[1])
        of_gates = (new * slopes[0], before[1] * slopes[1], shown * slopes[2], into * (1 - new**2))
        return tf.concat(of_gates, -1), output * (1 - shown**2), forget

    @staticmethod
    def of_product(factors: Tensors, of_after: States) -> tf.Tensor:
        of_hidden, of_cell = of_after
        of_cell += of_hidden * factors[1]
        return tf.concat((of_cell, of_cell, of_hidden, of_cell), -1) * factors[0]

    @staticmethod
    def of_inputs(factors: Tensors, of_after: States, of_product: tf.Tensor) -> tf.Tensor:
        return of_product

    @staticmethod
    def of_before(factors: Tensors, of_after: States, of_hidden: tf.Tensor) -> States:
        return of_hidden, (of_after[1] + of_after[0] * factors[1]) * factors[2]


class _GRU:
    kept: ClassVar[tuple[int, ...]] = (2, 1, 1)
    factors: ClassVar[tuple[int, ...]] = (3, 1, 1)
    adds_bias: ClassVar[bool] = True

    @staticmethod
    def weights_of(cell: keras.layers.Layer) -> _Weights:
        none = tf.zeros((2, 3 * cell.units))
        biases = tf.unstack(tf.convert_to_tensor(cell.bias) if cell.use_bias else none)
        kernels = map(tf.convert_to_tensor, (cell.kernel, cell.recurrent_kernel))
        return _Weights(*itertools.chain(*zip(kernels, biases, strict=True)))

    @staticmethod
    def after(inputs: tf.Tensor, product: tf.Tensor, before: States) -> tuple[Tensors, States]:
        units = before[0].shape[1]
        sigmoids = tf.sigmoid(inputs[:, : 2 * units] + product[:, : 2 * units])
        old, reset = tf.split(sigmoids, 2, -1)
        recalled = product[:, 2 * units :]
        new = tf.tanh(inputs[:, 2 * units :] + reset * recalled)
        return (sigmoids, recalled, new), (new + old * (before[0] - new),)

    @staticmethod
    def factors_of(kept: Tensors, before: States, after: States) -> Tensors:
        sigmoids, recalled, new = kept
        old, reset = tf.split(sigmoids, 2, -1)
        slope_old, slope_reset = tf.split(sigmoids * (1 - sigmoids), 2, -1)
        of_new = (1 - old) * (1 - new**2)
        of_gates = ((before[0] - new) * slope_old, of_new * recalled * slope_reset, of_new * reset)
        return tf.concat(of_gates, -1), old, of_new

    @staticmethod
    def of_product(factors: Tensors, of_after: States) -> tf.Tensor:
        return tf.concat(of_after * 3, -1) * factors[0]

    @staticmethod
    def of_inputs(factors: Tensors, of_after: States, of_product: tf.Tensor) -> tf.Tensor:
        of_sigmoids = of_product[:, : -of_after[0].shape[1]]
        return tf.concat((of_sigmoids, of_after[0] * factors[2]), -1)

    @staticmethod
    def of_before(factors: Tensors, of_after: States, of_hidden: tf.Tensor) -> States:
        return (of_hidden + of_after[0] * factors[1],)


class _Loop:
    """The way through the timesteps, from the first to the last, and back."""

    def __init__(
        self, formulas: type[_Formulas], packing: Packing, weights: Tensors, states: States
    ):
        self.formulas, self.packing, self.states = formulas, packing, states
        self.kernel, self.bias = weights
        self.units = states[0].shape[1]
        self.count = tf.size(packing.live)

    def run(self, inputs: tf.Tensor, *, keep: bool) -> tuple[States, Tensors]:
        """Returns the states after each timestep, and what to keep for the way back."""

        def step(time: tf.Tensor, states: States, arrays: Arrays) -> tuple:
            before = tuple(state[: self.packing.live[time]] for state in states)
            product = tf.matmul(before[0], self.kernel)
            if self.formulas.adds_bias:
                product += self.bias
            now = self._at(time, inputs)
            kept, after = self.formulas.after(now, product, before)
            written = (*after, *kept) if keep else after
            arrays = tuple(a.write(time, part) for a, part in zip(arrays, written, strict=True))
            return time + 1, self._shaped(after), arrays

        widths = (*(1 for _ in self.states), *(self.formulas.kept if keep else ()))
        *_, arrays = self._loop(
            lambda time, *_: time < self.count, step, (tf.constant(0), self.states), widths
        )
        joined = self._join(arrays, widths)
        return joined[: len(self.states)], joined[len(self.states) :]

    def run_back(self, of_outputs: States, after: States, kept: Tensors) -> list[tf.Tensor]:
        """Returns the gradients of the inputs, the kernel, the bias and the states.

        Args:
            of_outputs: gradients of the states after each timestep.
            after: those states.
            kept: what `run` returned besides.
        """
        before = tuple(map(self._before, self.states, after))
        factors = self.formulas.factors_of(kept, before, after)
        known = tf.concat((*factors, *of_outputs), -1)
        sizes = [width * self.units for width in (*self.formulas.factors, *(1 for _ in after))]
        transposed = tf.transpose(self.kernel)

        def step(time: tf.Tensor, states: States, arrays: Arrays) -> tuple:
            rows = self.packing.live[time]
            parts = tf.split(self._at(time, known), sizes, -1)
            now, of_now = parts[: len(factors)], parts[len(factors) :]
            of_after = tuple(
                own + tf.pad(later, ((0, rows - tf.shape(later)[0]), (0, 0)))
                for own, later in zip(of_now, states, strict=True)
            )
            of_hidden = tf.matmul(self.formulas.of_product(now, of_after), transposed)
            of_before = self.formulas.of_before(now, of_after, of_hidden)
            arrays = tuple(a.write(time, part) for a, part in zip(arrays, of_after, strict=True))
            return time - 1, self._shaped(of_before), arrays

        none = self._shaped(tuple(tf.zeros((0, self.units)) for _ in after))
        widths = tuple(1 for _ in after)
        _, of_states, arrays = self._loop(
            lambda time, *_: time >= 0, step, (self.count - 1, none), widths
        )
        of_after = self._join(arrays, widths)
        of_product = self.formulas.of_product(factors, of_after)
        of_inputs = self.formulas.of_inputs(factors, of_after, of_product)
        of_kernel = tf.matmul(before[0], of_product, transpose_a=True)
        return [of_inputs, of_kernel, tf.reduce_sum(of_product, 0), *of_states]

    def _before(self, first: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
        """Returns the state before each timestep, of the first ones and those after each."""
        start, time, row = self.packing[2:]
        rows = tf.shape(first)[0]
        index = tf.gather(start, time[rows:] - 1) + row[rows:]
        return tf.concat((first, tf.gather(after, index)), 0)

    def _at(self, time: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        start, rows = self.packing.start[time], self.packing.live[time]
        return tf.ensure_shape(values[start : start + rows], (None, values.shape[1]))

    def _loop(self, goes_on: Callable, step: Callable, begin: tuple, widths: Sequence[int]) -> Any:
        """Runs a loop over the timesteps that writes arrays of these widths, in units."""
        arrays = tuple(
            tf.TensorArray(
                tf.float32,
                size=self.count,
                infer_shape=False,
                element_shape=(None, width * self.units),
            )
            for width in widths
        )
        shapes = tuple(tf.TensorShape([None, self.units]) for _ in self.states)
        return tf.while_loop(
            goes_on,
            step,
            (*begin, arrays),
            (tf.TensorShape([]), shapes, tuple(tf.TensorShape(None) for _ in arrays)),
            parallel_iterations=1,
        )

    def _join(self, arrays: Arrays, widths: Sequence[int]) -> Tensors:
        return tuple(
            joined(array, width * self.units, self.count)
            for array, width in zip(arrays, widths, strict=True)
        )

    def _shaped(self, states: States) -> States:
        return tuple(tf.ensure_shape(state, (None, self.units)) for state in states)
