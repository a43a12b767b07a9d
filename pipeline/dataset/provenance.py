"""`provenance.json`: how a dataset was made and what was written to each shard; both directions."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

from padless.pipeline.dataset.checksums import FileInfo, encode_sealed
from padless.pipeline.dataset.json_content import check_string, is_object_with
from padless.pipeline.dataset.keys import draw_held_out, draw_split, whole_key
from padless.pipeline.dataset.names import TRAINING_SPLIT

FORMAT_VERSION = 1
_PARTS = {"format_version", "made", "shards", "files", "crc32c"}
Shares = tuple[tuple[str, float], ...]


class ShardInfo(NamedTuple):
    """What was written to a shard's file."""

    num_records: int
    num_bytes: int
    crc32c: int

    def __str__(self) -> str:
        """Returns it as part of a sentence."""
        return (
            f"{self.num_records:,} records in {self.num_bytes:,} bytes "
            f"with the CRC {self.crc32c:08x}"
        )


class Counts(NamedTuple):
    """What a job has counted.

    Attributes:
        read: number of sequences in the input.
        accepted: number of sequences in the dataset.
        rejected: reason -> number of rejected sequences.
        mended: what the rules have done to sequences -> how often. `pieces` were made of
            `split_sequences`, and each counts as accepted or rejected.
        left_out: number of sequences of the training split that have other labels than those that
            it was to be made of.
    """

    read: int
    accepted: int
    rejected: Mapping[str, int]
    mended: Mapping[str, int]
    left_out: int = 0

    @property
    def expected(self) -> int:
        """Number of sequences and pieces that must be accepted, rejected or left out."""
        return self.read + self.mended.get("pieces", 0) - self.mended.get("split_sequences", 0)

    @property
    def num_lost(self) -> int:
        """Number of sequences of which nothing became; negative if there are too many."""
        return self.expected - self.accepted - sum(self.rejected.values()) - self.left_out


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """How a job made a dataset.

    Attributes:
        padless: version of padless.
        seed: of the hash of the keys.
        splits: name and share of each split, or None where the sequences came with their split.
        hold_out: name of each split that was taken from the training split, and its share.
        hold_out_by: the column whose values were drawn for that, or None where keys were.
        order: order of the records, `"hash"` or `"input"`.
        rules: name -> value of each rule of the job, as JSON can hold them.
        report: what the job counted, or None.
    """

    padless: str
    seed: int
    splits: Shares | None
    hold_out: Shares
    hold_out_by: str | None
    order: str
    rules: Mapping[str, Any]
    report: Counts | None


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """How the split of each sequence was drawn.

    Attributes:
        seed: of the hash of the key.
        splits: name and share of each, or None where the sequences came with their split.
        in_pieces: whether long sequences were split, so that their pieces go where the whole goes.
        hold_out: see `Made`.
        hold_out_by: see `Made`.
    """

    seed: int
    splits: Shares | None
    in_pieces: bool
    hold_out: Shares = ()
    hold_out_by: str | None = None

    def split_of(self, key: bytes, found: str | None = None) -> str | None:
        """Draws the split of a record by its key.

        Args:
            key: its key.
            found: the split that it is in, which is right as far as the key does not decide: where
                sequences came with their split, or were held out by a column.
        """
        key = whole_key(key) if self.in_pieces else key
        in_training = found == TRAINING_SPLIT or found in dict(self.hold_out)
        split = TRAINING_SPLIT if in_training else found
        if self.splits is not None:
            split = draw_split(key, self.seed, self.splits)
        if split != TRAINING_SPLIT or not self.hold_out:
            return split
        if self.hold_out_by is not None:
            return found if in_training else split
        return draw_held_out(key, self.seed, self.hold_out) or split


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """What the provenance holds that can be checked; None for what it does not hold.

    Attributes:
        shards: name of a shard's file -> what was written to it; a shard without a record may be
            left out.
        draw: how splits were drawn.
        counts: what the job counted.
        splits_were_given: whether the sequences came with their split.
        files: name of another file -> what was written to it.
        rules: name -> value of each rule of the job.
    """

    shards: Mapping[str, ShardInfo] | None = None
    draw: Draw | None = None
    counts: Counts | None = None
    splits_were_given: bool = False
    files: Mapping[str, FileInfo] | None = None
    rules: Mapping[str, Any] | None = None


def encode_provenance(
    made: Made | None, shards: Mapping[str, ShardInfo], files: Mapping[str, FileInfo]
) -> bytes:
    """Returns the bytes of `provenance.json`, which end with their own checksum.

    Args:
        made: how the dataset was made, or None where no job made it.
        shards: name of a shard's file -> what was written to it.
        files: name of each other file -> likewise.
    """
    return encode_sealed(
        {
            "format_version": FORMAT_VERSION,
            "made": {} if made is None else _format_made(made),
            "shards": {name: _format_shard(shard) for name, shard in shards.items()},
            "files": {
                name: {"bytes": file.num_bytes, "crc32c": f"{file.crc32c:08x}"}
                for name, file in files.items()
            },
        }
    )


def parse_provenance(content: Any) -> Provenance:
    """Reads what `encode_provenance` wrote; `shards`, `files` and its own checksum may be missing.

    Raises:
        LookupError, TypeError, ValueError: if it is anything else.
    """
    if content["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"the format version is {content['format_version']!r}, not {FORMAT_VERSION}"
        )
    if unknown := sorted(content.keys() - _PARTS):
        raise ValueError(f"`{unknown[0]}` must not be there.")
    made, shards, files = content["made"], content.get("shards"), content.get("files")
    return Provenance(
        shards=None if shards is None else {k: _parse_shard(s) for k, s in shards.items()},
        draw=_parse_draw(made),
        counts=None if made.get("report") is None else _parse_counts(made["report"]),
        splits_were_given="splits" in made and made["splits"] is None,
        files=None if files is None else {name: _parse_file(f) for name, f in files.items()},
        rules=None if made.get("rules") is None else dict(made["rules"]),
    )


def is_provenance(data: bytes) -> bool:
    """Checks whether the bytes of a file are a provenance of padless, of whatever version."""
    return is_object_with(data, {"format_version", "made"})


def _format_made(made: Made) -> dict[str, Any]:
    return {
        "padless": made.padless,
        "seed": made.seed,
        "splits": None if made.splits is None else [list(pair) for pair in made.splits],
        "hold_out": [list(pair) for pair in made.hold_out],
        "hold_out_by": made.hold_out_by,
        "order": made.order,
        "rules": dict(made.rules),
        "report": made.report and made.report._asdict(),
    }


def _parse_draw(made: Any) -> Draw | None:
    hold_out = _parse_shares(made.get("hold_out", []))
    if not hold_out and (made.get("splits") is None or made.get("seed") is None):
        return None
    splits = None if made.get("splits") is None else _parse_shares(made["splits"])
    if splits == ():
        raise ValueError("there is no split to draw")
    by = made.get("hold_out_by")
    return Draw(
        operator.index(made["seed"]),
        splits,
        in_pieces=made.get("rules", {}).get("too_long") == "split",
        hold_out=hold_out,
        hold_out_by=None if by is None else check_string(by),
    )


def _parse_shares(content: Any) -> Shares:
    return tuple((check_string(name), float(share)) for name, share in content)


def _parse_counts(report: Any) -> Counts:
    for name in Counts._fields:
        if name not in report and name not in Counts._field_defaults:
            raise ValueError(f"`made.report.{name}` must be there, it is missing.")
    return Counts(
        read=operator.index(report["read"]),
        accepted=operator.index(report["accepted"]),
        rejected=_parse_numbers(report["rejected"]),
        mended=_parse_numbers(report["mended"]),
        left_out=operator.index(report.get("left_out", 0)),
    )


def _parse_numbers(content: Any) -> dict[str, int]:
    return {name: operator.index(number) for name, number in content.items()}


def _format_shard(shard: ShardInfo) -> dict[str, Any]:
    return {
        "records": shard.num_records,
        "bytes": shard.num_bytes,
        "crc32c": f"{shard.crc32c:08x}",
    }


def _parse_file(content: Any) -> FileInfo:
    return FileInfo(operator.index(content["bytes"]), int(content["crc32c"], 16))


def _parse_shard(content: Any) -> ShardInfo:
    records, num_bytes = operator.index(content["records"]), operator.index(content["bytes"])
    return ShardInfo(records, num_bytes, int(content["crc32c"], 16))
