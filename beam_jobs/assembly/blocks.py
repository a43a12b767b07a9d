"""Blocks: the data of the job, in files next to the output; Beam passes on only where they are.

Local runners keep everything that passes between steps in memory, so that a job would need several
times the size of its data. Large blocks are therefore in files of the staging directory, which
all workers share anyway; what a runner groups and holds are their descriptions. Small ones stay in
the description: a small job writes no such file.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.files import create_bytes, open_bytes

_INLINE_BYTES = 1024
_MAX_OPEN_FILES = 128  # systems give a process 1,024, or 256
_COPY_BYTES = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """Some bytes: themselves, or where they are in a file.

    Attributes:
        num_bytes: how many.
        data: the bytes, or None where they are in a file.
        path: that file.
        start: their first byte in it.
    """

    num_bytes: int
    data: bytes | None = None
    path: str = ""
    start: int = 0


def write_blocks(directory: str, chunks: Sequence[bytes | bytearray]) -> list[Block]:
    """Turns bytes into blocks, the large ones in one new file of the directory.

    Its name is drawn at random: a step that runs twice leaves a file that nobody reads, and both
    go with the directory.
    """
    path = FileSystems.join(directory, uuid.uuid4().hex)
    blocks, start = [], 0
    for chunk in chunks:
        if len(chunk) <= _INLINE_BYTES:
            blocks.append(Block(len(chunk), data=bytes(chunk)))
        else:
            blocks.append(Block(len(chunk), path=path, start=start))
            start += len(chunk)
    if start:
        large = (bytes(c) for c, block in zip(chunks, blocks, strict=True) if block.data is None)
        write_or_delete(path, large)
    return blocks


def write_or_delete(path: str, chunks: Iterable[bytes]) -> None:
    """Writes a file of the staging directory, and deletes what it has written if that fails.

    Unlike `written_whole`, it writes by Beam, to any file system, and to the file's own name:
    nobody reads the file before the step that writes it has ended.

    Raises:
        OSError: if it cannot be written.
    """
    try:
        with create_bytes(path) as file:
            for chunk in chunks:
                file.write(chunk)
    except OSError:
        # On a full disk, what is left of it would keep the job from saying so.
        with contextlib.suppress(Exception):
            FileSystems.delete([path])
        raise


class BlockReader:
    """Reads blocks, and keeps open the files that it has read last; a context manager."""

    def __init__(self) -> None:
        self._files: collections.OrderedDict[str, BinaryIO] = collections.OrderedDict()

    def __enter__(self) -> BlockReader:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def read(self, block: Block, start: int = 0, num_bytes: int | None = None) -> bytes:
        """Reads a block, or a part of it.

        Raises:
            EOFError: if the file has lost its end.
        """
        num_bytes = block.num_bytes if num_bytes is None else num_bytes
        if block.data is not None:
            return block.data[start : start + num_bytes]
        file = self._open(block.path)
        file.seek(block.start + start)
        data = file.read(num_bytes)
        if len(data) < num_bytes:
            raise EOFError(
                f"{block.path}: must hold {num_bytes} bytes from {block.start + start}, "
                f"got {len(data)}."
            )
        return data

    def read_chunks(self, block: Block) -> Iterator[bytes]:
        """Reads a block a part at a time, so that it need not fit into memory."""
        for start in range(0, block.num_bytes, _COPY_BYTES):
            yield self.read(block, start, min(_COPY_BYTES, block.num_bytes - start))

    def _open(self, path: str) -> BinaryIO:
        if path not in self._files:
            self._files[path] = open_bytes(path)
        self._files.move_to_end(path)
        if len(self._files) > _MAX_OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return self._files[path]
