"""Which columns of a table are features where the options do not name them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence

from padless.beam_jobs.columns import Columns
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names, plural

# How pandas writes an index without a name: first in CSV, there renamed when it is read and written
# again, and last in Parquet.
_INDEX_IN_FRONT = re.compile(r"|Unnamed: 0(\.\d+)*")
_INDEX = re.compile(r"__index_level_\d+__")
_MAX_SHOWN = 20


def choose_features(names: Sequence[str], columns: Columns) -> tuple[str, ...]:
    """Returns the columns that are features: those of the options, or all without another part.

    Args:
        names: of all columns of the table, in order.
        columns: the parts that the options name.

    Example:
        >>> choose_features(["Unnamed: 0", "key", "time", "x", "y", "z"], Columns(drop=["y"]))
        ('x', 'z')
    """
    if columns.features is not None:
        return tuple(columns.features)
    num_index = len(list(itertools.takewhile(_INDEX_IN_FRONT.fullmatch, names)))
    others = set(columns.not_features)
    return tuple(n for n in names[num_index:] if n not in others and not _INDEX.fullmatch(n))


def check_listed(path: str, names: Sequence[str], columns: Columns) -> None:
    """Checks that the table has what is to be dropped or carried.

    Raises:
        ValueError: if it lacks a column.
    """
    for option in ("drop", "meta", "static"):
        for name in getattr(columns, option) or ():
            if name not in names:
                raise ValueError(
                    f"{path}: must have the column {name!r} of `{option}`, it has "
                    f"{list_names(names)}.{did_you_mean(name, names)}"
                )


def describe_features(count: int, names: Sequence[str] | None, unused: Sequence[str]) -> str:
    """Returns which columns became features, and which are not used, as a line.

    Args:
        count: number of features.
        names: their names, or None where they have none.
        unused: names of the other columns without another part.

    Example:
        >>> describe_features(2, ["x", "y"], ["", "note"])
        "2 features: x, y; not used: '' (an index without a name), note"
        >>> describe_features(3, None, [])
        '3 features, without names'
    """
    line = plural(count, "feature")
    line += ", without names" if names is None else f": {_join(names)}"
    shown = [f"{name or repr(name)}{_explain_index(name)}" for name in unused]
    return f"{line}; not used: {_join(shown)}" if shown else line


def _explain_index(name: str) -> str:
    is_index = _INDEX_IN_FRONT.fullmatch(name) or _INDEX.fullmatch(name)
    return " (an index without a name)" if is_index else ""


def _join(names: Iterable[str]) -> str:
    names = list(names)
    more = [f"and {len(names) - _MAX_SHOWN:,} more"] if len(names) > _MAX_SHOWN else []
    return ", ".join(names[:_MAX_SHOWN] + more)
