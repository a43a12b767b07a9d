"""What the metadata of a dataset directory say of it, each file read on its own.

`open_dataset` stops at the first file that is not as it was written. A verifier goes on with what
can be read; and it reads the files of TFDS without TFDS, which would import TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from etils import epath

from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.directory import FORMAT_VERSION
from padless.pipeline.dataset.keys import draw_split, whole_key
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.names import (
    FEATURES_FILE,
    INFO_FILE,
    LENGTHS_FILE,
    PROVENANCE_FILE,
    STATISTICS_FILE,
    shard_name,
)
from padless.pipeline.verification.faults import Fault, FaultLog


class SplitInfo(NamedTuple):
    """A split as `dataset_info.json` has it.

    Attributes:
        shards: name of each shard's file -> its number of records.
        num_bytes: size of all of them.
    """

    shards: Mapping[str, int]
    num_bytes: int


class ShardInfo(NamedTuple):
    """A shard's file as the provenance has it."""

    num_records: int
    num_bytes: int
    crc32c: int

    def __str__(self) -> str:
        """Shows it in a sentence."""
        return (
            f"{self.num_records:,} records in {self.num_bytes:,} bytes "
            f"with the CRC {self.crc32c:08x}"
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """How the split of each sequence was drawn.

    Attributes:
        seed: of the hash of the key.
        splits: name and share of each.
        in_pieces: whether long sequences were split, and their pieces go where the whole goes.
    """

    seed: int
    splits: tuple[tuple[str, float], ...]
    in_pieces: bool

    def split_of(self, key: bytes) -> str:
        """Draws the split of a record by its key."""
        return draw_split(whole_key(key) if self.in_pieces else key, self.seed, self.splits)


class Counts(NamedTuple):
    """What the job has counted: sequences accepted, and rejected by reason."""

    accepted: int
    rejected: Mapping[str, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Provenance:
    """What the provenance holds that can be checked; None for what it does not hold.

    Attributes:
        shards: name of a shard's file -> what was written to it; shards without a record may lack.
        draw: how splits were drawn.
        counts: what the job counted.
        splits_were_given: whether the sequences came with their split.
    """

    shards: Mapping[str, ShardInfo] | None = None
    draw: Draw | None = None
    counts: Counts | None = None
    splits_were_given: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """All that the metadata say; None for a file that could not be read.

    Attributes:
        splits: name -> its shards.
        contract: what each record must hold.
        lengths: split -> length in timesteps -> number of sequences.
        moments: split -> moments of its values; a split without a record is not there.
        provenance: how it was made.
    """

    splits: Mapping[str, SplitInfo] | None
    contract: RecordContract | None
    lengths: Mapping[str, Mapping[int, int]] | None
    moments: Mapping[str, Moments] | None
    provenance: Provenance


def read_recorded(directory: epath.Path, log: FaultLog) -> Recorded:
    """Reads the metadata; a file that is missing or not as it was written is a fault in `log`."""

    def read(file: str, parse: Callable[[Any], Any]):
        return _read_file(directory, file, parse, log)

    contract = read(FEATURES_FILE, _parse_features)
    return Recorded(
        splits=read(INFO_FILE, _parse_info),
        contract=contract,
        lengths=read(LENGTHS_FILE, _parse_lengths),
        moments=read(
            STATISTICS_FILE,
            lambda content: _parse_statistics(content, contract and contract.num_features),
        ),
        provenance=read(PROVENANCE_FILE, _parse_provenance) or Provenance(),
    )


def _read_file(directory, file: str, parse: Callable[[Any], Any], log: FaultLog):
    try:
        return parse(json.loads((directory / file).read_text()))
    except FileNotFoundError:
        log.add(Fault(file, "the file must exist, it is missing."))
    except (OSError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        log.add(
            Fault(
                file,
                "the file must be as `padless preprocess` wrote it, "
                f"got {type(error).__name__}: {error}",
            )
        )
    return None


def _parse_info(content) -> dict[str, SplitInfo]:
    name = _text(content["name"])
    return {_text(split["name"]): _parse_split(name, split) for split in content["splits"]}


def _parse_split(name: str, content) -> SplitInfo:
    counts = list(map(int, content["shardLengths"]))
    shards = {shard_name(name, content["name"], i, len(counts)): n for i, n in enumerate(counts)}
    return SplitInfo(shards, int(content["numBytes"]))


def _parse_features(content) -> RecordContract:
    features = content["featuresDict"]["features"]
    for name in ("key", "length"):
        if name not in features:
            raise KeyError(name)
    timesteps, num_features = features["sequence"]["tensor"]["shape"]["dimensions"]
    if int(timesteps) != -1 or int(num_features) < 1:
        raise ValueError(f"`sequence` has the shape ({timesteps}, {num_features})")
    return RecordContract(int(num_features), "label" in features)


def _parse_lengths(content) -> dict[str, dict[int, int]]:
    return {
        split: {int(length): operator.index(count) for length, count in histogram.items()}
        for split, histogram in content.items()
    }


def _parse_statistics(content, num_features: int | None) -> dict[str, Moments]:
    names = content["feature_names"]
    if names is not None and num_features not in (None, len(names)):
        raise ValueError(f"{num_features} features have {len(names)} names")
    moments = {split: Moments.from_json(part) for split, part in content["splits"].items()}
    for part in moments.values():
        _check_moments(part, num_features)
    return moments


def _check_moments(moments: Moments, num_features: int | None) -> None:
    if operator.index(moments.timesteps) < 1:
        raise ValueError(f"moments are those of {moments.timesteps} timesteps")
    shape = moments.mean.shape if num_features is None else (num_features,)
    for array in (moments.mean, moments.m2, moments.minimum, moments.maximum):
        if array.shape != shape:
            raise ValueError(f"moments of {num_features} features have the shape {array.shape}")


def _parse_provenance(content) -> Provenance:
    if content["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"the format version is {content['format_version']!r}, not {FORMAT_VERSION}"
        )
    made, shards = content["made"], content.get("shards")
    return Provenance(
        shards=None if shards is None else {k: _parse_shard(s) for k, s in shards.items()},
        draw=_parse_draw(made),
        counts=None if made.get("report") is None else _parse_counts(made["report"]),
        splits_were_given="splits" in made and made["splits"] is None,
    )


def _parse_shard(content) -> ShardInfo:
    records, size = operator.index(content["records"]), operator.index(content["bytes"])
    return ShardInfo(records, size, int(content["crc32c"], 16))


def _parse_draw(made) -> Draw | None:
    if made.get("splits") is None or made.get("seed") is None:
        return None
    splits = tuple((_text(name), float(share)) for name, share in made["splits"])
    if not splits:
        raise ValueError("there is no split to draw")
    return Draw(
        operator.index(made["seed"]), splits, made.get("rules", {}).get("too_long") == "split"
    )


def _parse_counts(report) -> Counts:
    rejected = {reason: operator.index(n) for reason, n in report["rejected"].items()}
    return Counts(operator.index(report["accepted"]), rejected)


def _text(value) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is {value!r}")
    return value
