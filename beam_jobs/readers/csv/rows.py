"""The rows of a CSV file, numbered by their lines, and how the file parts their cells.

Python's `csv` reads the rows. What it does not know is done to the lines before: comments are left
out, and blanks become one.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterable, Iterator

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import Source, UnreadableInputError
from padless.beam_jobs.text_format import BLANKS, TextFormat

_CANDIDATES = (",", "\t", ";", "|")
_MAX_CELL = 2**28  # characters, of which the csv module's buffer takes four bytes each
_SEP_LINE = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)  # how Excel names a delimiter
_BLANKS = re.compile(r'("(?:[^"]|"")*")|[ \t]+')


def tell_delimiter(source: Source, lines: Iterable[str], columns: Columns) -> str:
    """Tells the delimiter of a table from its first row.

    It is the one with which the row has the column of the key; else the one that makes most cells;
    blanks where no other makes two.
    """
    line = next(_without_comments(lines, source.text.comment), "")
    if found := _SEP_LINE.fullmatch(line):
        return found[1]
    path = source.path.lower().removesuffix(".gz")
    candidates = ("\t", *_CANDIDATES) if path.endswith((".tsv", ".tab")) else _CANDIDATES
    rows = {mark: _split(line, mark) for mark in candidates}
    for mark, row in rows.items():
        if len(row) > 1 and columns.key in row:
            return mark
    most = max(candidates, key=lambda mark: len(rows[mark]))
    return BLANKS if len(rows[most]) < 2 and len(line.split()) > 1 else most


def number_rows(source: Source, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank with the number of its last line.

    Raises:
        UnreadableInputError: at the first row that is not CSV, such as an unclosed quote.
    """
    lines = iter(lines)
    first = next(lines, "")
    if found := _SEP_LINE.fullmatch(first):
        numbered = _Numbered(lines, source.text, before=1)
        delimiter = source.text.delimiter or found[1]
    else:
        numbered = _Numbered(itertools.chain([first], lines), source.text, before=0)
        delimiter = source.text.delimiter or ","
    csv.field_size_limit(_MAX_CELL)
    reader, last = csv.reader(numbered.lines, delimiter=delimiter, strict=True), 0
    try:
        for row in reader:
            last = reader.line_num + numbered.num_skipped
            if row:
                yield last, row
    except csv.Error as error:
        raise UnreadableInputError(
            f"{source.path}, the row that begins at line {last + 1} must be CSV with every quote "
            f"closed: {error}."
        ) from error


class _Numbered:
    """Lines as `csv` reads them.

    Args:
        lines: of the file.
        text: how it is written.
        before: number of lines before these.

    Attributes:
        lines: those that `csv` reads.
        num_skipped: number of lines of the file that are not among those it has read.
    """

    def __init__(self, lines: Iterator[str], text: TextFormat, before: int):
        self.num_skipped = before
        self._comment = text.comment
        self.lines = lines if text.comment is None else self._skip_comments(lines)
        if text.delimiter == BLANKS:
            self.lines = map(_join_blanks, self.lines)

    def _skip_comments(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            if line.startswith(self._comment or "\n"):
                self.num_skipped += 1
            else:
                yield line


def _without_comments(lines: Iterable[str], comment: str | None) -> Iterator[str]:
    for line in lines:
        if line.strip() and not (comment and line.startswith(comment)):
            yield line


def _split(line: str, mark: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), [])]
    except csv.Error:
        return []


def _join_blanks(line: str) -> str:
    """Replaces the blanks between cells by one, and drops those at the ends."""
    stripped = line.strip(" \t\r\n")
    return _BLANKS.sub(lambda found: found[1] or BLANKS, stripped) + "\n"
