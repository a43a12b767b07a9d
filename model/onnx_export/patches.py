"""Patches of several timesteps, as `padless.model.network.patches` cuts and joins them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from padless.model.onnx_export.graph import Tensor
from padless.model.onnx_export.rows import Rows


class Patches(NamedTuple):
    """Where the timesteps of rows are in their patches, and the other way round.

    Attributes:
        size: timesteps of a patch.
        rows: ends of the rows, counted in patches.
        timesteps: numbers of the timesteps of each patch, `(batch, patches, size)` int64; None for
            patches of one timestep.
        places: for each timestep its place among those of all patches of its row, `(batch,
            timesteps)` int64; likewise.
    """

    size: int
    rows: Rows
    timesteps: Tensor | None = None
    places: Tensor | None = None

    @classmethod
    def of(cls, rows: Rows, size: int) -> Patches:
        """Finds the patches of rows.

        Args:
            rows: ends of the rows, in timesteps.
            size: timesteps of a patch.
        """
        if size == 1:
            return cls(1, rows)
        patches = Rows.of(_count(rows.length, size), _count(rows.timesteps, size))
        first = _first(patches.time, rows.length, size)
        timesteps = (first.expand_dims(2) + np.arange(size)).at_least(0)
        patch = (rows.time // size).at_most(patches.length - 1)
        place = (rows.time - _first(patch, rows.length, size)).at_most(size - 1)
        # After the end of a row there may be any.
        return cls(size, patches, timesteps.at_most(rows.timesteps - 1), patch * size + place)

    def cut(self, values: Tensor, width: int) -> Tensor:
        """Cuts `(batch, timesteps, width)` into `(batch, patches, size * width)`."""
        if self.timesteps is None:
            return values
        return _gather(values, self.timesteps).reshape(0, 0, self.size * width)

    def join(self, patches: Tensor, width: int) -> Tensor:
        """Joins `(batch, patches, size * width)` to `(batch, timesteps, width)`."""
        if self.places is None:
            return patches
        return _gather(patches.reshape(0, -1, width), self.places)


def _count(length: Tensor, size: int) -> Tensor:
    return (length + (size - 1)) // size


def _first(patch: Tensor, length: Tensor, size: int) -> Tensor:
    return (patch * size).at_most(length - size)


def _gather(values: Tensor, timesteps: Tensor) -> Tensor:
    """Takes timesteps of each row, `(batch, ...)`, from values `(batch, timesteps, width)`."""
    index = timesteps.graph.add("Unsqueeze", timesteps, np.array([-1]))
    return values.graph.add("GatherND", values, index, batch_dims=1)
