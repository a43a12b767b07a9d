"""Writes shards, rejects and metadata: each file whole or not at all, the same bytes each time.

A writer may run twice, on a retry or as a backup: it writes a temporary file of its own and renames
it, so that the last one replaces the first one's file by an equal one. Temporary files are in
`TEMPORARY_DIRECTORY`, which is removed before the dataset appears.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

import google_crc32c
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.assembly.blocks import BlockReader, write_or_delete
from padless.beam_jobs.assembly.segments import RejectSegment, Segment, read_in_input_order
from padless.beam_jobs.output.layout import Layout
from padless.pipeline.dataset.checksums import FileInfo
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.metadata import ShardSummary, encode_metadata
from padless.pipeline.dataset.moments import merge_moments
from padless.pipeline.dataset.names import REJECTS_FILE, shard_name
from padless.pipeline.dataset.provenance import Made

TEMPORARY_DIRECTORY = "temporary"
MAX_EXAMPLES = 5


@dataclasses.dataclass(frozen=True, slots=True)
class RejectSummary:
    """What the writer of the rejects knows of them.

    Attributes:
        counts: reason -> number of rejects, sorted by reason.
        examples: messages of a few: the first of each reason, then those that come first.
        written: what was written to their file.
    """

    counts: dict[str, int]
    examples: tuple[str, ...]
    written: FileInfo | None = None

    @property
    def total(self) -> int:
        """Number of rejects."""
        return sum(self.counts.values())


class _Examples:
    """Keeps a few of the rejects: the first of each reason, then those that come first.

    Args:
        num_reasons: how many reasons there are.
    """

    def __init__(self, num_reasons: int):
        self._num_reasons = num_reasons
        self._of_reasons: dict[str, tuple[int, str]] = {}
        self._others: list[tuple[int, str]] = []

    def noted(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yields the lines of the rejects, in their order, and notes some."""
        wanted = min(self._num_reasons, MAX_EXAMPLES)
        for number, line in enumerate(lines):
            if number < MAX_EXAMPLES or len(self._of_reasons) < wanted:
                self._note(number, json.loads(line))
            yield line

    def _note(self, number: int, reject: Mapping[str, str]) -> None:
        example = number, reject["message"]
        if self._of_reasons.setdefault(reject["reason"], example) is not example:
            self._others.append(example)

    def messages(self) -> tuple[str, ...]:
        """Returns the messages of those that were kept, in their order."""
        kept = [*self._of_reasons.values(), *self._others][:MAX_EXAMPLES]
        return tuple(message for _, message in sorted(kept))


@dataclasses.dataclass(frozen=True, slots=True)
class DatasetWriter:
    """Writes the files of one dataset.

    Attributes:
        directory: where, a directory that exists.
        name: name of the dataset, in the shards' names.
        order: `"hash"` or `"input"`.
    """

    directory: str
    name: str
    order: str

    @property
    def temporary(self) -> str:
        """Directory for blocks and for files that are not whole yet."""
        return FileSystems.join(self.directory, TEMPORARY_DIRECTORY)

    def write_shard(
        self, split: str, shard: int, segments: Iterable[Segment], layout: Layout
    ) -> ShardSummary:
        """Writes one shard, in the order of the job whatever the order of the segments."""
        segments = sorted(segments, key=lambda segment: segment.partition)
        chunks = read_in_input_order(segments) if self.order == "input" else _read_whole(segments)
        name = shard_name(self.name, split, shard, layout.num_shards[split])
        written = self.write_file(FileSystems.join(self.directory, name), chunks)
        return ShardSummary(
            split=split,
            shard=shard,
            num_bytes=written.num_bytes,
            lengths=dict(
                sum((collections.Counter(r.lengths) for r in segments), collections.Counter())
            ),
            moments=merge_moments(segment.moments for segment in segments),
            crc32c=written.crc32c,
        )

    def write_rejects(self, segments: Iterable[RejectSegment]) -> RejectSummary:
        """Writes the rejects, in the order of the input, one JSON line each."""
        segments = list(segments)
        lines = read_in_input_order(segments) if segments else iter(())
        counts = sum(
            (collections.Counter(segment.counts) for segment in segments), collections.Counter()
        )
        examples = _Examples(len(counts))
        path = FileSystems.join(self.directory, *REJECTS_FILE.split("/"))
        written = self.write_file(path, examples.noted(lines))
        return RejectSummary(dict(sorted(counts.items())), examples.messages(), written)

    def write_metadata(
        self,
        shards: Iterable[ShardSummary],
        layout: Layout,
        *,
        contract: RecordContract,
        feature_names: Sequence[str] | None,
        offsets: Sequence[float] | None,
        made: Made,
        rejects: FileInfo | None,
    ) -> None:
        """Writes the metadata files.

        Args:
            shards: a summary of each shard.
            layout: where the records are.
            contract: what every record holds.
            feature_names: one name per feature, or None.
            offsets: what was subtracted from each feature, or None.
            made: how the dataset was made.
            rejects: what was written to the file of the rejects.
        """
        files = encode_metadata(
            list(shards),
            name=self.name,
            num_shards=layout.num_shards,
            contract=contract,
            feature_names=feature_names,
            offsets=offsets,
            made=made,
            others={} if rejects is None else {REJECTS_FILE: rejects},
        )
        for name, data in files.items():
            self.write_file(FileSystems.join(self.directory, name), [data])

    def write_file(self, path: str, chunks: Iterable[bytes]) -> FileInfo:
        """Writes a temporary file and renames it."""
        num_bytes = crc32c = 0

        def measured() -> Iterator[bytes]:
            nonlocal num_bytes, crc32c
            for chunk in chunks:
                num_bytes += len(chunk)
                crc32c = google_crc32c.extend(crc32c, chunk)
                yield chunk

        temporary = FileSystems.join(self.temporary, uuid.uuid4().hex)
        write_or_delete(temporary, measured())
        FileSystems.rename([temporary], [path])
        return FileInfo(num_bytes, crc32c)


def _read_whole(segments: Iterable[Segment]) -> Iterator[bytes]:
    with BlockReader() as reader:
        for segment in segments:
            yield from reader.read_chunks(segment.records)
