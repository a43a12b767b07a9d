"""What a form of raw input is to the job: each module `<form>_reader` defines one `InputForm`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

from padless.beam_jobs.fragments import Item, Source
from padless.beam_jobs.options import Columns


def _no_features(path: str, columns: Columns) -> None:
    """Has no names of features, and nothing to check before the job reads the file."""


def _whole_file(path: str, columns: Columns) -> tuple[None]:
    """Reads a file in one part."""
    return (None,)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InputForm:
    """One form of raw input.

    Attributes:
        name: its name, as `input_format` takes it.
        extensions: lower case, with the dot; the first is the usual one.
        unit: what a place in such a file counts, see `Place`.
        read: `(source, columns)` -> `(key, fragment)` pairs, and rejects where no key could be
            read. It raises `UnreadableInputError` where the rest of the file cannot be read; no
            other input may make it raise.
        roles: the attributes of `Columns` that it looks at.
        check: `(path, columns)` -> names of the features, in order, or None if the form has none.
            Called once before the job starts; raises a `ValueError` that begins with the path where
            the file cannot be what it should.
        list_parts: `(path, columns)` -> the parts to read on their own, None for all of it.
        split_of: `(path, part)` -> name of the split for `keep_splits`, or None for the name of
            the file's directory.
        is_file: whether the path is one of a file.
    """

    name: str
    extensions: tuple[str, ...]
    unit: str
    read: Callable[[Source, Columns], Iterator[Item]]
    roles: frozenset[str]
    check: Callable[[str, Columns], tuple[str, ...] | None] = _no_features
    list_parts: Callable[[str, Columns], Iterable[tuple | None]] = _whole_file
    split_of: Callable[[str, tuple | None], str | None] = lambda path, part: None
    is_file: bool = True
