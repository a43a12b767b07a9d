"""Recurrent layers as the standard operations `LSTM` and `GRU` of ONNX, which take lengths.

Both read a row from its end themselves, and return 0 after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from padless.model.network.recurrent import Recurrent
from padless.model.onnx_export.graph import Tensor
from padless.model.onnx_export.rows import Rows

# Name of the operation, and where its gates are among those of Keras: an LSTM of Keras has input,
# forget, cell, output, one of ONNX input, output, forget, cell. The GRUs have the same order.
_OPERATIONS = {"lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (0, 1, 2))}


def run_layer(
    layer: Recurrent, values: Tensor, rows: Rows, states: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Adds a recurrent layer to the graph.

    Args:
        layer: the layer.
        values: what it reads, `(batch, timesteps, features)`.
        rows: ends of the rows.
        states: what the states begin with, `(batch, units)` each; zeros if None.

    Returns:
        Outputs of each timestep `(batch, timesteps, width)`, and the last one of each row in
        reading order, `(batch, width)`.
    """
    directions = [part for part in (layer.forward_layer, layer.backward_layer) if part is not None]
    operation, order = _OPERATIONS[layer.cell]
    initial = [state.expand_dims(0) for state in states or ()]
    parts = [_weights(direction, order) for direction in directions]
    weights = (np.stack(arrays) for arrays in zip(*parts, strict=True))
    options = {"linear_before_reset": 1} if layer.cell == "gru" else {}
    outputs, last = values.graph.add_several(
        2,
        operation,
        values.transpose(1, 0, 2),
        *weights,
        rows.length.squeeze(1).cast(np.int32),
        *initial,
        hidden_size=layer.units,
        direction="bidirectional" if layer.bidirectional else "forward",
        **options,
    )
    # From (timesteps, directions, batch, units), and (directions, batch, units).
    width = len(directions) * layer.units
    by_row = outputs.transpose(2, 0, 1, 3).reshape(0, 0, width)
    return by_row, last.transpose(1, 0, 2).reshape(0, width)


def _weights(
    direction: keras.layers.RNN, order: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns kernel, recurrent kernel and biases of a direction, as ONNX has them.

    ONNX has a bias of the input and one of the state; a Keras LSTM has only one.
    """
    cell = direction.cell
    arrays = [np.asarray(w, np.float32) for w in (cell.kernel, cell.recurrent_kernel, cell.bias)]
    kernel, recurrent, bias = (_reorder(array, order) for array in arrays)
    biases = bias if bias.ndim == 2 else np.stack((bias, np.zeros_like(bias)))
    return kernel.T, recurrent.T, biases.ravel()


def _reorder(weights: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Reorders the gates, which are side by side along the last axis."""
    gates = np.split(weights, len(order), axis=-1)
    return np.concatenate([gates[gate] for gate in order], axis=-1)
