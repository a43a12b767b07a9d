"""What a form of raw input is to the job: each module `<form>_reader` defines one `InputForm`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import Item, Source
from padless.beam_jobs.text_format import PLAIN, TextFormat
from padless.pipeline.paths import make_absolute


class InputFacts(NamedTuple):
    """What the check of one input finds out, so that nothing looks at it again before the job.

    Attributes:
        features: names of the features, in order, or None if the form has none.
        unused: names of the columns that are neither features nor another part.
        parts: the parts to read on their own, in the form's own terms; None for all of the input.
        text: how its text is written, where the form is one of text.
        num_bytes: size of the file, 0 if the input is not one.
    """

    features: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()
    parts: tuple[tuple | None, ...] = (None,)
    num_bytes: int = 0
    text: TextFormat = PLAIN


def _check_nothing(source: Source, stream: BinaryIO | None, columns: Columns) -> InputFacts:
    """Returns the facts of a form that only its reader can check."""
    return InputFacts()


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
        check: `(source, stream, columns)` -> `InputFacts`, of the whole input. Called once before
            the job starts, with the open file at its start, or None where the input is not a file;
            raises a `ValueError` that begins with the path where the input cannot be what it
            should.
        split_of: `(path, part)` -> name of the split for `keep_splits`, or None for the name of
            the file's directory.
        locate: path -> the path by which a worker finds the input, whatever its directory.
        is_file: whether the path is one of a file.
    """

    name: str
    extensions: tuple[str, ...]
    unit: str
    read: Callable[[Source, Columns], Iterator[Item]]
    # Any: those of files need not take None, as they always get a stream.
    check: Callable[[Source, Any, Columns], InputFacts] = _check_nothing
    split_of: Callable[[str, tuple | None], str | None] = lambda path, part: None
    locate: Callable[[str], str] = make_absolute
    is_file: bool = True
