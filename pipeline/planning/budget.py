"""How much work a step may hold."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How much work one step may hold, counted in sequences or in timesteps.

    Attributes:
        batch_size: most sequences per batch, and the mean per step.
        batch_timesteps: most timesteps per batch, and the mean per step.

    Raises:
        ValueError: unless exactly one of the two is given and at least 1.
    """

    batch_size: int | None = None
    batch_timesteps: int | None = None

    def __post_init__(self) -> None:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of `batch_size` and `batch_timesteps` must be given, "
                f"got {given or 'neither'}."
            )
        for name, value in given.items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")

    @classmethod
    def of(cls, batch_size: int | None, batch_timesteps: int | None) -> Budget:
        """Returns the budget that is asked for, or `DEFAULT_BUDGET` where none is."""
        if batch_size is None and batch_timesteps is None:
            return DEFAULT_BUDGET
        return cls(batch_size, batch_timesteps)

    @property
    def limit(self) -> int:
        """The budget of a step, in its own unit."""
        return next(n for n in (self.batch_size, self.batch_timesteps) if n is not None)

    def max_sequences(self, length: int) -> int:
        """Most sequences of `length` timesteps in one batch."""
        return self.batch_size or self.limit // max(length, 1)

    def work(self, lengths: np.ndarray) -> np.ndarray:
        """What a sequence of each length takes from the budget, int64 `(lengths,)`."""
        return lengths if self.batch_size is None else np.ones_like(lengths)


DEFAULT_BUDGET = Budget(batch_size=64)
