"""Partitions: fragments gathered by the hash of their key, so that all of a key come together.

A partition is what one worker assembles at a time, and must fit into its memory: the data of one of
`NUM_PARTITIONS` ranges of the hash. Their number never changes, because the digits of the moments
and the order of the records come from it.
"""

from __future__ import annotations

import collections
import io
import pickle
from collections.abc import Iterable, Iterator

from padless.beam_jobs.assembly.blocks import Block, BlockReader, write_blocks
from padless.beam_jobs.fragments import Item, Reject
from padless.pipeline.dataset.keys import hash_key

NUM_PARTITIONS = 1024
_BUFFER_BYTES = 64 * 1024 * 1024


def partition_of(key: bytes, seed: int) -> int:
    """Draws the partition of a key: the range that its hash for the order falls into."""
    return hash_key(seed, key)[1] * NUM_PARTITIONS >> 64


class FragmentBuffer:
    """Gathers fragments by partition and writes them as blocks when there are enough.

    Args:
        directory: where the blocks are written.
        seed: of the hash of the key.
    """

    def __init__(self, directory: str, seed: int):
        self._directory, self._seed = directory, seed
        self._partitions: dict[int, bytearray] = collections.defaultdict(bytearray)
        self._num_bytes = 0

    def add(self, item: Item) -> None:
        """Adds a `(key, fragment)` pair or a reject."""
        # A reject without a key needs no company, but one partition must count it.
        key = str(item.place).encode() if isinstance(item, Reject) else item[0]
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._partitions[partition_of(key, self._seed)] += data
        self._num_bytes += len(data)

    @property
    def is_full(self) -> bool:
        """Whether it is time to `flush`."""
        return self._num_bytes >= _BUFFER_BYTES

    def flush(self) -> list[tuple[int, Block]]:
        """Writes what it holds, returns it as `(partition, block)` pairs, and is empty then."""
        blocks = write_blocks(self._directory, list(self._partitions.values()))
        numbered = list(zip(self._partitions, blocks, strict=True))
        self._partitions.clear()
        self._num_bytes = 0
        return numbered


def read_fragments(blocks: Iterable[Block]) -> Iterator[Item]:
    """Reads what a `FragmentBuffer` wrote of one partition, in any order of its blocks."""
    with BlockReader() as reader:
        for block in blocks:
            data = io.BytesIO(reader.read(block))
            while data.tell() < block.num_bytes:
                # Pickle, as Beam itself uses: these are the job's own bytes, in its own directory.
                yield pickle.load(data)
