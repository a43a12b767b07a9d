"""Arrow tables in wide format: one row per sequence of one feature, one column per timestep."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from padless.beam_jobs.fragments import RejectionError, Source
from padless.beam_jobs.readers.arrow.columns import Parsed
from padless.beam_jobs.readers.arrow.sequences import WholeTable
from padless.beam_jobs.readers.arrow.tables import RejectedRows, parse_constants, read_columns
from padless.beam_jobs.readers.numbered_keys import number_key


@dataclasses.dataclass(frozen=True, slots=True)
class WideTable(WholeTable):
    """A table with a column of numbers per timestep.

    Attributes:
        timesteps: names of these columns, in order.
        has_key: whether there is a column of keys; otherwise a row's number makes its key.
    """

    timesteps: tuple[str, ...]
    has_key: bool

    @property
    def key_column(self) -> str | None:
        """Name of the column of keys, or None where there is none."""
        return self.columns.key if self.has_key else None

    def list_value_columns(self) -> list[str]:
        """Lists the timesteps."""
        return list(self.timesteps)

    def read_sequences(
        self, batch: pa.RecordBatch, rejected: RejectedRows
    ) -> list[np.ndarray | None]:
        """Reads the values of each row."""
        values = read_columns(batch, self.timesteps, rejected)[:, :, None]
        return [None if row in rejected else one for row, one in enumerate(values)]

    def read_constants(
        self, batch: pa.RecordBatch, first: int, source: Source
    ) -> tuple[Parsed, ...]:
        """Reads label, split, group and what is carried of each row, and its key or makes one."""
        key, *others = parse_constants(self.columns, batch, key=self.key_column)
        if not self.has_key:
            numbers = range(first - 1, first - 1 + batch.num_rows)  # rows count from 1, keys from 0
            results = [_number_or_rejection(source.path, number) for number in numbers]
            key = Parsed(np.arange(batch.num_rows), results)
        return key, *others


def _number_or_rejection(path: str, number: int) -> bytes | RejectionError | None:
    try:
        return number_key(path, number)
    except RejectionError as rejection:
        return rejection
