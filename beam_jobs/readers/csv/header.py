"""The header of a CSV file: the names of its columns, their positions, and what may be wrong."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from padless.beam_jobs.fragments import Source
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names

_UNDECODABLE = re.compile("[\ud800-\udfff]")


def read_header(
    source: Source, rows: Iterator[tuple[int, list[str]]]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Returns the names of the columns, and the rows after them.

    Raises:
        ValueError: if there is no row, or a name is not UTF-8.
    """
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{source.path}: must have a header row, the file has no row.")
    line, row = first
    if not source.text.has_header:
        return [str(number) for number in range(1, len(row) + 1)], itertools.chain([first], rows)
    for number, name in enumerate(row, 1):
        if _UNDECODABLE.search(name):
            shown = name.encode("utf-8", "surrogateescape")
            raise ValueError(
                f"{source.path}, line {line}: the name of column {number} must be UTF-8, "
                f"got {shown!r} (Windows-1252?): save the file as UTF-8, or name its encoding as "
                "in --encoding cp1252."
            )
    return [name.strip() for name in row], rows


def find_places(
    path: str,
    header: Sequence[str],
    needed: Iterable[str],
    remedies: Mapping[str, str] | None = None,
) -> dict[str, int]:
    """Returns the position of each column by its name.

    Args:
        path: of the file.
        header: names of its columns.
        needed: names that must be among them.
        remedies: name -> what helps where there is none of that name.

    Raises:
        ValueError: if one that is needed is missing, or a name occurs twice.
    """
    places = _number_columns(path, header)
    for name in needed:
        if name not in places:
            remedy = _explain_header(header) or (remedies or {}).get(name, "")
            raise ValueError(
                f"{path}: must have a column {name!r}, it has {list_names(header)}{remedy}."
                f"{did_you_mean(name, header)}"
            )
    return places


def is_like_values(names: Sequence[str]) -> bool:
    """Checks whether names of timesteps look like a row of values: numbers up and down.

    Numbers that only rise, as times, or only fall, as wavenumbers, can be names.

    Example:
        >>> is_like_values(["0.1", "0.5", "0.3"]), is_like_values(["0", "1", "2"])
        (True, False)
    """
    if not all(map(_is_plain_number, names)):
        return False
    steps = list(itertools.pairwise(map(float, names)))
    return any(not a < b for a, b in steps) and any(not a > b for a, b in steps)


def _explain_header(header: Sequence[str]) -> str:
    """Returns what may be wrong with a header that lacks a column."""
    if header and header[0].startswith(("#", "%", "//")):
        return "; lines of comments are left out as by --comment '#'"
    if all(map(_is_plain_number, header)):
        return (
            "; a file without a header is read by --no-header, its columns are 1, 2, ..., and one "
            "with a sequence per row by --wide as well"
        )
    if len(header) == 1:
        return "; what parts its cells is named by --delimiter"
    return ""


def _is_plain_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number_columns(path: str, header: Sequence[str]) -> dict[str, int]:
    """Returns the position of each column by its name."""
    places: dict[str, int] = {}
    for name in header:
        if name in places:
            raise ValueError(
                f"{path}: column names must differ, got {name!r} more than once"
                f"{_explain_header(header)}."
            )
        places[name] = len(places)
    return places
