"""Long CSV: one row per timestep, the rows of a key anywhere in any file.

Stages: a header becomes `CsvColumns`; each row is read by them; consecutive rows of one key are
gathered into one fragment, which is what makes the job's grouping cheap.
"""

from __future__ import annotations

import csv
import dataclasses
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
    parse_numbers,
    parse_split,
    parse_time,
)
from padless.pipeline.suggestions import did_you_mean

_ORDER_REMEDY = "; rows without times are read in the order of the file by `time_order` 'file'"
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
                remedy = _ORDER_REMEDY if name == roles.get("time") else ""
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
        try:
            time = None if self.time is None else parse_time(row[self.time])
        except RejectionError:
            if not all(map(is_missing_cell, [row[cast("int", self.time)], *cells])):
                raise
            return None, parse_numbers(cells, self.feature_names), _EMPTY
        return (
            time,
            parse_numbers(cells, self.feature_names),
            _Constants(
                None if self.label is None else parse_label(row[self.label]),
                None if self.split is None else parse_split(row[self.split]),
                None if self.group is None else parse_group(row[self.group]),
                tuple(parse_meta(row[place]) for place in self.meta),
            ),
        )

    def _ragged(self, row: list[str]) -> RejectionError:
        return RejectionError(
            "ragged_row",
            f"a row must hold {self.num_columns} cells as the header does, got {len(row)}.",
        )


class _Constants(NamedTuple):
    """What must be the same in all rows of a key, and whether they hold nothing at all."""

    label: bytes | None
    split: bytes | None
    group: bytes | None
    meta: tuple[bytes, ...] = ()
    is_empty: bool = False


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


def read_header(path: str, lines: Iterable[str]) -> list[str]:
    """Reads the first row of a CSV file.

    Raises:
        ValueError: if there is none or it is not CSV.
    """
    for _, row in _numbered_rows(path, lines):
        return row
    raise ValueError(f"{path}: must have a header row, the file has no row.")


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
    rows = _numbered_rows(source.path, lines)
    located = CsvColumns.locate(source, next(rows)[1], columns)
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


def _numbered_rows(path: str, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank with the number of its last line."""
    reader, first_line = csv.reader(lines, strict=True), 1
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableInputError(
            f"{path}, the row that begins at line {first_line} must be CSV with every quote "
            f"closed: {error}."
        ) from error


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    with open_text(source.path, newline="") as lines:
        yield from read_csv(lines, source, columns)


def _number_columns(path: str, header: Sequence[str]) -> dict[str, int]:
    """Returns the position of each column by its name."""
    places: dict[str, int] = {}
    for name in header:
        if name in places:
            raise ValueError(f"{path}: column names must differ, got {name!r} more than once.")
        places[name] = len(places)
    return places


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    with decode_text(source.path, stream, newline="") as lines:
        header = read_header(source.path, lines)
    features = CsvColumns.locate(source, header, columns).feature_names
    used = {*features, *columns.roles().values(), *columns.meta_columns}
    return InputFacts(features, unused=tuple(name for name in header if name not in used))


FORM = InputForm(
    name="csv",
    extensions=(".csv",),
    unit="line",
    read=_read,
    check=_check,
)
