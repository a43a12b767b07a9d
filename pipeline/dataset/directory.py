"""The dataset directory: its shards' names and its metadata, written and read side by side.

```
<name>-<split>.tfrecord-00000-of-000NN   the records, see `padless.pipeline.dataset.records`
dataset_info.json, features.json         TFDS's own: `tfds.builder_from_directory` opens it
lengths.json                             {split: {length: number of sequences}}
statistics.json                          feature names; moments and range of each split's features
provenance.json                             how it was made; records, bytes and CRC of each shard
rejects/rejects-00000-of-00001.jsonl     every rejected input with its reason
```
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.names import (
    INFO_FILE,
    LENGTHS_FILE,
    PROVENANCE_FILE,
    STATISTICS_FILE,
    TRAINING_SPLIT,
    shard_name,
)
from padless.pipeline.dataset.records import RecordFormat, read_lengths

FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """One split of a dataset.

    Attributes:
        name: its name.
        files: its TFRecord shards, in order.
        lengths: length in timesteps -> number of sequences, ascending.
    """

    name: str
    files: tuple[epath.Path, ...]
    lengths: Mapping[int, int]

    @property
    def num_sequences(self) -> int:
        """Number of sequences in all shards."""
        return sum(self.lengths.values())


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceDataset:
    """A dataset of variable-length sequences on disk, opened.

    Attributes:
        name: its name.
        record_format: how its records are read.
        splits: name -> `Split`, in the order of the directory.
        moments: moments of the training split, or None where there is none.
        feature_names: one name per feature, or None where the input had none.
    """

    name: str
    record_format: RecordFormat
    splits: Mapping[str, Split]
    moments: Moments | None = None
    feature_names: tuple[str, ...] | None = None

    def split(self, name: str) -> Split:
        """Returns the split of that name.

        Raises:
            ValueError: if there is none.
        """
        if name not in self.splits:
            raise ValueError(
                f"Dataset {self.name!r} must have a split {name!r}, it has {sorted(self.splits)}."
            )
        return self.splits[name]


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


def write_metadata(
    directory: epath.PathLike,
    shards: Sequence[ShardSummary],
    *,
    name: str,
    num_shards: Mapping[str, int],
    num_features: int,
    has_label: bool,
    feature_names: Sequence[str] | None,
    provenance: Mapping,
) -> None:
    """Writes all metadata of a dataset whose shards are written.

    Args:
        directory: where to write them; every shard counted in `num_shards` must exist, if empty.
        shards: a summary of each shard, in any order.
        name: name of the dataset, as in the shards' names.
        num_shards: split -> number of shards; its order is the order of the splits.
        num_features: values per timestep.
        has_label: whether the records hold a label.
        feature_names: one name per feature, or None.
        provenance: how the dataset was made, as JSON can hold it.
    """
    directory = epath.Path(directory)
    by_split = {
        split: sorted((s for s in shards if s.split == split), key=lambda s: s.shard)
        for split in num_shards
    }
    _write_tfds_metadata(
        directory,
        by_split,
        name=name,
        num_shards=num_shards,
        features=_tfds_features(num_features, has_label),
    )
    _write_json(
        directory / LENGTHS_FILE,
        {split: dict(sorted(_sum_lengths(parts).items())) for split, parts in by_split.items()},
    )
    moments = {
        split: merge_moments(part.moments for part in parts).to_json()
        for split, parts in by_split.items()
        if parts
    }
    names = feature_names and list(feature_names)
    _write_json(directory / STATISTICS_FILE, {"feature_names": names, "splits": moments})
    records = {
        shard_name(name, split, part.shard, num_shards[split]): _describe_shard(part)
        for split, parts in by_split.items()
        for part in parts
    }
    _write_json(
        directory / PROVENANCE_FILE,
        {"format_version": FORMAT_VERSION, "made": dict(provenance), "shards": records},
    )


def open_dataset(directory: epath.PathLike) -> SequenceDataset:
    """Opens a dataset directory that `padless preprocess` wrote.

    Only metadata are read.

    Raises:
        FileNotFoundError: if the directory, one of its metadata files or a shard is missing.
        ValueError: if a metadata file does not hold what it should.
    """
    import tensorflow_datasets as tfds

    directory = epath.Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: the dataset directory does not exist.")
    info = _read_json(directory / INFO_FILE)
    lengths = _read_json(directory / LENGTHS_FILE)
    statistics = _read_json(directory / STATISTICS_FILE)
    try:
        features = tfds.features.FeaturesDict.from_config(os.fspath(directory))
        num_features = features["sequence"].shape[1]
        num_shards = {split["name"]: len(split["shardLengths"]) for split in info["splits"]}
        splits = {
            split: Split(
                split,
                _existing_shards(directory, info["name"], split, num_shards[split]),
                {int(length): count for length, count in histogram.items()},
            )
            for split, histogram in lengths.items()
        }
        training = statistics["splits"].get(TRAINING_SPLIT)
        moments = training and Moments.from_json(training)
        names = statistics["feature_names"] and tuple(statistics["feature_names"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{directory}: the metadata must be as `padless preprocess` wrote them, "
            f"got {type(error).__name__}: {error}"
        ) from error
    return SequenceDataset(
        name=info["name"],
        record_format=RecordFormat(num_features, label="label" if "label" in features else None),
        splits=splits,
        moments=moments,
        feature_names=names,
    )


def open_records(
    files: Sequence[epath.PathLike], record_format: RecordFormat, *, split: str = TRAINING_SPLIT
) -> SequenceDataset:
    """Opens TFRecords that padless did not write, as a dataset of one split.

    Every record is read once to count the lengths; the CRCs are checked on the way. The dataset has
    no moments, so that a model trained on it is not given a standardization.

    Args:
        files: TFRecord files of `tf.train.Example`, uncompressed.
        record_format: names of their features; see `RecordFormat`.
        split: the name that the split gets.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if there is no file or no record, a record is damaged, or one lacks a length or
            has one below 1.
    """
    files = tuple(epath.Path(file) for file in files)
    lengths = collections.Counter()
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{file}: the TFRecord file does not exist.")
        counted = collections.Counter(read_lengths(file, record_format))
        if counted and min(counted) < 1:
            raise ValueError(f"{file}: a length must be at least 1, got {min(counted)}.")
        lengths += counted
    if not lengths:
        raise ValueError(f"`files` must hold at least one record, got none in {list(files)}.")
    return SequenceDataset(
        name=split,
        record_format=record_format,
        splits={split: Split(split, files, dict(sorted(lengths.items())))},
    )


def _tfds_features(num_features: int, has_label: bool):
    import tensorflow_datasets as tfds

    features = {
        "key": tfds.features.Text(),
        "length": np.int64,
        "sequence": tfds.features.Tensor(shape=(None, num_features), dtype=np.float32),
    }
    return tfds.features.FeaturesDict(
        features | ({"label": tfds.features.Text()} if has_label else {})
    )


def _write_tfds_metadata(directory, by_split, *, name, num_shards, features) -> None:
    """Writes `dataset_info.json` and `features.json` from counts, without reading a record."""
    import tensorflow_datasets as tfds

    def split_info(split, parts):
        counts = dict.fromkeys(range(num_shards[split]), 0)
        counts |= {part.shard: part.num_records for part in parts}
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=list(counts.values()),
            num_bytes=sum(part.num_bytes for part in parts),
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=directory,
                dataset_name=name,
                split=split,
                filetype_suffix="tfrecord",
            ),
        )

    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=features,
        split_infos=[split_info(split, parts) for split, parts in by_split.items()],
        description="Variable-length sequences, written by padless.",
        check_data=False,
    )


def _existing_shards(directory, name, split, num_shards) -> tuple[epath.Path, ...]:
    files = tuple(directory / shard_name(name, split, i, num_shards) for i in range(num_shards))
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{file}: this shard of split {split!r} is missing.")
    return files


def _sum_lengths(shards: Sequence[ShardSummary]) -> collections.Counter:
    return sum((collections.Counter(shard.lengths) for shard in shards), collections.Counter())


def _describe_shard(shard: ShardSummary) -> dict:
    return {
        "records": shard.num_records,
        "bytes": shard.num_bytes,
        "crc32c": f"{shard.crc32c:08x}",
    }


def _write_json(path: epath.Path, content) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def _read_json(path: epath.Path):
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: {path.parent} is not a dataset that `padless preprocess` finished."
        )
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} must hold JSON: {error}") from error
