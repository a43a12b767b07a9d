"""An LSTM over packed sequences, band by band, with its own gradient.

Left to TensorFlow, the gradient of a loop keeps each value that an operation took and reads it back
by an operation of its own, which takes longer than a narrow band does.

Each band is cut between rows into slices that run side by side, as `BlockLSTM` uses one core. The
same number of slices gives the same bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from padless.model.kernels.fused_lstm import block_inputs, make_even
from padless.pipeline.batching.packing import Bands

_RETURNED = ("i", "cs", "f", "o", "ci", "co", "h")  # by `BlockLSTM`, and taken by its gradient
_UNKNOWN = tf.TensorShape(None)


def run_bands(
    values: tf.Tensor,
    bands: Bands,
    state: Sequence[tf.Tensor],
    weights: Sequence[tf.Tensor],
    *,
    slices: int = 1,
    own_gradient: bool = False,
    with_states: bool = False,
) -> tf.Tensor:
    """Runs an LSTM band by band: the rows of each have all its timesteps, as in a dense batch.

    Args:
        values: `(timesteps of all rows, features)` float32, packed.
        bands: where they are.
        state: hidden and cell state that the rows begin with, `(rows, units)` float32 each.
        weights: what `FusedLSTM.block_weights` returns.
        slices: number of parts of each band that run side by side.
        own_gradient: whether to take the gradient that is written here. TensorFlow's is the same,
            to rounding, and takes longer; but a SavedModel can hold it, and it keeps less.
        with_states: whether to return the cell states as well.

    Returns:
        The hidden states after each timestep, `(timesteps of all rows, units)`; with states, the
        cell states beside them, `(..., 2 * units)`.
    """
    units = state[0].shape[1]
    values, hidden, cell = (make_even(part, -1) for part in (values, *state))

    def run(
        values: tf.Tensor, hidden: tf.Tensor, cell: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor
    ) -> tuple[tf.Tensor, Callable]:
        loop = _Loop(values, bands, (kernel, bias), slices=slices, with_states=with_states)
        outputs, *kept = loop.run(_State(hidden, cell), keep=own_gradient)
        return outputs, lambda gradient: loop.run_back(gradient, *kept)

    inputs = (values, hidden, cell, *weights)
    outputs = tf.custom_gradient(run)(*inputs) if own_gradient else run(*inputs)[0]
    if units == hidden.shape[1]:
        return outputs
    return tf.concat([part[:, :units] for part in tf.split(outputs, 1 + with_states, -1)], -1)


class _State(NamedTuple):
    """The states between two timesteps, `(rows, units)` each; or their gradients."""

    hidden: tf.Tensor
    cell: tf.Tensor


class _Kept(NamedTuple):
    """What the way back needs of a band; or, of all of them, arrays.

    Attributes:
        before: the states before it.
        slices: what `BlockLSTM` returned of each slice.
    """

    before: _State
    slices: tuple[tuple[tf.Tensor, ...], ...]


class _Loop:
    """The way through the bands, from the first to the last, and back."""

    def __init__(
        self,
        values: tf.Tensor,
        bands: Bands,
        weights: tuple[tf.Tensor, tf.Tensor],
        *,
        slices: int,
        with_states: bool,
    ):
        self.values, self.bands, self.weights = values, bands, weights
        self.slices, self.with_states = slices, with_states
        self.count = tf.size(bands.rows)
        self.ends = tf.cumsum(bands.rows * bands.timesteps)
        self.units = weights[1].shape[0] // 4
        self.width = self.units * (2 if with_states else 1)

    def run(self, state: _State, *, keep: bool) -> tuple[tf.Tensor, Any]:
        """Returns the outputs, `(timesteps of all rows, width)`, and what the way back needs."""

        def step(band: tf.Tensor, state: _State, outputs: tf.TensorArray, kept: Any) -> tuple:
            before = _State(*(part[: self.bands.rows[band]] for part in state))
            slices = self._run_band(band, before)
            counts = [count for _, count in self._slices(band)]
            hidden, cell = (
                tf.concat([part[i][:, :n] for part, n in zip(slices, counts, strict=True)], 1)
                for i in (_RETURNED.index("h"), _RETURNED.index("cs"))
            )
            written = tf.concat((hidden, cell), -1) if self.with_states else hidden
            outputs = outputs.write(band, tf.reshape(written, (-1, self.width)))
            if keep:
                kept = tf.nest.map_structure(
                    lambda array, value: array.write(band, value), kept, _Kept(before, slices)
                )
            return band + 1, _State(hidden[-1], cell[-1]), outputs, kept

        kept: Any = ()
        if keep:
            by_slice = (tuple(self._array() for _ in _RETURNED) for _ in range(self.slices))
            kept = _Kept(_State(self._array(), self._array()), tuple(by_slice))
        *_, outputs, kept = tf.while_loop(
            lambda band, *_: band < self.count,
            step,
            (tf.constant(0), state, self._array(self.width), kept),
            (
                tf.TensorShape([]),
                self._state_shape,
                _UNKNOWN,
                tf.nest.map_structure(lambda _: _UNKNOWN, kept),
            ),
            parallel_iterations=1,
        )
        return joined(outputs, self.width, self.count), kept

    def run_back(self, gradient: tf.Tensor, kept: _Kept) -> list[tf.Tensor]:
        """Returns the gradients of the values, both states and both weights.

        Args:
            gradient: of the outputs, `(timesteps of all rows, width)`.
            kept: what `run` returned.
        """

        def step(
            band: tf.Tensor, after: _State, of_weights: tuple, of_values: tf.TensorArray
        ) -> tuple:
            of_outputs = self._gradient_of_outputs(band, gradient, after)
            kept_of_band = tf.nest.map_structure(lambda array: array.read(band), kept)
            by_slice = self._run_band_back(band, kept_of_band, of_outputs)
            x, hidden, cell, *weights = zip(*by_slice, strict=True)
            before = _State(*(self._rows_by_units(tf.concat(part, 0)) for part in (hidden, cell)))
            of_weights = tuple(
                tf.add_n([total, *parts]) for total, parts in zip(of_weights, weights, strict=True)
            )
            of_band = tf.reshape(tf.concat(x, 1), (-1, self.values.shape[1]))
            return band - 1, before, of_weights, of_values.write(band, of_band)

        gradient = tf.convert_to_tensor(gradient)  # of what `tf.gather` took, it is `IndexedSlices`
        none = self._rows_by_units(tf.zeros((0, self.units)))
        of_weights = tuple(tf.zeros_like(part) for part in self.weights)
        _, state, of_weights, of_values = tf.while_loop(
            lambda band, *_: band >= 0,
            step,
            (self.count - 1, _State(none, none), of_weights, self._array(self.values.shape[1])),
            (
                tf.TensorShape([]),
                self._state_shape,
                tuple(part.shape for part in of_weights),
                _UNKNOWN,
            ),
            parallel_iterations=1,
        )
        of_values = joined(of_values, self.values.shape[1], self.count)
        return [of_values, *state, *of_weights]

    def _run_band(self, band: tf.Tensor, before: _State) -> tuple[tuple[tf.Tensor, ...], ...]:
        by_time = self._block(self.values, band)
        by_slice = []
        for rows, _ in self._slices(band):
            result = tf.raw_ops.BlockLSTM(
                x=by_time[:, rows],
                h_prev=before.hidden[rows],
                cs_prev=before.cell[rows],
                forget_bias=0.0,
                cell_clip=-1.0,
                **block_inputs(by_time, *self.weights),
            )
            by_slice.append(tuple(getattr(result, name) for name in _RETURNED))
        return tuple(by_slice)

    def _run_band_back(
        self, band: tf.Tensor, kept: _Kept, of_outputs: _State
    ) -> list[tuple[tf.Tensor, ...]]:
        """Returns the gradients of values, states before and weights, by slice."""
        by_time = self._block(self.values, band)
        before = [self._rows_by_units(part) for part in kept.before]
        by_slice = []
        for (rows, count), returned in zip(self._slices(band), kept.slices, strict=True):
            result = tf.raw_ops.BlockLSTMGrad(
                x=by_time[:, rows],
                h_prev=before[0][rows],
                cs_prev=before[1][rows],
                h_grad=of_outputs.hidden[:, rows],
                cs_grad=of_outputs.cell[:, rows],
                **dict(zip(_RETURNED, returned, strict=True)),
                **block_inputs(by_time, *self.weights),
            )
            of_weights = (
                tf.where(count > 0, part, tf.zeros(())) for part in (result.w_grad, result.b_grad)
            )
            of_states = (part[:count] for part in (result.h_prev_grad, result.cs_prev_grad))
            by_slice.append((result.x_grad[:, :count], *of_states, *of_weights))
        return by_slice

    def _gradient_of_outputs(self, band: tf.Tensor, gradient: tf.Tensor, after: _State) -> _State:
        """Returns the gradients of the states at each timestep, `(timesteps, rows, units)`.

        Args:
            band: its number.
            gradient: of all outputs.
            after: of the states after the band, of the rows that go on.
        """
        of_band = self._block(gradient, band)
        rows = self.bands.rows[band]
        if self.with_states:
            of_states = tf.split(of_band, 2, -1)
        else:
            of_states = (of_band, tf.zeros_like(of_band))
        added = []
        for of_state, of_last in zip(of_states, after, strict=True):
            ended = rows - tf.shape(of_last)[0]
            of_last = of_state[-1] + tf.pad(of_last, ((0, ended), (0, 0)))
            added.append(tf.concat((of_state[:-1], of_last[None]), 0))
        return _State(*added)

    def _block(self, values: tf.Tensor, band: tf.Tensor) -> tf.Tensor:
        """Returns the values of a band, `(timesteps, rows, width)`."""
        rows, timesteps = self.bands.rows[band], self.bands.timesteps[band]
        of_band = values[self.ends[band] - rows * timesteps : self.ends[band]]
        return tf.reshape(of_band, (timesteps, rows, values.shape[1]))

    def _slices(self, band: tf.Tensor) -> list[tuple[slice, tf.Tensor]]:
        """Returns the rows of each slice of a band, and how many of them are its own.

        A slice that would be empty runs a row of another and has none: without rows, the gradient
        of `BlockLSTM` is memory that nobody has written.
        """
        rows = self.bands.rows[band]
        edges = [rows * number // self.slices for number in range(self.slices + 1)]
        slices = []
        for start, stop in itertools.pairwise(edges):
            first = tf.minimum(start, rows - 1)
            slices.append((slice(first, tf.maximum(stop, first + 1)), stop - start))
        return slices

    def _rows_by_units(self, state: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(state, self._state_shape.hidden)

    @property
    def _state_shape(self) -> _State:
        shape = tf.TensorShape([None, self.units])
        return _State(shape, shape)

    def _array(self, width: int | None = None) -> tf.TensorArray:
        """Returns an array of a value of each band, `(values, width)` or of any shape."""
        return tf.TensorArray(
            tf.float32,
            size=self.count,
            infer_shape=False,
            element_shape=_UNKNOWN if width is None else (None, width),
            clear_after_read=False,
        )


def joined(array: tf.TensorArray, width: int, count: tf.Tensor) -> tf.Tensor:
    """Joins the elements of an array, `(values, width)` each; outside a graph there may be none."""
    if tf.executing_eagerly() and not count:
        return tf.zeros((0, width), array.dtype)
    return tf.ensure_shape(array.concat(), (None, width))
