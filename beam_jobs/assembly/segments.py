"""Segments: what one partition holds for one split, encoded and in order, ready to be written.

A segment's records follow one another in a block, so that writing a shard copies bytes. Its index
holds where each record was in the input: for the order of the input, and for the rejects.
"""

from __future__ import annotations

import collections
import dataclasses
import pickle
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq

import numpy as np

from padless.beam_jobs.assembly.blocks import Block, BlockReader, write_blocks
from padless.beam_jobs.fragments import Place, Reject, Sequence
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.keys import hash_key
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.records import encode_example

_MOMENTS_CHUNK = 256  # sequences whose moments are taken at once


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """Sequences of one partition, one split and one number of features.

    Attributes:
        partition: number of the partition.
        split: name of the split.
        num_features: values per timestep.
        lengths: length in timesteps -> number of sequences.
        moments: moments of the sequences.
        records: their framed records, in the order of the hash or of the input.
        index: an `Index`, pickled.
    """

    partition: int
    split: str
    num_features: int
    lengths: Mapping[int, int]
    moments: Moments
    records: Block
    index: Block


@dataclasses.dataclass(frozen=True, slots=True)
class RejectSegment:
    """Rejects, in the order of the input.

    Attributes:
        counts: reason -> number of rejects.
        records: one line of JSON each.
        index: an `Index`, pickled.
    """

    counts: Mapping[str, int]
    records: Block
    index: Block


@dataclasses.dataclass(frozen=True, slots=True)
class Index:
    """Where the records of a segment were in the input.

    Attributes:
        places: index of the file and position in it, int64 `(records, 2)`.
        sizes: bytes of each record, int64 `(records,)`.
        keys: key of each record.
        files: index of a file -> its path and what its positions count.
    """

    places: np.ndarray
    sizes: np.ndarray
    keys: list[bytes | None]
    files: dict[int, tuple[str, str]]

    @classmethod
    def of(cls, parts: Seq[Sequence] | Seq[Reject], records: Seq[bytes]) -> Index:
        """Makes the index of sequences or rejects and their records."""
        places = [(part.place.file_index, part.place.position) for part in parts]
        return cls(
            np.array(places, np.int64).reshape(-1, 2),
            np.fromiter(map(len, records), np.int64, len(records)),
            [part.key for part in parts],
            {part.place.file_index: (part.place.file, part.place.unit) for part in parts},
        )

    def list_places(self) -> Iterator[tuple[Place, bytes | None]]:
        """Yields the place and the key of each record."""
        for (file_index, position), key in zip(self.places.tolist(), self.keys, strict=True):
            yield Place(file_index, position, *self.files[file_index]), key


def build_segments(
    partition: int, sequences: Iterable[Sequence], directory: str, *, seed: int, order: str
) -> list[Segment]:
    """Encodes the sequences of a partition, one segment per split and number of features.

    Args:
        partition: its number.
        sequences: in any order.
        directory: where the blocks are written.
        seed: of the hash of the key.
        order: `"hash"` or `"input"`.
    """

    def rank(sequence: Sequence) -> Place | tuple[int, bytes]:
        by_hash = hash_key(seed, sequence.key)[1], sequence.key
        return sequence.place if order == "input" else by_hash

    groups = collections.defaultdict(list)
    for sequence in sequences:
        groups[sequence.split, sequence.values.shape[1]].append(sequence)
    segments, chunks = [], list[bytes]()
    for (split, num_features), group in sorted(groups.items()):
        group.sort(key=rank)
        chunks += _encode(group)
        lengths = collections.Counter(len(sequence.values) for sequence in group)
        segments.append((partition, split, num_features, dict(lengths), _take_moments(group)))
    blocks = iter(write_blocks(directory, chunks))
    return [Segment(*segment, records=next(blocks), index=next(blocks)) for segment in segments]


def build_reject_segment(rejects: Iterable[Reject], directory: str) -> RejectSegment:
    """Makes a segment of rejects, which come in any order."""
    ordered = sorted(rejects, key=lambda reject: reject.order)
    records = [f"{reject.to_json()}\n".encode() for reject in ordered]
    index = Index.of(ordered, records)
    counts = collections.Counter(reject.reason for reject in ordered)
    return RejectSegment(dict(counts), *write_blocks(directory, [b"".join(records), _dump(index)]))


def reject_segment(segment: Segment, num_features: int, directory: str) -> RejectSegment:
    """Turns a segment into rejects, as most sequences have another number of features."""
    rule = f"a timestep must hold {num_features} values as in most sequences, "
    rule += f"got {segment.num_features}."
    with BlockReader() as reader:
        index = read_index(segment, reader)
    rejects = [Reject(place, key, "wrong_num_features", rule) for place, key in index.list_places()]
    return build_reject_segment(rejects, directory)


def read_index(segment: Segment | RejectSegment, reader: BlockReader) -> Index:
    """Reads the index of a segment."""
    return pickle.loads(reader.read(segment.index))


def read_in_input_order(segments: Seq[Segment] | Seq[RejectSegment]) -> Iterator[bytes]:
    """Reads the records of all segments in input order; holds no more than their indices."""
    with BlockReader() as reader:
        indices = [read_index(segment, reader) for segment in segments]
        places = np.concatenate([index.places for index in indices])
        starts = np.concatenate([np.cumsum(index.sizes) - index.sizes for index in indices])
        sizes = np.concatenate([index.sizes for index in indices])
        owners = np.repeat(np.arange(len(segments)), [len(index.sizes) for index in indices])
        # Stable: what has one place, such as the pieces of a sequence, stays in its order.
        for i in np.lexsort((places[:, 1], places[:, 0])):
            yield reader.read(segments[owners[i]].records, int(starts[i]), int(sizes[i]))


def _encode(sequences: list[Sequence]) -> tuple[bytes, bytes]:
    records = [
        frame_record(encode_example(sequence.key, sequence.values, sequence.label, sequence.meta))
        for sequence in sequences
    ]
    return b"".join(records), _dump(Index.of(sequences, records))


def _dump(index: Index) -> bytes:
    return pickle.dumps(index, pickle.HIGHEST_PROTOCOL)


def _take_moments(sequences: list[Sequence]) -> Moments:
    """Computes the moments in chunks of a fixed size, so that the digits are always the same."""
    return merge_moments(
        Moments.of(np.concatenate([s.values for s in sequences[start : start + _MOMENTS_CHUNK]]))
        for start in range(0, len(sequences), _MOMENTS_CHUNK)
    )
