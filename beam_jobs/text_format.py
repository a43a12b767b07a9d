"""How the text of a file is written: its encoding, and what parts the cells of a table."""

from __future__ import annotations

import dataclasses
import io

from padless.pipeline.wording import list_names

BLANKS = " "
"""The delimiter that stands for any number of blanks and tabs."""

_DELIMITERS = {
    **{"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t"},
    **{"blanks": BLANKS, "blank": BLANKS, "space": BLANKS},
}
_NO_DELIMITERS = '"\r\n'


@dataclasses.dataclass(frozen=True, slots=True)
class TextFormat:
    r"""How text is written.

    Attributes:
        delimiter: one character between the cells of a table, or `"tab"`, or `"blanks"` for any
            number of them; None to tell it from the first row.
        decimal: the decimal mark of numbers in tables, a point or a comma.
        encoding: name of a codec of Python, such as `"cp1252"` or `"utf-16"`; None for UTF-8.
        comment: what lines begin with that are left out of a table, or None.
        has_header: whether the first row of a table names the columns; otherwise they are called
            `"1"`, `"2"` and so on.

    Raises:
        ValueError: if one is not like that.

    Example:
        >>> TextFormat(delimiter="tab").delimiter
        '\t'
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    comment: str | None = None
    has_header: bool = True

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _as_delimiter(self.delimiter))
        if self.decimal not in (".", ","):
            raise ValueError(f"`decimal` must be '.' or ',', got {self.decimal!r}.")
        if self.comment == "":
            raise ValueError("`comment` must be at least one character, got ''.")
        if self.encoding is not None:
            _check_encoding(self.encoding)


PLAIN = TextFormat()
"""UTF-8, and all else as it is told from the file."""


def _as_delimiter(delimiter: str) -> str:
    character = _DELIMITERS.get(delimiter, delimiter)
    if len(character) != 1 or character in _NO_DELIMITERS:
        raise ValueError(
            f"`delimiter` must be one character, or one of {list_names(sorted(_DELIMITERS))}, "
            f"got {delimiter!r}."
        )
    return character


def _check_encoding(encoding: str) -> None:
    try:
        io.TextIOWrapper(io.BytesIO(), encoding).read()
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"`encoding` must name an encoding of text, such as utf-16 or cp1252, "
            f"got {encoding!r}: {error}."
        ) from None
