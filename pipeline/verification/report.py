"""What a verification has found, and how it is shown."""

from __future__ import annotations

import dataclasses
import itertools
import operator
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from padless.pipeline.verification.faults import Fault
from padless.pipeline.wording import plural

_MAX_FAULTS_SHOWN = 20
_WIDTH = 80


class SplitContent(NamedTuple):
    """What was read of a split: its shards, their intact records and their bytes."""

    name: str
    num_shards: int
    num_records: int
    num_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a verification has found; `print` shows it.

    Attributes:
        directory: the dataset directory.
        splits: what was read of each split.
        checked: what was compared.
        not_checked: what could not be, each with the reason.
        faults: the faults that are named, by file and record.
        fault_counts: file -> number of all its faults.
        seconds: wall time.
    """

    directory: str
    splits: tuple[SplitContent, ...]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]
    faults: tuple[Fault, ...]
    fault_counts: Mapping[str, int]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.fault_counts

    @property
    def num_faults(self) -> int:
        """Number of all faults."""
        return sum(self.fault_counts.values())

    def __str__(self) -> str:
        """Returns what was read, what was checked, and the first faults, as lines."""
        return self.describe(_MAX_FAULTS_SHOWN)

    def describe(self, max_faults: int | None = None) -> str:
        """Returns the report as lines, with at most `max_faults` faults or all that are named."""
        lines = [self.directory, *self._list_splits()]
        if self.checked:
            text = f"checked: {', '.join(self.checked)}"
            lines += textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
        lines += [f"not checked: {reason}" for reason in self.not_checked]
        if self.ok:
            return "\n".join([*lines, f"no fault, {self.seconds:.1f} s"])
        files = len(self.fault_counts)
        lines.append(
            f"{plural(self.num_faults, 'fault')} in {plural(files, 'file')}, {self.seconds:.1f} s"
        )
        return "\n".join(lines + self._list_faults(max_faults))

    def _list_splits(self) -> list[str]:
        rows = [
            (
                split.name,
                plural(split.num_shards, "shard"),
                plural(split.num_records, "record"),
                plural(split.num_bytes, "byte"),
            )
            for split in self.splits
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            f"  {name:<{widths[0]}}  " + "  ".join(map(str.rjust, counts, widths[1:]))
            for name, *counts in rows
        ]

    def _list_faults(self, max_faults: int | None) -> list[str]:
        """Lists the faults by file, and counts those of each file that are not shown."""
        lines: list[str] = []
        seen = 0
        shown = itertools.groupby(self.faults[:max_faults], operator.attrgetter("file"))
        for file, faults in shown:
            named = list(map(str, faults))
            more = self.fault_counts[file] - len(named)
            lines += named + ([f"{file}: and {more:,} more"] if more else [])
            seen += self.fault_counts[file]
        if seen < self.num_faults:
            lines.append(f"and {self.num_faults - seen:,} more in other files")
        return [f"  {line}" for line in lines]
