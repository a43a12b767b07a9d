"""What a batch costs in time: a straight line in three counts."""

from __future__ import annotations

import dataclasses
import math
from typing import TypeVar

import numpy as np

_Numbers = TypeVar("_Numbers", float, np.ndarray)


@dataclasses.dataclass(frozen=True, slots=True)
class BatchCost:
    """The time of batches, as a fixed part and two that grow with their size.

    A recurrent network takes the timesteps of a batch in turn, whatever its rows: that is the cost
    per timestep in a row. Each timestep of each row then adds its arithmetic: the cost per computed
    timestep. The sum is linear, so it holds for one batch, a bucket and an epoch alike.

    Attributes:
        per_batch: seconds that a batch takes whatever is in it.
        per_timestep_in_a_row: seconds for each timestep of a batch, its rows side by side.
        per_computed_timestep: seconds for each timestep of each row, padded ones among them.

    Raises:
        ValueError: if one is negative or not finite, or all are 0.
    """

    per_batch: float
    per_timestep_in_a_row: float
    per_computed_timestep: float

    def __post_init__(self) -> None:
        costs = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name, seconds in costs.items():
            if not 0 <= seconds < math.inf:
                raise ValueError(f"`{name}` must be at least 0 and finite, got {seconds}.")
        if not any(costs.values()):
            raise ValueError("One cost of a batch must be above 0, got 0 for all of them.")

    def __str__(self) -> str:
        """Returns it as `--batch-cost` takes it."""
        counts = "seconds per batch, per timestep in a row, per computed timestep"
        return f"--batch-cost {self.numbers} ({counts})"

    @property
    def numbers(self) -> str:
        """The three costs, separated by commas.

        Example:
            >>> BatchCost(4e-3, 6e-5, 4e-6).numbers
            '0.004,6e-05,4e-06'
        """
        return ",".join(f"{getattr(self, f.name):.3g}" for f in dataclasses.fields(self))

    def seconds(
        self, batches: _Numbers, timesteps_in_a_row: _Numbers, computed_timesteps: _Numbers
    ) -> _Numbers:
        """Predicts the time of some batches.

        Args:
            batches: number of batches.
            timesteps_in_a_row: the lengths of the batches, added up.
            computed_timesteps: rows times length of the batches, added up.

        Returns:
            Seconds; an array where the counts are arrays of one shape.

        Example:
            >>> BatchCost(4e-3, 6e-5, 4e-6).seconds(1, 100, 64 * 100)
            0.0356
        """
        return (
            self.per_batch * batches
            + self.per_timestep_in_a_row * timesteps_in_a_row
            + self.per_computed_timestep * computed_timesteps
        )


# Rough, for where nothing was measured: a fit to the trainer's step on batches of 1 to 128 rows and
# 5 to 150 timesteps, 12 features, LSTM with 64 units, on 2 shared cores of a CPU, within 30 %. It
# decides which lengths merge, so its ratios matter and not its size.
DEFAULT_COST = BatchCost(3e-3, 5e-5, 1.2e-5)
