"""What a preprocessing job reports when it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from padless.beam_jobs.writer import RejectSummary
from padless.pipeline.directory import ShardSummary


class SplitReport(NamedTuple):
    """One split: number of sequences, least and greatest length in timesteps."""

    count: int
    min_length: int
    max_length: int


@dataclasses.dataclass(frozen=True, slots=True)
class PreprocessReport:
    """The closing summary of a job; `print` shows it.

    Attributes:
        read: number of sequences that stood in the input, rows without a readable key included.
        accepted: number of sequences in the dataset.
        rejected: reason -> number of refused sequences.
        splits: name -> count, least and greatest length.
        num_bytes: size of all shards.
        empty_splits: names of the splits without a sequence, which the dataset does not have; none
            of them if there is no dataset, as nothing was accepted.
        examples: messages of the first few rejects.
        seconds: wall time of the job.
    """

    read: int
    accepted: int
    rejected: Mapping[str, int]
    splits: Mapping[str, SplitReport]
    num_bytes: int
    empty_splits: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls, shards: Sequence[ShardSummary], rejects: RejectSummary, *, read: int, splits
    ) -> PreprocessReport:
        """Adds up what the writers know.

        Args:
            shards: a summary of each shard that is not empty.
            rejects: the summary of the rejects.
            read: number of sequences that stood in the input.
            splits: names of all splits, in order.

        Raises:
            RuntimeError: if the sequences accepted and rejected are not those that were read.
        """
        lengths = {
            split: [
                (n, count) for s in shards if s.split == split for n, count in s.lengths.items()
            ]
            for split in splits
        }
        reports = {
            split: SplitReport(sum(c for _, c in pairs), min(pairs)[0], max(pairs)[0])
            for split, pairs in lengths.items()
            if pairs
        }
        accepted = sum(report.count for report in reports.values())
        if accepted + rejects.total != read:
            raise RuntimeError(
                f"accepted + rejected must be read, got {accepted} + {rejects.total} and {read}."
            )
        num_bytes = sum(shard.num_bytes for shard in shards)
        empty = tuple(split for split in splits if split not in reports) if reports else ()
        return cls(read, accepted, rejects.counts, reports, num_bytes, empty, rejects.examples)

    def to_json(self) -> str:
        """Serializes the report."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PreprocessReport:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        content["splits"] = {name: SplitReport(*s) for name, s in content["splits"].items()}
        for name in ("empty_splits", "examples"):
            content[name] = tuple(content[name])
        return cls(**content)

    def __str__(self) -> str:
        """Shows the summary as aligned lines."""
        lines = [
            ("read", self.read, "sequences"),
            ("accepted", self.accepted, f"{self.num_bytes:,} bytes in {self.seconds:.1f} s"),
            ("rejected", sum(self.rejected.values()), _join_counts(self.rejected)),
            *(
                (f"  {name}", split.count, f"{split.min_length} to {split.max_length} timesteps")
                for name, split in self.splits.items()
            ),
            *(
                (f"  {name}", 0, "no sequence was drawn for it: left out")
                for name in self.empty_splits
            ),
        ]
        width = max(len(name) for name, _, _ in lines)
        digits = max(len(f"{count:,}") for _, count, _ in lines)
        shown = [f"{name:<{width}}  {count:>{digits},}  {note}" for name, count, note in lines]
        shown += [f"  {example}" for example in self.examples]
        return "\n".join(line.rstrip() for line in shown)


def _join_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
