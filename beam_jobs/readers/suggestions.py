"""What was meant by the name of a column or field that is not there."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names


def is_missing(what: str, name: str, available: Iterable[str]) -> str:
    """Returns the rule that a name breaks: what must be there, what is, and what may be meant.

    Example:
        >>> is_missing("column", "machin", ["machine", "hour"])
        "must have the column 'machin', it has 'hour' and 'machine'. Did you mean 'machine'?"
    """
    return _rule_of(what, name, tuple(sorted(available)))


# A field that is missing is often missing in each record, and the search takes half a millisecond.
@functools.lru_cache
def _rule_of(what: str, name: str, names: tuple[str, ...]) -> str:
    return f"must have the {what} {name!r}, it has {list_names(names)}.{did_you_mean(name, names)}"
