"""Wide CSV: one row per sequence of one feature, one column per timestep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import Item, RejectionError, Source, Whole
from padless.beam_jobs.readers.csv.columns import ConstantColumns, parse_cells, ragged
from padless.beam_jobs.readers.csv.header import find_places, is_like_values
from padless.beam_jobs.readers.feature_columns import check_listed, choose_features
from padless.beam_jobs.readers.numbered_keys import number_key
from padless.beam_jobs.readers.values import check_sequence, parse_key
from padless.pipeline.wording import list_names


@dataclasses.dataclass(frozen=True, slots=True)
class WideColumns:
    """Where the columns are in the rows of one file in wide format.

    Attributes:
        num_columns: cells of the first row.
        key: position of the key, or None where the number of a row makes it.
        constants: positions of label, split, group and what is carried.
        timesteps: positions of the timesteps, in order.
        names: their names.
        others: positions of all other columns.
        has_header: whether the first row names the columns, so that each row must have as many.
        decimal: the decimal mark.
    """

    num_columns: int
    key: int | None
    constants: ConstantColumns
    timesteps: tuple[int, ...]
    names: tuple[str, ...]
    others: frozenset[int]
    has_header: bool = True
    decimal: str = "."

    @classmethod
    def locate(cls, source: Source, header: Sequence[str], columns: Columns) -> WideColumns:
        """Finds the columns that the options name in the header of a file.

        Raises:
            ValueError: if one is missing or named twice, or none is left for the timesteps.
        """
        roles = columns.roles()
        if columns.key not in header and not columns.is_given("key"):
            del roles["key"]
        check_listed(source.path, header, columns)
        places = find_places(source.path, header, roles.values())
        names = choose_features(header, columns)
        if not names:
            raise ValueError(
                f"{source.path}: must have columns of timesteps besides "
                f"{list_names(columns.not_features)}, it has {list_names(header)}."
            )
        if source.text.has_header and is_like_values(names):
            raise ValueError(
                f"{source.path}: must have a header row with a name for each timestep, it holds "
                f"values, got {list_names(header, most=5)}; a file without a header is read by "
                "--no-header."
            )
        timesteps = tuple(places[name] for name in names)
        return cls(
            num_columns=len(header),
            key=places[columns.key] if "key" in roles else None,
            constants=ConstantColumns.locate(places, columns, source.text.decimal),
            timesteps=timesteps,
            names=names,
            others=frozenset(range(len(header))).difference(timesteps),
            has_header=source.text.has_header,
            decimal=source.text.decimal,
        )

    def parse_key(self, row: list[str], path: str, number: int) -> bytes:
        """Reads a row's key, or makes it from the file's name and the row's number."""
        if self.key is None:
            return number_key(path, number)
        if self.key >= len(row):
            raise ragged(self.num_columns, row)
        return parse_key(row[self.key])

    def parse_values(self, row: list[str]) -> np.ndarray:
        """Reads a row's values, float64 `(timesteps, 1)`.

        Without a header nothing says how long a row is: it has as many timesteps as cells.
        """
        timesteps, names = self.timesteps, self.names
        if len(row) != self.num_columns:
            if self.has_header or max(self.others, default=-1) >= len(row):
                raise ragged(self.num_columns, row)
            timesteps = tuple(i for i in range(len(row)) if i not in self.others)
            names = tuple(str(i + 1) for i in timesteps)
        values = parse_cells([row[i] for i in timesteps], names, self.decimal)
        return check_sequence(np.array(values, np.float64)[:, None])


def read_wide(
    rows: Iterator[tuple[int, list[str]]], source: Source, located: WideColumns
) -> Iterator[Item]:
    """Reads the rows after the header, one whole sequence per row.

    Without a column of keys, a row's is the name of the file and the number of the row from 0, as
    in `ECG200_TRAIN/0`; rejected rows are counted as well, blank lines are not.
    """
    for number, (line, row) in enumerate(rows):
        place = source.place(line)
        try:
            key = located.parse_key(row, source.path, number)
        except RejectionError as rejection:
            yield rejection.reject(place)
            continue
        try:
            values = located.parse_values(row)
            label, split, group, meta, _ = located.constants.parse(row)
        except RejectionError as rejection:
            yield key, rejection.reject_part(place, whole=True)
            continue
        yield key, Whole(place, values, label, None, split, group, meta=meta)
