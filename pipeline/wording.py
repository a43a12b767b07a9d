"""Names and counts in sentences, as messages and reports write them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable

_MOST_CHARACTERS = 60


def list_names(names: Iterable[object], *, most: int = 12) -> str:
    """Writes names as a sentence does; of more than `most` only so many.

    Example:
        >>> list_names(["a", "b", "c"]), list_names([2]), list_names(())
        ("'a', 'b' and 'c'", '2', 'none')
        >>> list_names(range(100))
        '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more'
    """
    *shown, last = map(_quote, names) if (names := list(names)) else ["none"]
    if len(names) > most:
        shown, last = shown[:most], f"{len(names) - most:,} more"
    return f"{', '.join(shown)} and {last}" if shown else last


def _quote(name: object) -> str:
    return repr(shorten(name) if isinstance(name, str) else name)


def shorten(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Returns a text of at most so many characters, the last of which say that there were more.

    Example:
        >>> shorten("abcdefghij", 10), shorten("abcdefghijk", 10)
        ('abcdefghij', 'abcdefg...')
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown_key(key: bytes) -> str:
    r"""Returns a key or a label as text, whatever its bytes are.

    Example:
        >>> print(shown_key("ø".encode()), shown_key(b"\xff1"))
        ø \xff1
    """
    return key.decode(errors="backslashreplace")


def sort_naturally(names: Iterable[str]) -> list[str]:
    """Sorts numbers as numbers, before other names; in these, numbers are compared as numbers too.

    Example:
        >>> sort_naturally(["run 10", "10", "run 2", "2", "-1.5"])
        ['-1.5', '2', '10', 'run 2', 'run 10']
    """
    return sorted(names, key=_as_number_or_parts)


def _as_number_or_parts(name: str) -> tuple[bool, float, list[str | int], str]:
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return False, number, [], name
    # Strings are at even places and numbers at odd ones, so that like is compared with like.
    parts = re.split(r"([0-9]+)", name)
    return True, 0.0, [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def plural(number: int, unit: str) -> str:
    """Writes a number with its unit.

    Example:
        >>> plural(1, "batch"), plural(1200, "batch"), plural(2, "epoch"), plural(2, "copy")
        ('1 batch', '1,200 batches', '2 epochs', '2 copies')
    """
    if number == 1:
        return f"1 {unit}"
    if unit.endswith("y"):
        return f"{number:,} {unit[:-1]}ies"
    return f"{number:,} {unit}{'es' if unit.endswith('tch') else 's'}"


def as_range(numbers: Collection[int]) -> str:
    """Writes the smallest and the largest of some numbers.

    Example:
        >>> as_range([5, 3, 1000]), as_range([7, 7])
        ('3 to 1,000', '7')
    """
    first, last = min(numbers), max(numbers)
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
