"""Static columns: numbers that a sequence has once, such as an age, and not at each timestep.

A record holds each as the string that was in the input, as every column that is carried.
"""

from __future__ import annotations

import dataclasses
import math

_MAX_SHOWN = 60


@dataclasses.dataclass(frozen=True, slots=True)
class StaticScale:
    """The scale of a static column, over the sequences of the training split.

    Attributes:
        name: of the column.
        mean: its mean.
        deviation: its standard deviation; 1 where that is 0.

    Raises:
        ValueError: if a number is not finite, or the deviation is not above 0.
    """

    name: str
    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean) or not 0 < self.deviation < math.inf:
            raise ValueError(
                f"the static column {self.name!r} must have a finite mean and a deviation above 0, "
                f"got {self.mean} and {self.deviation}."
            )

    def standardize(self, text: bytes) -> float:
        """Reads a value and centres and scales it; raises a ValueError if it is no number."""
        return (read_static(text) - self.mean) / self.deviation


def read_static(text: bytes) -> float:
    """Reads the value of a static column.

    Raises:
        ValueError: if it is no finite number.

    Example:
        >>> read_static(b"7.5")
        7.5
    """
    try:
        number = math.nan if b"_" in text else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        shown = text[:_MAX_SHOWN].decode(errors="replace")
        raise ValueError(f"must be a finite number, got {shown!r}.")
    return number
