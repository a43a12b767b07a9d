"""What a dataset's files were when it was opened, so that a change while it is used is found."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from etils import epath

from padless.pipeline.dataset.checksums import FileInfo
from padless.pipeline.dataset.provenance import ShardInfo
from padless.pipeline.paths import is_local

_MAX_SHOWN = 3


class DatasetChangedError(RuntimeError):
    """A dataset is no longer what it was when it was opened."""


class Stamp(NamedTuple):
    """What a file system knows of a file without reading it: another one has other contents."""

    num_bytes: int
    modified: float
    inode: int


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a dataset as they were at one time.

    Attributes:
        directory: where they are; of records that are no dataset's, that of relative names.
        stamps: name of each file -> its stamp; renewed where a file was written again with the same
            contents.
        digests: name of a metadata file -> SHA-256 of its bytes.
        shards: name of a shard -> what was written to it, as far as that is recorded.
    """

    directory: epath.Path
    stamps: dict[str, Stamp | None]
    digests: Mapping[str, bytes]
    shards: Mapping[str, ShardInfo]

    @classmethod
    def take(
        cls, directory: epath.Path, files: Iterable[str] = (), metadata: Iterable[str] = ()
    ) -> Snapshot:
        """Notes what the files are now.

        Args:
            directory: where they are.
            files: names of files of records, or their paths and addresses.
            metadata: names of metadata files, which are read; one may be missing.
        """
        stamps = {name: stamp_of(_locate(directory, name)) for name in (*metadata, *files)}
        digests = {
            name: hashlib.sha256((directory / name).read_bytes()).digest()
            for name in metadata
            if stamps[name] is not None
        }
        return cls(directory, stamps, digests, {})

    def with_shards(self, names: Iterable[str], written: Mapping[str, ShardInfo]) -> Snapshot:
        """Returns the snapshot with the shards as they are now.

        Args:
            names: names of the shards.
            written: name -> what was written to a shard, as far as that is recorded.
        """
        shards = {name: stamp_of(self.directory / name) for name in names}
        return dataclasses.replace(self, stamps=self.stamps | shards, shards=written)

    def check(self) -> None:
        """Checks that the files hold what they held.

        The file system is asked for each; only what was written since is read.

        Raises:
            DatasetChangedError: if one does not; names the dataset and the files.
        """
        now = {name: stamp_of(_locate(self.directory, name)) for name in self.stamps}
        written = {name: stamp for name, stamp in now.items() if stamp != self.stamps[name]}
        changed = [name for name, stamp in written.items() if not self._is_same(name, stamp)]
        if changed:
            shown = "; ".join(self._describe(name, now[name]) for name in changed[:_MAX_SHOWN])
            more = len(changed) - _MAX_SHOWN
            raise DatasetChangedError(
                f"{self.directory}: the dataset must stay what it was when it was opened, but "
                f"{shown}{f'; and {more} more files' if more > 0 else ''}."
            )
        self.stamps.update(written)

    def _is_same(self, name: str, stamp: Stamp | None) -> bool:
        """Checks whether a file that was written again has the same contents."""
        before, path = self.stamps[name], _locate(self.directory, name)
        if stamp is None or before is None or stamp.num_bytes != before.num_bytes:
            return False
        if name in self.digests:
            return hashlib.sha256(path.read_bytes()).digest() == self.digests[name]
        if not stamp.num_bytes:
            return True
        return name in self.shards and FileInfo.read(path).crc32c == self.shards[name].crc32c

    def _describe(self, name: str, stamp: Stamp | None) -> str:
        before = self.stamps[name]
        if stamp is None:
            return f"{name} is missing"
        if before is not None and stamp.num_bytes != before.num_bytes:
            return f"{name} has {stamp.num_bytes:,} bytes and had {before.num_bytes:,}"
        return f"{name} holds other bytes"


def _locate(directory: epath.Path, name: str) -> epath.Path:
    """Returns the path of a file; an address is one already, which `/` would not keep."""
    return directory / name if is_local(name) else epath.Path(name)


def stamp_of(path: epath.Path) -> Stamp | None:
    """Returns the stamp of a file, or None where there is none."""
    try:
        if not is_local(path):
            found = path.stat()
            return Stamp(found.length, found.mtime, 0)
        local = os.stat(path)
        return Stamp(local.st_size, local.st_mtime_ns, local.st_ino)
    except (FileNotFoundError, NotADirectoryError):
        return None
