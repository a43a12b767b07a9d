"""Rows of a rectangle that end at different timesteps: what only their valid timesteps go into.

The counterpart of `pooling`, `own_scale` and `carrying` in `padless.model.network`, in operations
of ONNX.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from padless.model.network.layers import Standardize
from padless.model.network.own_scale import (
    LARGEST_DEVIATION,
    SMALLEST_DEVIATION,
    SMALLEST_SHARE,
)
from padless.model.network.pooling import SMALLEST_VARIANCE, THIRDS
from padless.model.onnx_export.graph import Tensor


class OwnScale(NamedTuple):
    """The scale of each row, as `padless.model.network.own_scale.OwnScale`."""

    centre: Tensor
    unit: np.ndarray
    rest: Tensor
    mean: Tensor
    deviation: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """Returns values `(batch, timesteps, width)` on the scale of their row."""
        parts = self.centre, self.rest, self.deviation
        centre, rest, deviation = (part.expand_dims(1) for part in parts)
        return ((values - centre) / self.unit - rest) / deviation

    def level(self) -> Tensor:
        """Returns mean and deviation, `(batch, 2 * width)`, both bent to be of moderate size."""
        return self.mean.graph.concat([self.mean.apply("Asinh"), self.deviation.apply("Log")], 1)


def standardized(values: Tensor, layer: Standardize) -> Tensor:
    """Takes raw units to the scale of the training set."""
    return (values - np.asarray(layer.mean, np.float32)) / np.asarray(layer.scale, np.float32)


class Rows(NamedTuple):
    """Where the rows of a rectangle end.

    Attributes:
        length: valid timesteps of each row, `(batch, 1)` int64.
        timesteps: of the rectangle, `()` int64.
        time: their numbers, `(1, timesteps)` int64.
        valid: which are before the end of their row, `(batch, timesteps, 1)` bool.
    """

    length: Tensor
    timesteps: Tensor
    time: Tensor
    valid: Tensor

    @classmethod
    def of(cls, length: Tensor, timesteps: Tensor) -> Rows:
        """Finds which timesteps are valid.

        Args:
            length: see the attribute.
            timesteps: likewise.
        """
        time = length.graph.count_up(timesteps).expand_dims(0)
        return cls(length, timesteps, time, (time < length).expand_dims(2))

    def blank(self, values: Tensor) -> Tensor:
        """Sets values `(batch, timesteps, width)` to 0 after the end of their row."""
        return values.graph.where(self.valid, values, 0.0)

    def mean(self, values: Tensor, seen: Tensor | None = None) -> Tensor:
        """Computes the mean of each row, `(batch, width)`.

        Args:
            values: `(batch, timesteps, width)`.
            seen: which of them count, bool in their shape; None where all do. The mean of none
                is 0.
        """
        if seen is None:
            return self.blank(values).sum(1) / self.length.cast(np.float32)
        graph = values.graph
        total, count = self.mean(graph.where(seen, values, 0.0)), self.mean(seen.cast(np.float32))
        return graph.where(count > 0, total / graph.where(count > 0, count, 1.0), 0.0)

    def moments(self, values: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Computes mean and variance of each row; arguments as of `mean`."""
        mean = self.mean(values, seen)
        return mean, self.mean((values - mean.expand_dims(1)).square(), seen)

    def own_scale(self, values: Tensor, seen: Tensor | None, standardize: Standardize) -> OwnScale:
        """Computes the scale of each row.

        Args:
            values: as `mean` takes them, in raw units.
            seen: likewise.
            standardize: the layer of the model.
        """
        unit = np.asarray(standardize.scale, np.float32)
        centre = self.mean(values, seen)
        rest, variance = self.moments((values - centre.expand_dims(1)) / unit, seen)
        mean = standardized(centre, standardize) + rest
        smallest = centre.apply("Abs") * SMALLEST_SHARE / unit
        smallest = smallest.at_least(SMALLEST_DEVIATION)
        deviation = variance.at_least(smallest.square()).apply("Sqrt")
        return OwnScale(centre, unit, rest, mean, deviation.at_most(LARGEST_DEVIATION))

    def carry_forward(self, values: Tensor, seen: Tensor, first: Tensor) -> Tensor:
        """Replaces each value that is not seen by the last one before it that is.

        The values of a row that are seen are written side by side, from place 1; how many were seen
        up to a timestep is then the place of the last one. Place 0 has what replaces the first.

        Args:
            values: `(batch, timesteps, width)`.
            seen: bool in their shape.
            first: what replaces values before the first one that is seen, `(batch, width)`.
        """
        graph, first = values.graph, first.expand_dims(1)
        count = graph.add("CumSum", seen.cast(np.int32), np.array(1)).cast(np.int64)
        place = graph.where(seen, count, 0)
        places = first.broadcast(1, self.timesteps + 1, 1)
        written = graph.where(seen, values, first)
        in_places = graph.add("ScatterElements", places, place, written, axis=1)
        return graph.add("GatherElements", in_places, count, axis=1)

    def pool(self, last: Tensor, outputs: Tensor, pooling: str) -> Tensor:
        """Pools outputs, as `padless.model.network.pooling.pool`.

        Args:
            last: the last output of each row, `(batch, width)`.
            outputs: `(batch, timesteps, width)`.
            pooling: a key of `WIDTHS`.
        """
        if pooling == "last":
            return last
        mean, variance = self.moments(outputs)
        parts = [mean] if pooling == "mean" else [last, mean]
        if pooling == "statistics":
            parts += [(variance + SMALLEST_VARIANCE).apply("Sqrt"), *self._maxima(outputs)]
        return last.graph.concat(parts, 1)

    def positions(self) -> Tensor:
        """Returns where in its row each timestep is, as `positions`, `(batch, timesteps, 4)`."""
        share = (self.time.cast(np.float32) + 0.5) / self.length.cast(np.float32)
        angles = share.expand_dims(2) * np.array([math.pi, 2 * math.pi], np.float32)
        return share.graph.concat([angles.apply("Sin"), angles.apply("Cos")], 2)

    def _maxima(self, values: Tensor) -> list[Tensor]:
        """Returns the maximum of each row, and of each third of it; of an empty one that of all."""
        graph = values.graph
        third = (self.time * THIRDS // self.length).expand_dims(2)
        whole = self._max_where(self.valid, values)
        maxima = [self._max_where(self.valid & third.equals(i), values) for i in range(THIRDS)]
        # The first i thirds of a row of i timesteps hold one each.
        filled = [graph.where(self.length > i, part, whole) for i, part in enumerate(maxima)]
        return [whole, *filled]

    def _max_where(self, condition: Tensor, values: Tensor) -> Tensor:
        return values.graph.where(condition, values, float(np.finfo(np.float32).min)).max(1)
