"""Where the parts of a timestep are in the rows of a CSV file, and how its cells are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, cast

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import RejectionError, Source, Time, shorten
from padless.beam_jobs.readers.csv_header import explain_header, number_columns
from padless.beam_jobs.readers.feature_columns import check_listed, choose_features
from padless.beam_jobs.readers.values import (
    is_missing_cell,
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
        path, places = source.path, number_columns(source.path, header)
        roles = columns.roles()
        if source.has_order and not columns.is_given("time"):
            del roles["time"]
        check_listed(path, header, columns)
        names = choose_features(header, columns)
        for name in (*roles.values(), *names):
            if name not in places:
                order = _ORDER_REMEDY if name == roles.get("time") else ""
                remedy = explain_header(header) or order
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

    def parse_timestep(self, row: list[str]) -> tuple[Time | None, list[float], Constants]:
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

    def _parse_constants(self, row: list[str]) -> Constants:
        return Constants(
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


class Constants(NamedTuple):
    """What must be the same in all rows of a key, and whether they hold nothing at all."""

    label: bytes | None
    split: bytes | None
    group: bytes | None
    meta: tuple[bytes, ...] = ()
    is_empty: bool = False


_NONE = Constants(None, None, None)
_EMPTY = Constants(None, None, None, is_empty=True)  # of a row without a time and a value
