"""Long CSV: one row per timestep, the rows of a key anywhere in any file.

Stages: a header becomes `CsvColumns`; each row is read by them; consecutive rows of one key are
gathered into one fragment, which is what makes the job's grouping cheap.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple, cast

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
from padless.beam_jobs.readers.csv_rows import number_rows, tell_delimiter
from padless.beam_jobs.readers.feature_columns import check_listed, choose_features
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.values import (
    is_infinite,
    is_missing_cell,
    pack_times,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_number,
    parse_numbers,
    parse_split,
    parse_time,
)
from padless.pipeline.suggestions import did_you_mean

_ORDER_REMEDY = "; rows without times are read in the order of the file by `time_order` 'file'"
_UNDECODABLE = re.compile("[\ud800-\udfff]")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_HEAD_LINES = 100
_HEAD_CELLS = 100_000
_MAX_ROWS = 4096  # of a fragment, so that one very long key does not fill the reader's memory


@dataclasses.dataclass(frozen=True, slots=True)
class CsvColumns:
    """Where the columns are in the rows of one file.

    Attributes:
        num_columns: cells per row.
        key: position of the key.
        time: position of the time, or None where rows are in order.
        label: position of the label, or None.
        split: position of the split, or None.
        group: position of the group, or None.
        meta: positions of what is carried into outputs.
        features: positions of the features.
        feature_names: their names.
        decimal: the decimal mark.
        has_constants: whether rows have more than key, time and features.
    """

    num_columns: int
    key: int
    time: int | None
    label: int | None
    split: int | None
    group: int | None
    meta: tuple[int, ...]
    features: tuple[int, ...]
    feature_names: tuple[str, ...]
    decimal: str = "."
    has_constants: bool = True

    @classmethod
    def locate(cls, source: Source, header: Sequence[str], columns: Columns) -> CsvColumns:
        """Finds the columns that the options name in the header of a file.

        Raises:
            ValueError: if one is missing, named twice or, as a feature, not named at all.
        """
        path, places = source.path, _number_columns(source.path, header)
        roles = columns.roles()
        if source.has_order and not columns.is_given("time"):
            del roles["time"]
        check_listed(path, header, columns)
        names = choose_features(header, columns)
        for name in (*roles.values(), *names):
            if name not in places:
                order = _ORDER_REMEDY if name == roles.get("time") else ""
                remedy = _explain_header(header) or order
                raise ValueError(
                    f"{path}: must have a column {name!r}, it has {shorten(list(header))}{remedy}."
                    f"{did_you_mean(name, header)}"
                )
        if not names or "" in names:
            others = list(columns.not_features)
            raise ValueError(
                f"{path}: must have named feature columns besides {others}, "
                f"it has {shorten(list(header))}; choose them with `features`."
            )
        found = {role: places[name] for role, name in roles.items()}
        return cls(
            num_columns=len(header),
            key=found["key"],
            time=None if source.has_order else found["time"],
            label=found.get("label"),
            split=found.get("split"),
            group=found.get("group"),
            meta=tuple(places[name] for name in columns.meta_columns),
            features=tuple(places[name] for name in names),
            feature_names=names,
            decimal=source.text.decimal,
            has_constants=bool(found.keys() - {"key", "time"} or columns.meta_columns),
        )

    def parse_key(self, row: list[str]) -> bytes:
        """Reads a row's key."""
        if self.key >= len(row):
            raise self._ragged(row)
        return parse_key(row[self.key])

    def parse_timestep(self, row: list[str]) -> tuple[Time | None, list[float], _Constants]:
        """Reads a row's time, features, label, split, group and what is carried."""
        if len(row) != self.num_columns:
            raise self._ragged(row)
        cells = [row[i] for i in self.features]
        if self.decimal == ",":
            cells = list(map(_with_point, cells, self.feature_names))
        try:
            if self.time is None:
                time = None
            elif self.decimal == ",":
                time = _parse_time(row[self.time])
            else:
                time = parse_time(row[self.time])
        except RejectionError:
            if not all(map(is_missing_cell, [row[cast("int", self.time)], *cells])):
                raise
            return None, parse_numbers(cells, self.feature_names), _EMPTY
        return (
            time,
            parse_numbers(cells, self.feature_names),
            self._parse_constants(row) if self.has_constants else _NONE,
        )

    def _parse_constants(self, row: list[str]) -> _Constants:
        return _Constants(
            None if self.label is None else parse_label(row[self.label]),
            None if self.split is None else parse_split(row[self.split]),
            None if self.group is None else parse_group(row[self.group]),
            tuple(parse_meta(row[place]) for place in self.meta),
        )

    def is_number(self, cell: str) -> bool:
        """Checks whether a cell holds a number, or a missing one."""
        try:
            parse_number(_with_point(cell, "") if self.decimal == "," else cell, "")
        except RejectionError:
            return False
        return True

    def _ragged(self, row: list[str]) -> RejectionError:
        return RejectionError(
            "ragged_row",
            f"a row must hold {self.num_columns} cells as the header does, got {len(row)}.",
        )


def _parse_time(cell: str) -> Time:
    """Parses a time with a decimal comma, which a date has too."""
    if ":" in cell:
        return parse_time(cell)
    if "." in cell:
        rule = f"the time must be written with a decimal comma, got {shorten(cell)}."
        raise RejectionError("bad_time", rule)
    return parse_time(cell.replace(",", "."))


def _with_point(cell: str, column: str) -> str:
    """Writes a number with a decimal point; one that has a point already may be of thousands."""
    if "." in cell:
        raise RejectionError(
            "not_a_number",
            f"column {column!r} must hold a number with a decimal comma, got {shorten(cell)}.",
        )
    return cell.replace(",", ".")


class _Constants(NamedTuple):
    """What must be the same in all rows of a key, and whether they hold nothing at all."""

    label: bytes | None
    split: bytes | None
    group: bytes | None
    meta: tuple[bytes, ...] = ()
    is_empty: bool = False


_NONE = _Constants(None, None, None)
_EMPTY = _Constants(None, None, None, is_empty=True)  # of a row without a time and a value


class _Stretch:
    """Consecutive rows of one key and the same constants."""

    def __init__(self, key: bytes, constants: _Constants):
        self.key, self.constants = key, constants
        self.lines: list[int] = []
        self.times: list[Time | None] = []
        self.values: list[list[float]] = []

    def takes(self, key: bytes, constants: _Constants) -> bool:
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


def read_csv(lines: Iterable[str], source: Source, columns: Columns) -> Iterator[Item]:
    """Reads the lines of a CSV file, one fragment per stretch of rows with one key.

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
    if source.text.delimiter is None:  # nobody has looked at the file before
        head, lines = _peek(lines)
        delimiter = tell_delimiter(source, head, columns)
        text = dataclasses.replace(source.text, delimiter=delimiter)
        source = dataclasses.replace(source, text=text)
    header, rows = read_header(source, number_rows(source, lines))
    located = CsvColumns.locate(source, header, columns)
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


def _peek(lines: Iterable[str]) -> tuple[list[str], Iterator[str]]:
    """Returns the first lines, and all of them."""
    lines = iter(lines)
    head = list(itertools.islice(lines, _HEAD_LINES))
    return head, itertools.chain(head, lines)


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    with open_text(source.path, newline="", encoding=source.text.encoding) as lines:
        yield from read_csv(lines, source, columns)


def _explain_header(header: Sequence[str]) -> str:
    """Returns what may be wrong with a header that lacks a column."""
    if header and header[0].startswith(("#", "%", "//")):
        return "; lines of comments are left out as by --comment '#'"
    if all(map(_is_plain_number, header)):
        return "; a file without a header is read by --no-header, its columns are 1, 2, ..."
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


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    with decode_text(source.path, stream, newline="", encoding=source.text.encoding) as text_lines:
        head, lines = _peek(text_lines)
        delimiter = tell_delimiter(source, head, columns)
        text = dataclasses.replace(source.text, delimiter=delimiter)
        source = dataclasses.replace(source, text=text)
        header, rows = read_header(source, number_rows(source, lines))
        located = CsvColumns.locate(source, header, columns)
        if columns.features is None:
            _check_numbers(source.path, located, rows)
    features = located.feature_names
    used = {*features, *columns.roles().values(), *columns.meta_columns}
    unused = tuple(name for name in header if name not in used)
    return InputFacts(features, unused=unused, text=source.text)


def _check_numbers(path: str, located: CsvColumns, rows: Iterator[tuple[int, list[str]]]) -> None:
    """Checks in the first rows that no column is of strings alone, as nobody has named features."""
    num_rows = max(_HEAD_CELLS // max(located.num_columns, 1), 2)
    try:
        head = [row for _, row in itertools.islice(rows, num_rows)]
    except UnreadableInputError:  # which the job will report
        return
    head = [row for row in head if len(row) == located.num_columns]
    strings: dict[str, str] = {}
    for name, place in zip(located.feature_names, located.features, strict=True):
        cells = [row[place] for row in head if not is_missing_cell(row[place])]
        if len(cells) > 1 and not any(map(located.is_number, cells)):
            strings[name] = cells[0]
    if not strings:
        return
    name, cell = next(iter(strings.items()))
    numbers = [name for name in located.feature_names if name not in strings]
    remedy = "; decimal commas are read by --decimal ," if _DECIMAL_COMMA.fullmatch(cell) else ""
    raise ValueError(
        f"{path}: features must be numbers, the columns {shorten(list(strings))} hold none, but "
        f"such as {shorten(cell)} in {name!r}; columns with numbers: {shorten(numbers)}. Choose "
        f"them by `features`, or leave others out by `drop`{remedy}."
    )


FORM = InputForm(
    name="csv",
    extensions=(".csv", ".tsv", ".tab"),
    unit="line",
    read=_read,
    check=_check,
)
