"""Single shards of a dataset, for work that is spread over many processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from etils import epath

from padless.pipeline.dataset.directory import SequenceDataset, open_dataset, open_records
from padless.pipeline.dataset.metadata import INFO
from padless.pipeline.dataset.records import RecordFormat
from padless.pipeline.paths import make_absolute


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One shard of a dataset; can be pickled.

    Attributes:
        file: its TFRecord file, by an absolute path.
        split: name of its split.
        num_records: number of its records.
        record_format: how they are read.
    """

    file: str
    split: str
    num_records: int
    record_format: RecordFormat

    def open(self) -> SequenceDataset:
        """Opens the shard as a dataset of its one split; reads every record once.

        Raises:
            FileNotFoundError: if the file is missing.
            ValueError: if a record is damaged, or there are not as many as the dataset counts.
        """
        dataset = open_records([self.file], self.record_format, split=self.split)
        if (received := dataset.split(self.split).num_sequences) != self.num_records:
            raise ValueError(
                f"{self.file}: the shard must hold the {self.num_records:,} records that its "
                f"dataset counts, got {received:,}."
            )
        return dataset


def list_shards(
    directory: epath.PathLike, splits: Sequence[str] | None = None
) -> tuple[SequenceDataset, list[Shard]]:
    """Opens a dataset directory and lists its shards, those without a record left out.

    Args:
        directory: dataset directory.
        splits: names of the splits to take, in order; all if None.

    Raises:
        FileNotFoundError: if the dataset or a part of it is missing.
        ValueError: if a metadata file does not hold what it should, or a split is unknown.
    """
    dataset = open_dataset(directory)
    described = INFO.read(epath.Path(directory)).splits
    shards = [
        Shard(make_absolute(file), name, count, dataset.record_format)
        for name in (dataset.splits if splits is None else splits)
        for file, count in zip(
            dataset.split(name).files, described[name].shards.values(), strict=True
        )
        if count
    ]
    dataset.check_unchanged()  # both were read of the same files
    return dataset, shards
