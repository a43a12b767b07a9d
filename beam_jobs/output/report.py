"""What a preprocessing job reports when it is done."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from padless.beam_jobs.assembly.rounding import LostDigits, describe_lost_digits
from padless.beam_jobs.assembly.split_draw import LEFT_OUT
from padless.beam_jobs.output.writer import RejectSummary
from padless.pipeline.dataset.metadata import ShardSummary
from padless.pipeline.dataset.provenance import Counts
from padless.pipeline.wording import as_range

# What the rules do to sequences: how the report names it, and what it counts.
MENDINGS = {
    "padded_sequences": ("padded", "sequences"),
    "padding_timesteps": ("padding left out", "timesteps at the end of those, without any value"),
    "filled_values": ("filled", "missing values, by the last one of their feature"),
    "masked_values": ("masked", "missing values, which models are told of"),
    "dropped_timesteps": ("dropped", "timesteps with a missing value"),
    "truncated_sequences": ("truncated", "sequences"),
    "truncated_timesteps": ("cut off", "timesteps of those"),
    "split_sequences": ("split", "sequences"),
    "pieces": ("pieces", "of those, each counted as accepted or rejected"),
}

_NO_TIMES = "--time-order file reads no times and keeps the order of the rows"
# Of what is rejected unless an option says otherwise: the option, and what is done already by it.
_REMEDIES = {
    "missing_value": (
        "--missing forward_fill, drop_timestep or mask keeps sequences with missing values",
        {"filled_values", "masked_values", "dropped_timesteps"},
    ),
    "too_long": ("--too-long truncate or split keeps a part of longer ones, or all", set()),
    "duplicate_time": (_NO_TIMES, set()),
    "bad_time": (_NO_TIMES, set()),
}

_LEFT_OUT_NOTE = "by --train-where, as the training split takes only its labels"


class SplitReport(NamedTuple):
    """One split: number of sequences, minimum and maximum length in timesteps."""

    num_sequences: int
    min_length: int
    max_length: int

    @classmethod
    def of(cls, shards: Sequence[ShardSummary]) -> SplitReport:
        """Adds up the shards of one split."""
        lengths = [length for shard in shards for length in shard.lengths]
        return cls(sum(shard.num_records for shard in shards), min(lengths), max(lengths))


@dataclasses.dataclass(frozen=True, slots=True)
class PreprocessReport:
    """The closing summary of a job; `print` shows it.

    Attributes:
        read: number of sequences in the input, rows without a readable key included.
        accepted: number of sequences in the dataset.
        rejected: reason -> number of rejected sequences.
        mended: what the rules have done to sequences -> how often; see `MENDINGS`.
        left_out: number of sequences of the training split whose labels are not `train_labels`.
        splits: name -> number of sequences, minimum and maximum length.
        num_bytes: size of all shards.
        num_features: values per timestep; 0 where nothing was accepted.
        features: their names, in order, or None where they have none.
        unused_columns: names of the columns of tables that are neither features nor another part.
        lost_digits: the features whose differences float32 does not keep.
        empty_splits: names of the splits without a sequence, which the dataset does not have; none
            of them if there is no dataset, as nothing was accepted.
        examples: messages of a few rejects, the first of each reason before others.
        seconds: wall time of the job.
    """

    read: int
    accepted: int
    rejected: Mapping[str, int]
    mended: Mapping[str, int]
    splits: Mapping[str, SplitReport]
    num_bytes: int
    left_out: int = 0
    num_features: int = 0
    features: tuple[str, ...] | None = None
    unused_columns: tuple[str, ...] = ()
    lost_digits: tuple[LostDigits, ...] = ()
    empty_splits: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(
        cls,
        shards: Sequence[ShardSummary],
        rejects: RejectSummary,
        *,
        tally: Mapping[str, int],
        splits: Sequence[str],
    ) -> PreprocessReport:
        """Adds up what the writers know.

        Args:
            shards: a summary of each shard.
            rejects: the summary of the rejects.
            tally: `read`, the number of sequences in the input, `left_out`, and what was done to
                them, see `MENDINGS`.
            splits: names of the splits that sequences could be in, in order.

        Raises:
            RuntimeError: if the sequences accepted, rejected and left out are not those that were
                read.
        """
        by_split = {split: [s for s in shards if s.split == split] for split in splits}
        reports = {split: SplitReport.of(parts) for split, parts in by_split.items() if parts}
        report = cls(
            read=tally["read"],
            accepted=sum(report.num_sequences for report in reports.values()),
            rejected=rejects.counts,
            mended={name: tally[name] for name in MENDINGS if tally.get(name)},
            splits=reports,
            num_bytes=sum(shard.num_bytes for shard in shards),
            left_out=tally.get(LEFT_OUT, 0),
            empty_splits=tuple(split for split in splits if split not in reports)
            if reports
            else (),
            examples=rejects.examples,
        )
        report.check()
        return report

    def with_features(self, num_features: int, names: Sequence[str] | None) -> PreprocessReport:
        """Returns the report with the features of the dataset; other names than theirs are none."""
        features = tuple(names) if names and len(names) == num_features else None
        return dataclasses.replace(self, num_features=num_features, features=features)

    @property
    def num_rejected(self) -> int:
        """Number of all rejects."""
        return sum(self.rejected.values())

    def check(self) -> None:
        """Checks that nothing was lost and nothing was added.

        Raises:
            RuntimeError: if the sequences accepted, rejected and left out are not those that were
                read, a sequence that was split counted as its pieces.
        """
        if self.counts.num_lost:
            added = self.counts.expected - self.read
            left_out = f", of which {self.left_out} are left out" if self.left_out else ""
            raise RuntimeError(
                f"accepted + rejected must be read, with {added} more by splitting, "
                f"got {self.accepted} + {self.num_rejected} and {self.read}{left_out}."
            )

    @property
    def counts(self) -> Counts:
        """The counts that the dataset keeps."""
        return Counts(self.read, self.accepted, self.rejected, self.mended, self.left_out)

    def to_json(self) -> str:
        """Serializes the report."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PreprocessReport:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        content["splits"] = {name: SplitReport(*s) for name, s in content["splits"].items()}
        for name in ("empty_splits", "examples", "unused_columns"):
            content[name] = tuple(content[name])
        content["lost_digits"] = tuple(LostDigits(*lost) for lost in content["lost_digits"])
        content["features"] = content["features"] and tuple(content["features"])
        return cls(**content)

    def __str__(self) -> str:
        """Returns the summary as text of aligned lines."""
        took = f" in {self.seconds:.1f} s" if self.seconds else ""
        lines = [
            ("read", self.read, "sequences"),
            ("accepted", self.accepted, f"{self.num_bytes:,} bytes{took}"),
            ("rejected", self.num_rejected, _join_counts(self.rejected)),
            *([("left out", self.left_out, _LEFT_OUT_NOTE)] if self.left_out else []),
            *(
                (name, self.mended[key], note)
                for key, (name, note) in MENDINGS.items()
                if key in self.mended
            ),
            *(
                (
                    f"  {name}",
                    split.num_sequences,
                    f"{as_range((split.min_length, split.max_length))} timesteps",
                )
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
        if self.examples and (others := self.num_rejected - len(self.examples)):
            shown.append(f"  and {others:,} more")
        remedies = (
            remedy
            for reason, (remedy, done) in _REMEDIES.items()
            if reason in self.rejected and not done & self.mended.keys()
        )
        shown += [f"  {remedy}" for remedy in dict.fromkeys(remedies)]
        shown += describe_lost_digits(self.lost_digits, self.features)
        return "\n".join(line.rstrip() for line in shown)


def _join_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
