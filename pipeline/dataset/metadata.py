"""The metadata files of a dataset directory: what each of them holds, written and read.

| file                | holds                                         | written and read by |
|---------------------|-----------------------------------------------|---------------------|
| `dataset_info.json` | name; records of each shard, bytes of a split | `tfds_files`        |
| `features.json`     | what a record holds                           | `tfds_files`        |
| `lengths.json`      | `{split: {length: number of sequences}}`      | this file           |
| `statistics.json`   | names; offsets; moments of each split         | this file           |
| `provenance.json`   | how it was made; what each file must hold     | `provenance`        |

A function that begins with `format` returns what a file holds, the one that begins with `parse`
reads it again; the `MetadataFile`s pair files with those. Neither needs TFDS or TensorFlow.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from etils import epath

from padless.pipeline.dataset.checksums import FileInfo
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.json_content import check_string, encode_json, load_json
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.names import (
    FEATURES_FILE,
    INFO_FILE,
    LENGTHS_FILE,
    PROVENANCE_FILE,
    STATISTICS_FILE,
    shard_name,
)
from padless.pipeline.dataset.provenance import Made, ShardInfo, encode_provenance, parse_provenance
from padless.pipeline.dataset.tfds_files import (
    DatasetInfo,
    SplitInfo,
    format_features,
    format_info,
    parse_features,
    parse_info,
)

_MOST = 2**40  # of timesteps and of sequences: what is more is no length of anything
METADATA_FILES = (INFO_FILE, FEATURES_FILE, LENGTHS_FILE, STATISTICS_FILE, PROVENANCE_FILE)

_Parsed = TypeVar("_Parsed")


@dataclasses.dataclass(frozen=True, slots=True)
class ShardSummary:
    """What a writer knows of a shard that it has written.

    Attributes:
        split: name of its split.
        shard: position among the split's shards.
        num_bytes: size of the file.
        lengths: length in timesteps -> number of sequences.
        moments: moments of its sequences.
        crc32c: CRC-32C of the file.
    """

    split: str
    shard: int
    num_bytes: int
    lengths: Mapping[int, int]
    moments: Moments
    crc32c: int

    @property
    def num_records(self) -> int:
        """Number of sequences."""
        return sum(self.lengths.values())

    @property
    def info(self) -> ShardInfo:
        """What the provenance keeps of it."""
        return ShardInfo(self.num_records, self.num_bytes, self.crc32c)


class Statistics(NamedTuple):
    """What `statistics.json` holds.

    Attributes:
        feature_names: one name per feature, or None where the input had none.
        moments: split -> moments of its values; a split without a record is not there.
        offsets: what was subtracted from each feature before it became float32, or None.
        masks_missing: whether a value may be missing, which is NaN.
        static_columns: names of the columns that are carried and hold a number, in order.
    """

    feature_names: tuple[str, ...] | None
    moments: Mapping[str, Moments]
    offsets: tuple[float, ...] | None = None
    masks_missing: bool = False
    static_columns: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class MetadataFile(Generic[_Parsed]):
    """One of the files, as it is read.

    Attributes:
        name: its name in the directory.
        parse: turns what its JSON holds into what is returned.
    """

    name: str
    parse: Callable[[Any], _Parsed]

    def read(self, directory: epath.Path) -> _Parsed:
        """Reads the file of a dataset directory.

        Raises:
            FileNotFoundError: if it is missing.
            ValueError: if it is not as padless wrote it; does not name the file.
        """
        return load_json((directory / self.name).read_bytes(), self.parse)


def encode_metadata(
    shards: Sequence[ShardSummary],
    *,
    name: str,
    num_shards: Mapping[str, int],
    contract: RecordContract,
    feature_names: Sequence[str] | None,
    made: Made | None,
    offsets: Sequence[float] | None = None,
    others: Mapping[str, FileInfo] | None = None,
) -> dict[str, bytes]:
    """Returns the bytes of each metadata file of a dataset whose shards are written.

    Args:
        shards: a summary of each shard, in any order; those without a record may be left out.
        name: name of the dataset, as in the shards' names.
        num_shards: split -> number of shards; its order is the order of the splits.
        contract: what every record holds.
        feature_names: one name per feature, or None.
        made: how the dataset was made, or None where no job made it.
        offsets: what was subtracted from each feature before it became float32, or None.
        others: name of each further file -> what was written to it.
    """
    by_split = {
        split: sorted((s for s in shards if s.split == split), key=lambda s: s.shard)
        for split in num_shards
    }
    names = {
        split: [shard_name(name, split, shard, count) for shard in range(count)]
        for split, count in num_shards.items()
    }
    moments = {
        split: merge_moments(part.moments for part in parts)
        for split, parts in by_split.items()
        if parts
    }
    written = {names[part.split][part.shard]: part for parts in by_split.values() for part in parts}
    info = DatasetInfo(name, {split: _sum_split(names[split], written) for split in num_shards})
    statistics = Statistics(
        tuple(feature_names) if feature_names else None,
        moments,
        None if offsets is None else tuple(offsets),
        contract.masks_missing,
        contract.static_columns,
    )
    files = {
        INFO_FILE: encode_json(format_info(info), end=""),
        FEATURES_FILE: encode_json(format_features(contract), indent=4, end=""),
        LENGTHS_FILE: encode_json(_format_lengths(by_split)),
        STATISTICS_FILE: encode_json(_format_statistics(statistics)),
    }
    checksums = {name: FileInfo.of(data) for name, data in files.items()} | dict(others or {})
    shards_written = {name: part.info for name, part in written.items()}
    return files | {PROVENANCE_FILE: encode_provenance(made, shards_written, checksums)}


def parse_lengths(content: Any) -> dict[str, dict[int, int]]:
    """Reads `lengths.json`: split -> length in timesteps -> number of sequences.

    Raises:
        AttributeError, TypeError, ValueError: if it is anything else.
    """
    return {split: _parse_histogram(histogram) for split, histogram in content.items()}


def parse_statistics(content: Any, num_features: int | None = None) -> Statistics:
    """Reads `statistics.json`.

    Args:
        content: what the file holds.
        num_features: values per timestep, or None where that is not known.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: if it is anything else.
    """
    names = content["feature_names"]
    if names is not None:
        if not isinstance(names, list):
            raise TypeError(f"`feature_names` must be a list or null, got {names!r}.")
        names = tuple(check_string(name) for name in names)
        if num_features not in (None, len(names)):
            raise ValueError(f"{num_features} features must have as many names, got {len(names)}.")
    moments = {split: Moments.from_json(part) for split, part in content["splits"].items()}
    for part in moments.values():
        _check_moments(part, num_features)
    if not isinstance(masks_missing := content["masks_missing"], bool):
        raise TypeError(f"`masks_missing` must be true or false, got {masks_missing!r}.")
    offsets = _parse_offsets(content["offsets"], num_features)
    if not isinstance(static := content["static_columns"], list):
        raise TypeError(f"`static_columns` must be a list, got {static!r}.")
    return Statistics(names, moments, offsets, masks_missing, tuple(map(check_string, static)))


INFO = MetadataFile(INFO_FILE, parse_info)
FEATURES = MetadataFile(FEATURES_FILE, parse_features)
LENGTHS = MetadataFile(LENGTHS_FILE, parse_lengths)
PROVENANCE = MetadataFile(PROVENANCE_FILE, parse_provenance)


def statistics_of(num_features: int | None) -> MetadataFile[Statistics]:
    """Returns how `statistics.json` is read, given what `parse_statistics` is given."""
    return MetadataFile(STATISTICS_FILE, lambda content: parse_statistics(content, num_features))


def _parse_histogram(content: Any) -> dict[int, int]:
    if odd := [length for length in content if str(int(length)) != length]:
        raise ValueError(f"a length must be written as a number alone, got {odd[0]!r}.")
    histogram = {int(length): operator.index(count) for length, count in content.items()}
    for length, count in histogram.items():
        if not 1 <= length <= _MOST or not 1 <= count <= _MOST:
            raise ValueError(
                f"lengths and counts must be integers from 1 to {_MOST}, got {length}: {count}."
            )
    return histogram


def _sum_split(names: Sequence[str], written: Mapping[str, ShardSummary]) -> SplitInfo:
    parts = {name: written[name] for name in names if name in written}
    counts = {name: parts[name].num_records if name in parts else 0 for name in names}
    return SplitInfo(counts, sum(part.num_bytes for part in parts.values()))


def _format_lengths(by_split: Mapping[str, Sequence[ShardSummary]]) -> dict[str, dict[int, int]]:
    return {split: dict(sorted(_sum_lengths(parts).items())) for split, parts in by_split.items()}


def _sum_lengths(shards: Sequence[ShardSummary]) -> collections.Counter[int]:
    return sum((collections.Counter(shard.lengths) for shard in shards), collections.Counter())


def _format_statistics(statistics: Statistics) -> dict[str, Any]:
    moments = {split: part.to_json() for split, part in statistics.moments.items()}
    names = statistics.feature_names
    return {
        "feature_names": names and list(names),
        "offsets": statistics.offsets and list(statistics.offsets),
        "masks_missing": statistics.masks_missing,
        "static_columns": list(statistics.static_columns),
        "splits": moments,
    }


def _parse_offsets(content: Any, num_features: int | None) -> tuple[float, ...] | None:
    if content is None:
        return None
    offsets = tuple(map(float, content))
    if num_features not in (None, len(offsets)) or not all(map(math.isfinite, offsets)):
        raise ValueError(f"`offsets` must be {num_features} finite numbers, got {content!r}.")
    return offsets


def _check_moments(moments: Moments, num_features: int | None) -> None:
    if operator.index(moments.timesteps) < 1:
        raise ValueError(f"moments are those of {moments.timesteps} timesteps")
    shape = moments.mean.shape if num_features is None else (num_features,)
    if (moments.counts < 0).any() or (moments.counts > moments.timesteps).any():
        counts, timesteps = moments.counts.tolist(), moments.timesteps
        raise ValueError(f"moments of {timesteps} timesteps are those of {counts} values")
    for array in (moments.counts, moments.mean, moments.m2, moments.minimum, moments.maximum):
        if array.shape != shape:
            raise ValueError(f"moments of {num_features} features have the shape {array.shape}")
