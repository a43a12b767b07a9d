"""The dataset directory, opened: its splits, their shards and lengths.

```
<name>-<split>.tfrecord-00000-of-000NN   the records, see `padless.pipeline.dataset.records`
dataset_info.json, features.json         TFDS's own: `tfds.builder_from_directory` opens it
lengths.json                             {split: {length: number of sequences}}
statistics.json                          feature names; offsets; moments and range of the features
provenance.json                          how it was made; records, bytes and CRC of each shard
rejects/rejects-00000-of-00001.jsonl     every rejected input with its reason
```
"""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from etils import epath

from padless.pipeline.dataset.metadata import (
    FEATURES,
    INFO,
    LENGTHS,
    METADATA_FILES,
    PROVENANCE,
    MetadataFile,
    statistics_of,
)
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.names import STATISTICS_FILE, TRAINING_SPLIT
from padless.pipeline.dataset.provenance import ShardInfo
from padless.pipeline.dataset.records import RecordFormat, read_lengths
from padless.pipeline.dataset.snapshot import Snapshot
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names

_Parsed = TypeVar("_Parsed")


@dataclasses.dataclass(frozen=True, slots=True)
class Split:
    """One split of a dataset.

    Attributes:
        name: its name.
        files: its TFRecord shards, in order.
        lengths: length in timesteps -> number of sequences, ascending.
        snapshot: what the dataset's files were when it was opened, or None if nobody noted it.
    """

    name: str
    files: tuple[epath.Path, ...]
    lengths: Mapping[int, int]
    snapshot: Snapshot | None = dataclasses.field(default=None, compare=False, repr=False)

    def check_unchanged(self) -> None:
        """Checks that the dataset's files hold what they held when it was opened.

        Raises:
            DatasetChangedError: if one does not.
        """
        if self.snapshot is not None:
            self.snapshot.check()

    @property
    def num_sequences(self) -> int:
        """Number of sequences in all shards."""
        return sum(self.lengths.values())


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceDataset:
    """A dataset of variable-length sequences on disk, opened.

    Attributes:
        name: that of its directory, by which messages call it.
        record_format: how its records are read.
        splits: name -> `Split`, in the order of the directory.
        moments: moments of the training split, or None where there is none.
        split_moments: name of a split -> its moments, where they are known.
        feature_names: one name per feature, or None where the input had none.
        offsets: what `padless preprocess --center` subtracted from each feature, so that a value in
            the units of the input is one of a record plus its offset; None for nothing.
        masks_missing: whether a value may be missing, which is NaN, by `padless preprocess
            --missing mask`.
        static_columns: names of the columns that are carried and hold a number, by `padless
            preprocess --static-columns`, in the order of that option.
    """

    name: str
    record_format: RecordFormat
    splits: Mapping[str, Split]
    moments: Moments | None = None
    feature_names: tuple[str, ...] | None = None
    offsets: tuple[float, ...] | None = None
    masks_missing: bool = False
    static_columns: tuple[str, ...] = ()
    split_moments: Mapping[str, Moments] = dataclasses.field(default_factory=dict)

    def split(self, name: str) -> Split:
        """Returns the split of that name.

        Raises:
            ValueError: if there is none.
        """
        if name not in self.splits:
            raise ValueError(
                f"Dataset {self.name!r} must have a split {name!r}, it has "
                f"{list_names(sorted(self.splits))}."
                f"{did_you_mean(name, self.splits)}"
            )
        return self.splits[name]

    def feature_name(self, feature: int) -> str:
        """Names a feature as the input did, or by its position."""
        return self.feature_names[feature] if self.feature_names else f"feature {feature}"

    def check_unchanged(self) -> None:
        """Checks that the files hold what they held when the dataset was opened.

        Raises:
            DatasetChangedError: if one does not; names it.
        """
        for split in self.splits.values():
            return split.check_unchanged()  # all have the same snapshot


def check_is_dataset(directory: epath.Path) -> None:
    """Checks that a directory holds a dataset, which may be damaged.

    Raises:
        FileNotFoundError: if it is not there, or holds no file of metadata at all.
        NotADirectoryError: if it is a file.
    """
    remedy = "`padless preprocess` makes a dataset of raw files."
    if not directory.exists():
        raise FileNotFoundError(f"{directory}: the dataset directory does not exist.")
    if not directory.is_dir():
        raise NotADirectoryError(
            f"{directory}: must be a dataset directory, it is a file. {remedy}"
        )
    if not any((directory / name).exists() for name in METADATA_FILES):
        raise FileNotFoundError(
            f"{directory}: must be a dataset directory, which holds {INFO.name} and other files; "
            f"it has none of them. {remedy}"
        )


def open_dataset(directory: epath.PathLike) -> SequenceDataset:
    """Opens a dataset directory that `padless preprocess` wrote.

    Only metadata are read, without TFDS or TensorFlow.

    Raises:
        DatasetChangedError: if it is replaced at the same time.
        FileNotFoundError: if the directory, one of its metadata files or a shard is missing.
        NotADirectoryError: if it is a file.
        ValueError: if a metadata file does not hold what it should.
    """
    directory = epath.Path(directory)
    check_is_dataset(directory)
    snapshot = Snapshot.take(directory, metadata=METADATA_FILES)
    info = _read(directory, INFO)
    contract = _read(directory, FEATURES)
    lengths = _read(directory, LENGTHS)
    statistics = _read(directory, statistics_of(contract.num_features))
    for split, moments in statistics.moments.items():
        if (broken := moments.find_broken()) is not None:
            raise ValueError(f"{directory / STATISTICS_FILE}: the split {split!r} {broken}")
    if unknown := sorted({*statistics.static_columns} - {*contract.meta_columns}):
        raise ValueError(
            f"{directory / STATISTICS_FILE}: `static_columns` must be carried by the records, as "
            f"{FEATURES.name} says, got {list_names(unknown)}, which are not."
        )
    if lengths.keys() != info.splits.keys():
        raise ValueError(
            f"{directory / LENGTHS.name}: the splits must be those of {INFO.name}, "
            f"{list_names(sorted(info.splits))}, got {list_names(sorted(lengths))}."
        )
    for name, described in info.splits.items():
        expected, counted = sum(described.shards.values()), sum(lengths[name].values())
        if expected != counted:
            raise ValueError(
                f"{directory / LENGTHS.name}: the split {name!r} must count the {expected:,} "
                f"sequences of {INFO.name}, got {counted:,}."
            )
    shards = [shard for split in info.splits.values() for shard in split.shards]
    snapshot = snapshot.with_shards(shards, _read_written(directory))
    dataset = SequenceDataset(
        # The shards keep the name of the directory that they were made in.
        name=directory.name or info.name,
        record_format=RecordFormat(
            contract.num_features,
            label="label" if contract.has_label else None,
            meta_columns=contract.meta_columns,
        ),
        splits={
            name: Split(name, _find_shards(snapshot, name, split.shards), lengths[name], snapshot)
            for name, split in info.splits.items()
        },
        moments=statistics.moments.get(TRAINING_SPLIT),
        feature_names=statistics.feature_names,
        offsets=statistics.offsets,
        masks_missing=statistics.masks_missing,
        static_columns=statistics.static_columns,
        split_moments=statistics.moments,
    )
    dataset.check_unchanged()  # it may have been replaced while it was opened
    return dataset


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
    snapshot = Snapshot.take(epath.Path(), [os.fspath(file) for file in files])
    lengths: collections.Counter[int] = collections.Counter()
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"{file}: the TFRecord file does not exist.")
        counted = collections.Counter(read_lengths(file, record_format))
        if counted and min(counted) < 1:
            raise ValueError(f"{file}: a length must be at least 1, got {min(counted)}.")
        lengths += counted
    if not lengths:
        raise ValueError(
            f"`files` must hold at least one record, got none in {list_names(map(str, files))}."
        )
    dataset = SequenceDataset(
        name=split,
        record_format=record_format,
        splits={split: Split(split, files, dict(sorted(lengths.items())), snapshot)},
    )
    dataset.check_unchanged()
    return dataset


def _read(directory: epath.Path, file: MetadataFile[_Parsed]) -> _Parsed:
    path = directory / file.name
    try:
        return file.read(directory)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is missing: {directory} is not a dataset that `padless preprocess` finished."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_written(directory: epath.Path) -> Mapping[str, ShardInfo]:
    """Reads what was written to each shard, as far as that is recorded."""
    try:
        return PROVENANCE.read(directory).shards or {}
    except (OSError, ValueError):
        return {}  # which `padless verify` reports


def _find_shards(snapshot: Snapshot, split: str, names: Iterable[str]) -> tuple[epath.Path, ...]:
    files = tuple(snapshot.directory / name for name in names)
    for file in files:
        if snapshot.stamps[file.name] is None:
            raise FileNotFoundError(f"{file}: this shard of split {split!r} is missing.")
    return files
