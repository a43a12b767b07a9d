"""Writes shards and rejects: each file whole or not at all, the same bytes whoever writes it.

A writer may run twice, on a retry or as a backup: it writes a temporary file of its own and renames
it, so that the last one replaces the first one's file by an equal one. Temporary files stand in
`TEMPORARY_DIRECTORY`, which the launching process removes before the dataset appears.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import uuid
from collections.abc import Iterable, Iterator

import numpy as np
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.fragments import Reject, Sequence
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.splits import Layout, order_in_shard
from padless.pipeline.directory import ShardSummary, shard_name
from padless.pipeline.moments import Moments, merge_moments
from padless.pipeline.records import encode_example, frame_record

TEMPORARY_DIRECTORY = "temporary"
REJECTS_DIRECTORY = "rejects"
REJECTS_FILE = "rejects-00000-of-00001.jsonl"
MAX_EXAMPLES = 5
_MOMENTS_CHUNK = 256  # sequences whose moments are taken at once


@dataclasses.dataclass(frozen=True, slots=True)
class RejectSummary:
    """What the writer of the rejects knows of them.

    Attributes:
        counts: reason -> number of rejects, sorted by reason.
        examples: messages of the first few.
    """

    counts: dict[str, int]
    examples: tuple[str, ...]

    @property
    def total(self) -> int:
        """Number of rejects."""
        return sum(self.counts.values())


@dataclasses.dataclass(frozen=True, slots=True)
class DatasetWriter:
    """Writes the data files of one dataset.

    Attributes:
        directory: where, a directory that exists.
        name: name of the dataset, in the shards' names.
        options: the job's options.
    """

    directory: str
    name: str
    options: PreprocessOptions

    def write_shard(
        self, split: str, shard: int, sequences: Iterable[Sequence], layout: Layout
    ) -> ShardSummary:
        """Writes one shard, in the order of the options whatever the order of the sequences."""
        ordered = sorted(sequences, key=lambda sequence: order_in_shard(sequence, self.options))
        path = self._shard_path(split, shard, layout)
        return ShardSummary(
            split=split,
            shard=shard,
            num_bytes=self.write_file(path, map(_encode, ordered)),
            lengths=dict(collections.Counter(len(sequence.values) for sequence in ordered)),
            moments=_take_moments(ordered),
        )

    def write_empty_shards(self, shards: Iterable[ShardSummary], layout: Layout) -> None:
        """Writes the shards of the layout that no sequence was drawn for: TFDS opens them all."""
        written = {(shard.split, shard.shard) for shard in shards}
        for split, num_shards in layout.num_shards.items():
            for shard in range(num_shards):
                if (split, shard) not in written:
                    self.write_file(self._shard_path(split, shard, layout), ())

    def write_rejects(self, rejects: Iterable[Reject]) -> RejectSummary:
        """Writes the rejects, in the order of the input, one JSON line each."""
        ordered = sorted(rejects, key=lambda reject: reject.order)
        path = FileSystems.join(self.directory, REJECTS_DIRECTORY, REJECTS_FILE)
        self.write_file(path, (f"{reject.to_json()}\n".encode() for reject in ordered))
        counts = collections.Counter(reject.reason for reject in ordered)
        examples = tuple(reject.message for reject in ordered[:MAX_EXAMPLES])
        return RejectSummary(dict(sorted(counts.items())), examples)

    def write_file(self, path: str, chunks: Iterable[bytes]) -> int:
        """Writes a temporary file and renames it; returns its size in bytes."""
        temporary = FileSystems.join(self.directory, TEMPORARY_DIRECTORY, uuid.uuid4().hex)
        num_bytes = 0
        with FileSystems.create(temporary, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            for chunk in chunks:
                file.write(chunk)
                num_bytes += len(chunk)
        FileSystems.rename([temporary], [path])
        return num_bytes

    def _shard_path(self, split: str, shard: int, layout: Layout) -> str:
        name = shard_name(self.name, split, shard, layout.num_shards[split])
        return FileSystems.join(self.directory, name)


def _encode(sequence: Sequence) -> bytes:
    return frame_record(encode_example(sequence.key, sequence.values, sequence.label))


def _take_moments(sequences: list[Sequence]) -> Moments:
    """Takes the moments in chunks of a fixed size, so that the digits are always the same."""
    return merge_moments(
        Moments.of(np.concatenate([sequence.values for sequence in chunk]))
        for chunk in _chunk(sequences)
    )


def _chunk(sequences: list[Sequence]) -> Iterator[list[Sequence]]:
    remaining = iter(sequences)
    while chunk := list(itertools.islice(remaining, _MOMENTS_CHUNK)):
        yield chunk
