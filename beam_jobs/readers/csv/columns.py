"""Where the parts of a timestep are in the rows of a CSV file, and how its cells are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import RejectionError, Source, Time, shorten
from padless.beam_jobs.readers.csv.header import find_places
from padless.beam_jobs.readers.feature_columns import check_listed, choose_features
from padless.beam_jobs.readers.values import (
    is_missing_cell,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_numbers,
    parse_split,
    parse_time,
)
from padless.pipeline.wording import list_names

_ORDER_REMEDY = "; rows without times are read in the order of the file by `time_order` 'file'"


class Constants(NamedTuple):
    """What must be the same in all rows of a key, and whether they hold nothing at all."""

    label: bytes | None
    split: bytes | None
    group: bytes | None
    meta: tuple[bytes, ...] = ()
    is_empty: bool = False


_NONE = Constants(None, None, None)
_EMPTY = Constants(None, None, None, is_empty=True)  # of a row without a time and a value


@dataclasses.dataclass(frozen=True, slots=True)
class ConstantColumns:
    """Where in a row is what must be the same in all rows of a key.

    Attributes:
        label: position of the label, or None.
        split: position of the split, or None.
        group: position of the group, or None.
        meta: positions of what is carried into outputs.
        with_comma: those of them that hold numbers with a decimal comma.
    """

    label: int | None = None
    split: int | None = None
    group: int | None = None
    meta: tuple[int, ...] = ()
    with_comma: frozenset[int] = frozenset()

    @classmethod
    def locate(cls, places: Mapping[str, int], columns: Columns, decimal: str) -> ConstantColumns:
        """Finds those that the options name by the positions of all columns."""
        roles = columns.roles()
        found = {r: places[roles[r]] for r in ("label", "split", "group") if r in roles}
        meta = tuple(places[name] for name in columns.meta_columns)
        with_comma = columns.static_columns if decimal == "," else ()
        numbers = frozenset(places[name] for name in with_comma)
        return cls(**found, meta=meta, with_comma=numbers) if found or meta else _NO_CONSTANTS

    def parse(self, row: list[str]) -> Constants:
        """Reads them of one row."""
        if self is _NO_CONSTANTS:
            return _NONE
        return Constants(
            None if self.label is None else parse_label(row[self.label]),
            None if self.split is None else parse_split(row[self.split]),
            None if self.group is None else parse_group(row[self.group]),
            tuple(self._parse_meta(row, place) for place in self.meta),
        )

    def _parse_meta(self, row: list[str], place: int) -> bytes:
        cell = row[place]
        # One that has a point already may be of thousands: it stays as it is, which is no number.
        if place in self.with_comma and "." not in cell:
            cell = cell.replace(",", ".")
        return parse_meta(cell)


_NO_CONSTANTS = ConstantColumns()


@dataclasses.dataclass(frozen=True, slots=True)
class CsvColumns:
    """Where the columns are in the rows of one file in long format.

    Attributes:
        num_columns: cells per row.
        key: position of the key.
        time: position of the time, or None where rows are in order.
        constants: positions of label, split, group and what is carried.
        features: positions of the features.
        feature_names: their names.
        decimal: the decimal mark.
    """

    num_columns: int
    key: int
    time: int | None
    constants: ConstantColumns
    features: tuple[int, ...]
    feature_names: tuple[str, ...]
    decimal: str = "."

    @classmethod
    def locate(cls, source: Source, header: Sequence[str], columns: Columns) -> CsvColumns:
        """Finds the columns that the options name in the header of a file.

        Raises:
            ValueError: if one is missing, named twice or, as a feature, not named at all.
        """
        path, roles = source.path, columns.roles()
        has_times = not source.has_order
        if not has_times and not columns.is_given("time"):
            del roles["time"]
        check_listed(path, header, columns)
        names = choose_features(header, columns)
        remedies = {name: columns.naming_remedy(name) for name in (columns.key, columns.time)}
        remedies[columns.time] += _ORDER_REMEDY
        places = find_places(path, header, (*roles.values(), *names), remedies)
        if not names or "" in names:
            raise ValueError(
                f"{path}: must have named feature columns besides "
                f"{list_names(columns.not_features)}, "
                f"it has {list_names(header)}; choose them with `features`."
            )
        return cls(
            num_columns=len(header),
            key=places[columns.key],
            time=places[columns.time] if has_times else None,
            constants=ConstantColumns.locate(places, columns, source.text.decimal),
            features=tuple(places[name] for name in names),
            feature_names=names,
            decimal=source.text.decimal,
        )

    def parse_key(self, row: list[str]) -> bytes:
        """Reads a row's key."""
        if self.key >= len(row):
            raise ragged(self.num_columns, row)
        return parse_key(row[self.key])

    def parse_timestep(self, row: list[str]) -> tuple[Time | None, list[float], Constants]:
        """Reads a row's time, features, label, split, group and what is carried."""
        if len(row) != self.num_columns:
            raise ragged(self.num_columns, row)
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
            self.constants.parse(row),
        )


def parse_cells(cells: list[str], names: Sequence[str], decimal: str) -> list[float]:
    """Reads one number per cell, NaN where it is missing, with that decimal mark."""
    if decimal == ",":
        cells = list(map(_with_point, cells, names))
    return parse_numbers(cells, names)


def is_number(cell: str, decimal: str) -> bool:
    """Checks whether a cell holds a number, or a missing one."""
    try:
        parse_cells([cell], [""], decimal)
    except RejectionError:
        return False
    return True


def ragged(num_columns: int, row: list[str]) -> RejectionError:
    """Returns the rejection of a row that has not as many cells as the header."""
    return RejectionError(
        "ragged_row",
        f"a row must hold {num_columns} cells as the header does, got {len(row)}.",
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
