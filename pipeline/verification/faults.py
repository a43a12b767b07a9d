"""Faults of a dataset: named one by one up to a limit per file, and all of them counted."""

from __future__ import annotations

import collections
import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Something in a dataset directory that is not as it must be.

    Attributes:
        file: the file at fault, relative to the directory.
        message: the broken rule and the value.
        record: position of the record in the file, from 0, or None if it is the file's.
        byte: the record's first byte in the file, or None.
    """

    file: str
    message: str
    record: int | None = None
    byte: int | None = None

    def __str__(self) -> str:
        """Returns the place and the rule on one line."""
        place = "" if self.record is None else f" record {self.record} at byte {self.byte}:"
        return f"{self.file}:{place} {self.message}"


class FaultLog:
    """Collects faults.

    One damaged file may hold millions, so only the first few of each file's records are kept; a
    fault of the file itself is always kept, as it explains the others.
    """

    def __init__(self, per_file: int | None = None):
        """Keeps `per_file` faults of records per file, or all of them."""
        self._per_file = per_file
        self._kept: dict[str, list[Fault]] = collections.defaultdict(list)
        self._of_records: collections.Counter[str] = collections.Counter()
        self._of_files: collections.Counter[str] = collections.Counter()

    def is_full(self, file: str) -> bool:
        """Whether the next fault of a record of `file` would be counted only."""
        return self._per_file is not None and self._of_records[file] >= self._per_file

    def add(self, fault: Fault) -> None:
        """Counts a fault, and keeps it if it is among the first of its file."""
        is_kept = fault.record is None or not self.is_full(fault.file)
        (self._of_files if fault.record is None else self._of_records)[fault.file] += 1
        if is_kept:
            self._kept[fault.file].append(fault)

    @property
    def counts(self) -> dict[str, int]:
        """File -> number of all its faults, in order of the names."""
        return dict(sorted((self._of_files + self._of_records).items()))

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that were kept, by file; those of the file itself first, then by record."""
        return tuple(fault for file in sorted(self._kept) for fault in self._faults_of(file))

    def _faults_of(self, file: str) -> list[Fault]:
        return sorted(
            self._kept[file], key=lambda fault: -1 if fault.record is None else fault.record
        )
