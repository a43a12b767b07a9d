"""Sequences as arrays: what users pass for them, as one array `(timesteps, features)` each.

A sequence is named by its position, `"0"`, `"1"` and so on, as the arrays of an npz file would be.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from padless.beam_jobs import Columns
from padless.beam_jobs.fragments import Item, Place, RejectionError, Whole, shorten
from padless.beam_jobs.readers.values import check_sequence

_FILE = "sequences.npz"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ArrayInput:
    """Sequences that are arrays.

    Attributes:
        arrays: each `(timesteps, features)`.
        columns: where things are in the file that `write` makes.
        feature_names: none.
        unused: none, as arrays have no columns.
        time_order: what `Rules` have where nothing is said of times.
    """

    arrays: Sequence[np.ndarray]
    columns: Columns = dataclasses.field(default_factory=Columns)
    feature_names: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()
    time_order: str = "sort"

    def read(self) -> Iterator[Item]:
        """Yields the key of each sequence and its values, or why it cannot be one."""
        for number, array in enumerate(self.arrays):
            key, place = str(number).encode(), Place(0, 0, f"X[{number}]", "sequence")
            try:
                yield key, Whole(place, check_sequence(array), None)
            except RejectionError as rejection:
                yield key, rejection.reject_part(place, whole=True)

    def write(self, folder: str) -> str:
        """Writes the sequences into a raw file of a folder, and returns its path."""
        path = os.path.join(folder, _FILE)
        arrays: dict[str, Any] = {str(number): array for number, array in enumerate(self.arrays)}
        np.savez(path, **arrays)
        return path


def read_arrays(X: Any) -> ArrayInput:
    """Reads sequences that are passed as arrays, in whatever form.

    Args:
        X: a list, a tuple or an array of objects with an array `(timesteps, features)` for each
            sequence; a `tf.RaggedTensor` `(sequences, None, features)`; or an array `(sequences,
            timesteps, features)`. Without the last dimension each has one feature.

    Raises:
        TypeError: if there is something else than numbers.
        ValueError: if it has another shape, or no sequence.
    """
    if hasattr(X, "toarray"):
        raise TypeError(
            f"`X` must be dense, got the sparse {type(X).__name__}; `X.toarray()` makes it so."
        )
    arrays = _list_arrays(X)
    if not arrays:
        raise ValueError("`X` must hold at least one sequence, got none.")
    arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
    for number, array in enumerate(arrays):
        if array.ndim != 2:
            raise ValueError(
                f"X[{number}] must have the shape (timesteps, features) or, with one feature, "
                f"(timesteps,), got {array.shape}."
            )
    return ArrayInput(arrays)


def _list_arrays(X: Any) -> list[np.ndarray]:
    if hasattr(X, "nested_row_splits"):
        return _split_ragged(X)
    if isinstance(X, list | tuple) and not _is_table_of_numbers(X):
        return [_as_numbers(item, f"X[{number}]") for number, item in enumerate(X)]
    array = np.asarray(X)
    if not array.ndim:
        raise TypeError(
            f"`X` must hold one array (timesteps, features) per sequence, got {shorten(X)}."
        )
    if array.dtype == object and array.ndim == 1:
        return [_as_numbers(item, f"X[{number}]") for number, item in enumerate(array)]
    return _split_array(_as_numbers(array, "X"))


def _is_table_of_numbers(X: list | tuple) -> bool:
    """Checks whether nested lists are what NumPy reads as an array `(sequences, timesteps)`."""
    rows = {len(row) if isinstance(row, list | tuple) else None for row in X}
    return len(rows) == 1 and None not in rows and all(map(np.isscalar, X[0]))


def _split_array(array: np.ndarray) -> list[np.ndarray]:
    """Splits an array of sequences of equal lengths."""
    if array.ndim == 1:
        raise ValueError(
            f"`X` must hold one array (timesteps, features) per sequence, got one array of the "
            f"shape {array.shape}. Reshape your data: `[x.reshape(-1, 1)]` is one sequence of one "
            "feature."
        )
    if array.ndim not in (2, 3):
        raise ValueError(
            "`X` must have the shape (sequences, timesteps, features) or, with one feature, "
            f"(sequences, timesteps), got {array.shape}."
        )
    return list(array[:, :, None] if array.ndim == 2 else array)


def _split_ragged(ragged: Any) -> list[np.ndarray]:
    """Splits a `tf.RaggedTensor` whose second dimension alone is ragged, whatever its type says."""
    values = ragged.values
    values = values.to_tensor() if hasattr(values, "nested_row_splits") else values
    splits = ragged.row_splits.numpy()
    if values.shape.rank not in (1, 2):
        raise ValueError(
            "`X` must have the shape (sequences, None, features) or, with one feature, "
            f"(sequences, None), got a ragged tensor of the shape {ragged.shape}."
        )
    return np.split(values.numpy(), splits[1:-1]) if len(splits) > 1 else []


def _as_numbers(values: Any, where: str) -> np.ndarray:
    """Returns values as an array of numbers, of whatever shape."""
    try:
        array = np.asarray(values)
        array = array.astype(np.float64) if array.dtype == object else array
    except TypeError as error:
        raise TypeError(f"{where} must hold real numbers: {error}") from error
    except ValueError as error:
        raise ValueError(f"{where} must be an array of real numbers: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {where} must hold real numbers.")
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{where} must hold real numbers, got the type {array.dtype}.")
    return array
