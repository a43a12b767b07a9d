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
_UNKNOWN, _SCALAR = tf.TensorShape(None), tf.TensorShape([])


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
        outputs, kept = loop.run(_State(hidden, cell), keep=own_gradient)
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


class _Band(NamedTuple):
    """Where a band is: int32 scalars, but for its slices.

    Attributes:
        start: position of its first value.
        size: number of its values.
        rows: its rows.
        timesteps: its timesteps.
        counts: rows of each slice, `(slices,)`. Those after the first may have none.
    """

    start: tf.Tensor
    size: tf.Tensor
    rows: tf.Tensor
    timesteps: tf.Tensor
    counts: tf.Tensor


class _Loop:
    """The way through the bands, from the first to the last, and back.

    What the operations of a narrow band compute takes less time than to begin them, and each
    variable of a loop costs several. Hence numbers are computed once for all bands, and one list
    keeps all that the way back needs.
    """

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
        self.units = weights[1].shape[0] // 4
        self.width = self.units * (2 if with_states else 1)
        sizes = bands.rows * bands.timesteps
        starts = tf.cumsum(sizes, exclusive=True)
        self.places = tf.stack((starts, sizes, bands.rows, bands.timesteps), 1)
        edges = [-(-bands.rows * number // slices) for number in range(slices + 1)]
        self.counts = tf.stack([stop - start for start, stop in itertools.pairwise(edges)], 1)

    def run(self, state: _State, *, keep: bool) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the outputs, `(timesteps of all rows, width)`, and what the way back needs."""

        def step(number: tf.Tensor, state: _State, outputs: tf.TensorArray, kept: list) -> tuple:
            band = self._band(number)
            before = _State(*(_part(states, 0, band.rows) for states in state))
            by_slice = self._run_band(band, before, keep=keep)
            hidden = _joined_rows([returned.h for returned in by_slice])
            cells, last = [returned.cs for returned in by_slice], band.timesteps - 1
            after = tf.concat([tf.gather(states, last) for states in cells], 0)
            written = tf.concat((hidden, _joined_rows(cells)), -1) if self.with_states else hidden
            outputs = outputs.write(number, tf.reshape(written, (-1, self.width)))
            for values in (*before, *itertools.chain(*by_slice)) if keep else ():
                kept = [tf.raw_ops.TensorListPushBack(input_handle=kept[0], tensor=values)]
            return number + 1, self._state(tf.gather(hidden, last), after), outputs, kept

        *_, outputs, kept = tf.while_loop(
            lambda number, *_: number < self.count,
            step,
            (tf.constant(0), state, self._array(self.width), [_empty_list()] if keep else []),
            (_SCALAR, self._state_shape, _UNKNOWN, [_SCALAR] if keep else []),
            parallel_iterations=1,
        )
        return joined(outputs, self.width, self.count), kept

    def run_back(self, gradient: tf.Tensor, kept: tf.Tensor) -> list[tf.Tensor]:
        """Returns the gradients of the values, both states and both weights.

        Args:
            gradient: of the outputs, `(timesteps of all rows, width)`.
            kept: what `run` returned.
        """
        paddings = self._paddings()

        def step(
            number: tf.Tensor,
            after: _State,
            kept: tf.Tensor,
            of_weights: tuple,
            of_values: tf.TensorArray,
        ) -> tuple:
            band, padding = self._band(number), tf.gather(paddings, number)
            of_outputs = self._gradient_of_outputs(_block(gradient, band), after, padding)
            kept, taken = _popped(kept, len(after) + self.slices * len(_RETURNED))
            by_slice = self._run_band_back(band, taken, of_outputs)
            x, hidden, cell, *weights = zip(*by_slice, strict=True)
            before = self._state(tf.concat(hidden, 0), tf.concat(cell, 0))
            of_weights = tuple(
                tf.add_n([total, *parts]) for total, parts in zip(of_weights, weights, strict=True)
            )
            of_band = tf.reshape(_joined_rows(x), (-1, self.values.shape[1]))
            return number - 1, before, kept, of_weights, of_values.write(number, of_band)

        # Of what `tf.gather` took, it is `IndexedSlices`.
        gradient = tf.ensure_shape(tf.convert_to_tensor(gradient), (None, self.width))
        none = tf.zeros((0, self.units))
        of_weights = tuple(tf.zeros_like(part) for part in self.weights)
        of_values = self._array(self.values.shape[1])
        _, state, _, of_weights, of_values = tf.while_loop(
            lambda number, *_: number >= 0,
            step,
            (self.count - 1, self._state(none, none), kept, of_weights, of_values),
            (
                _SCALAR,
                self._state_shape,
                _SCALAR,
                tuple(part.shape for part in of_weights),
                _UNKNOWN,
            ),
            parallel_iterations=1,
        )
        of_values = joined(of_values, self.values.shape[1], self.count)
        return [of_values, *state, *of_weights]

    def _run_band(self, band: _Band, before: _State, *, keep: bool) -> list[Any]:
        """Returns what `BlockLSTM` returns of each slice."""
        by_time = _block(self.values, band)
        divided = [_divide(by_time, band, 1), *(_divide(states, band, 0) for states in before)]
        by_slice = []
        for number, (x, hidden, cell) in enumerate(zip(*divided, strict=True)):
            kernel, bias = self.weights
            if number and not keep:  # the gradient is TensorFlow's
                kernel = _if_any(band.counts[number], kernel)
            result = tf.raw_ops.BlockLSTM(
                x=x,
                h_prev=hidden,
                cs_prev=cell,
                forget_bias=0.0,
                cell_clip=-1.0,
                **block_inputs(band.timesteps, kernel, bias),
            )
            by_slice.append(result)
        return by_slice

    def _run_band_back(
        self, band: _Band, kept: list[tf.Tensor], of_outputs: _State
    ) -> list[tuple[tf.Tensor, ...]]:
        """Returns the gradients of values, states before and weights, by slice."""
        num_states, num_returned = len(_State._fields), len(_RETURNED)
        by_time = _block(self.values, band)
        before = (self._rows_by_units(states) for states in kept[:num_states])
        divided = [
            _divide(by_time, band, 1),
            *(_divide(states, band, 0) for states in before),
            *(_divide(gradient, band, 1) for gradient in of_outputs),
        ]
        by_slice = []
        for number, (x, hidden, cell, of_hidden, of_cell) in enumerate(zip(*divided, strict=True)):
            first = num_states + number * num_returned
            returned = zip(_RETURNED, kept[first : first + num_returned], strict=True)
            result = tf.raw_ops.BlockLSTMGrad(
                x=x,
                h_prev=hidden,
                cs_prev=cell,
                h_grad=of_hidden,
                cs_grad=of_cell,
                **dict(returned),
                **block_inputs(band.timesteps, *self.weights),
            )
            of_kernel = result.w_grad
            if number:
                of_kernel = _if_any(band.counts[number], of_kernel)
            of_states = (result.h_prev_grad, result.cs_prev_grad)
            by_slice.append((result.x_grad, *of_states, of_kernel, result.b_grad))
        return by_slice

    def _gradient_of_outputs(self, of_band: tf.Tensor, after: _State, padding: tf.Tensor) -> _State:
        """Returns the gradients of the states at each timestep, `(timesteps, rows, units)`.

        Args:
            of_band: of its outputs, `(timesteps, rows, width)`.
            after: of the states after the band, of the rows that go on.
            padding: of these, see `_paddings`.
        """
        hidden, cell = (tf.raw_ops.Pad(input=part[None], paddings=padding) for part in after)
        if not self.with_states:
            return _State(of_band + hidden, cell)
        of_hidden, of_cell = tf.split(of_band, 2, -1)
        return _State(of_hidden + hidden, of_cell + cell)

    def _paddings(self) -> tf.Tensor:
        """Returns what makes `(timesteps, rows, units)` of `(1, rows that go on, units)`.

        By band, `(bands, 3, 2)`: zeros for the timesteps before the last, and for the rows that
        end.
        """
        rows, timesteps = self.bands
        going_on = tf.concat((rows, [0]), 0)[1 : self.count + 1]
        none = tf.zeros_like(rows)
        of_all = tf.stack((timesteps - 1, none, none, rows - going_on, none, none), 1)
        return tf.reshape(of_all, (-1, 3, 2))

    def _band(self, number: tf.Tensor) -> _Band:
        start, size, rows, timesteps = tf.unstack(tf.gather(self.places, number))
        return _Band(start, size, rows, timesteps, tf.gather(self.counts, number))

    def _state(self, hidden: tf.Tensor, cell: tf.Tensor) -> _State:
        return _State(self._rows_by_units(hidden), self._rows_by_units(cell))

    def _rows_by_units(self, state: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(state, self._state_shape.hidden)

    @property
    def _state_shape(self) -> _State:
        shape = tf.TensorShape([None, self.units])
        return _State(shape, shape)

    def _array(self, width: int) -> tf.TensorArray:
        """Returns an array of `(values, width)` for each band."""
        return tf.TensorArray(
            tf.float32,
            size=self.count,
            infer_shape=False,
            element_shape=(None, width),
            clear_after_read=False,
        )


def _block(values: tf.Tensor, band: _Band) -> tf.Tensor:
    """Returns the values of a band, `(timesteps, rows, width)`."""
    of_band = _part(values, band.start, band.size)
    return tf.reshape(of_band, (band.timesteps, band.rows, values.shape[1]))


def _part(values: tf.Tensor, start: tf.Tensor | int, count: tf.Tensor) -> tf.Tensor:
    """Returns `values[start : start + count]`, of two dimensions."""
    return tf.slice(values, (start, 0), (count, values.shape[1]))


def _divide(values: tf.Tensor, band: _Band, axis: int) -> list[tf.Tensor]:
    """Divides the rows of a band into its slices."""
    if band.counts.shape[0] == 1:
        return [values]
    return tf.split(values, band.counts, axis)


def _joined_rows(parts: Sequence[tf.Tensor]) -> tf.Tensor:
    """Joins `(timesteps, rows, width)` of slices."""
    return parts[0] if len(parts) == 1 else tf.concat(parts, 1)


def _if_any(count: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns zeros for a slice without rows, and so is the gradient then.

    Without rows, the gradient of `BlockLSTM` for its kernel is memory that nobody has written.
    """
    # Not `tf.where`, which copies.
    return tf.raw_ops.Select(condition=count > 0, x=values, y=tf.zeros_like(values))


def _empty_list() -> tf.Tensor:
    """Makes a list of tensors of any shape."""
    return tf.raw_ops.EmptyTensorList(
        element_shape=-1, max_num_elements=-1, element_dtype=tf.float32
    )


def _popped(values: tf.Tensor, count: int) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Takes the last tensors out of a list, in the order in which they were put there."""
    taken = []
    for _ in range(count):
        values, tensor = tf.raw_ops.TensorListPopBack(
            input_handle=values, element_shape=-1, element_dtype=tf.float32
        )
        taken.append(tensor)
    return values, taken[::-1]


def joined(array: tf.TensorArray, width: int, count: tf.Tensor) -> tf.Tensor:
    """Joins the elements of an array, `(values, width)` each; outside a graph there may be none."""
    if tf.executing_eagerly() and not count:
        return tf.zeros((0, width), array.dtype)
    return tf.ensure_shape(array.concat(), (None, width))
