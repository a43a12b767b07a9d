"""A finding, and what else a check answers: nothing was found, or it cannot be told."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping

_WIDTH = 80
_INDENT = "   "


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One trap of an input pipeline.

    Attributes:
        name: which trap, such as `"padding"`.
        what: what was found, in one line.
        cost: what it costs in this data.
        mending: what to do about it.
        code: lines to write, or none.
        numbers: what was counted, by name.
        is_trap: whether it does harm as it is; otherwise it depends on what is done with the data.
    """

    name: str
    what: str
    cost: str
    mending: str
    code: tuple[str, ...] = ()
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    is_trap: bool = True

    def describe(self, number: int) -> str:
        """Returns the finding as lines of 80 columns; those of code stay as long as they are."""
        head = f"{number}. "
        lines = textwrap.wrap(self.what, _WIDTH, initial_indent=head, subsequent_indent=_INDENT)
        lines += _indented(self.cost)
        lines += _indented(self.mending, "-> ")
        return "\n".join([*lines, *(f"{_INDENT}     {line}" for line in self.code)])


@dataclasses.dataclass(frozen=True, slots=True)
class NotTold:
    """A trap that could not be looked for.

    Attributes:
        reason: why.
    """

    reason: str


Answer = Finding | NotTold | None
"""What a check answers; None where the trap is not there."""


def _indented(text: str, mark: str = "") -> list[str]:
    rest = _INDENT + " " * len(mark)
    return textwrap.wrap(text, _WIDTH, initial_indent=_INDENT + mark, subsequent_indent=rest)


def share(part: float, whole: float) -> str:
    """Writes a part as a percentage of the whole, never rounded to none or all.

    Example:
        >>> share(1, 3), share(1, 3000), share(2999, 3000), share(0, 3)
        ('33 %', '0.03 %', '99.97 %', '0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    if percent in (0, 100) or 1 <= percent <= 99:
        return f"{percent:.0f} %"
    return f"{percent:.2f} %" if 0.01 <= percent <= 99.99 else f"{percent:.2g} %"
