"""CSV: a row per timestep, the rows of a key anywhere in any file, or a row per sequence.

Stages of the first, the long format: a header becomes `CsvColumns`; each row is read by them;
consecutive rows of one key are gathered into one fragment, which is what makes the job's grouping
cheap. The second is in `csv.wide`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, cast

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import decode_text, open_text
from padless.beam_jobs.fragments import (
    Item,
    RejectedPart,
    RejectionError,
    Rows,
    Source,
    Time,
    UnreadableInputError,
    first_where,
    shorten,
)
from padless.beam_jobs.readers.csv.columns import Constants, CsvColumns, is_number
from padless.beam_jobs.readers.csv.header import read_header
from padless.beam_jobs.readers.csv.rows import number_rows, tell_delimiter
from padless.beam_jobs.readers.csv.wide import WideColumns, read_wide
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.values import is_infinite, is_missing_cell, pack_times
from padless.pipeline.wording import list_names

_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_HEAD_LINES = 100
_HEAD_CELLS = 100_000
_MAX_ROWS = 4096  # of a fragment, so that one very long key does not fill the reader's memory


class _Stretch:
    """Consecutive rows of one key and the same constants."""

    def __init__(self, key: bytes, constants: Constants):
        self.key, self.constants = key, constants
        self.lines: list[int] = []
        self.times: list[Time | None] = []
        self.values: list[list[float]] = []

    def takes(self, key: bytes, constants: Constants) -> bool:
        return key == self.key and constants == self.constants and len(self.lines) < _MAX_ROWS

    def append(self, line: int, time: Time | None, values: list[float]) -> None:
        self.lines.append(line)
        self.times.append(time)
        self.values.append(values)

    def as_fragment(self, source: Source, columns: CsvColumns) -> Rows | RejectedPart:
        values = np.array(self.values, np.float64)
        if (bad := first_where(is_infinite(values))) is None:
            own, lines, times = self.constants, np.array(self.lines, np.int64), None
            if columns.time is not None and not own.is_empty:
                times = pack_times(cast("list[Time]", self.times))
            constants = own.split, own.group, own.meta
            return Rows(source.place(self.lines[0]), values, own.label, lines, times, *constants)
        row, feature = bad
        rule = (
            f"column {columns.feature_names[feature]!r} must be finite as float32, "
            f"got {self.values[row][feature]}."
        )
        return RejectedPart(source.place(self.lines[row]), "infinite", rule, whole=False)


def read_csv(lines: Iterable[str], source: Source, columns: Columns) -> Iterator[Item]:
    """Reads the lines of a CSV file, one fragment per stretch of rows with one key, or per row.

    Rows without any cell are skipped. A row whose key cannot be read is a `Reject` of its own; any
    other error of a row is a `RejectedPart` of its key.

    Args:
        lines: the lines, their ends untouched; undecodable bytes as surrogate escapes.
        source: the file.
        columns: names of the columns.

    Yields:
        `(key, fragment)` or a reject.

    Raises:
        UnreadableInputError: at the first row that is not CSV, such as an unclosed quote.
    """
    source, lines = _with_delimiter(source, lines, columns)
    header, rows = read_header(source, number_rows(source, lines))
    if columns.wide:
        yield from read_wide(rows, source, WideColumns.locate(source, header, columns))
    else:
        yield from _read_long(rows, source, CsvColumns.locate(source, header, columns))


def _read_long(
    rows: Iterator[tuple[int, list[str]]], source: Source, located: CsvColumns
) -> Iterator[Item]:
    stretch = None
    for line, row in rows:
        try:
            key = located.parse_key(row)
        except RejectionError as rejection:
            yield rejection.reject(source.place(line))
            continue
        try:
            time, values, constants = located.parse_timestep(row)
        except RejectionError as rejection:
            yield key, rejection.reject_part(source.place(line), whole=False)
            continue
        if stretch is None or not stretch.takes(key, constants):
            if stretch is not None:
                yield stretch.key, stretch.as_fragment(source, located)
            stretch = _Stretch(key, constants)
        stretch.append(line, time, values)
    if stretch is not None:
        yield stretch.key, stretch.as_fragment(source, located)


def _with_delimiter(
    source: Source, lines: Iterable[str], columns: Columns
) -> tuple[Source, Iterable[str]]:
    """Returns the source with its delimiter, and all lines, of which the first may be needed."""
    if source.text.delimiter is not None:
        return source, lines
    lines = iter(lines)
    head = list(itertools.islice(lines, _HEAD_LINES))
    text = dataclasses.replace(source.text, delimiter=tell_delimiter(source, head, columns))
    return dataclasses.replace(source, text=text), itertools.chain(head, lines)


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    encoding = source.text.encoding
    with open_text(source.location, newline="", encoding=encoding, name=source.path) as lines:
        yield from read_csv(lines, source, columns)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    with decode_text(source.path, stream, newline="", encoding=source.text.encoding) as text_lines:
        source, lines = _with_delimiter(source, text_lines, columns)
        header, rows = read_header(source, number_rows(source, lines))
        if columns.wide:
            wide = WideColumns.locate(source, header, columns)
            _check_numbers(source, header, wide.names, rows)
            return InputFacts(unused=tuple(columns.drop or ()), text=source.text)
        features = CsvColumns.locate(source, header, columns).feature_names
        if columns.features is None:
            remedy = "Choose them by `features`, or leave others out by `drop`"
            _check_numbers(source, header, features, rows, remedy=remedy)
    used = {*features, *columns.roles().values(), *columns.meta_columns}
    unused = tuple(name for name in header if name not in used)
    return InputFacts(features, unused=unused, text=source.text)


def _check_numbers(
    source: Source,
    header: Sequence[str],
    features: Sequence[str],
    rows: Iterator[tuple[int, list[str]]],
    *,
    remedy: str = "Leave others out by `drop`",
) -> None:
    """Checks in the first rows that no column is of strings alone, as nobody has named features."""
    num_rows = max(_HEAD_CELLS // max(len(header), 1), 2)
    try:
        head = [row for _, row in itertools.islice(rows, num_rows)]
    except UnreadableInputError:  # which the job will report
        return
    places = {name: place for place, name in enumerate(header)}
    head = [row for row in head if len(row) == len(header)]
    strings: dict[str, str] = {}
    for name in features:
        cells = [row[places[name]] for row in head if not is_missing_cell(row[places[name]])]
        if len(cells) > 1 and not any(is_number(cell, source.text.decimal) for cell in cells):
            strings[name] = cells[0]
    if not strings:
        return
    name, cell = next(iter(strings.items()))
    numbers = [name for name in features if name not in strings]
    if _DECIMAL_COMMA.fullmatch(cell):
        remedy += "; decimal commas are read by --decimal ,"
    raise ValueError(
        f"{source.path}: features must be numbers, the columns {list_names(strings)} hold none, "
        f"but such as {shorten(cell)} in {name!r}; columns with numbers: {list_names(numbers)}. "
        f"{remedy}."
    )


FORM = InputForm(
    name="csv",
    extensions=(".csv", ".tsv", ".tab"),
    unit="line",
    read=_read,
    check=_check,
)
