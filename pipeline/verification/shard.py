"""Reads a shard once, checks every record, and counts again what the metadata say of it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import BinaryIO

import google_crc32c
import numpy as np
from etils import epath

from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.framing import ScannedRecord, scan_records
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.provenance import Draw, ShardInfo
from padless.pipeline.dataset.records import decode_example
from padless.pipeline.verification.duplicate_keys import KeyIndex
from padless.pipeline.verification.faults import Fault, FaultLog
from padless.pipeline.wording import shorten, shown_key

_BLOCK_BYTES = 1 << 20
# Values whose moments are taken at once: few enough for a processor's cache.
_CHUNK_VALUES = 1 << 17


@dataclasses.dataclass(frozen=True, slots=True)
class ShardContent:
    """What a shard holds.

    Attributes:
        info: its intact records, its bytes and their CRC.
        lengths: length in timesteps -> number of sequences that are as they must be.
        moments: moments of the values of those, or None if there is none.
        num_damaged: records whose size or data are damaged.
        num_broken: intact records that break a rule.
    """

    info: ShardInfo
    lengths: collections.Counter
    moments: Moments | None
    num_damaged: int
    num_broken: int


@dataclasses.dataclass(frozen=True, slots=True)
class ShardScanner:
    """Reads shards and checks their records.

    Attributes:
        contract: what each record must hold.
        draw: how the split of each key was drawn, or None where that is not known.
        keys: where the keys are gathered.
        log: where the faults are gathered.
    """

    contract: RecordContract
    draw: Draw | None
    keys: KeyIndex
    log: FaultLog

    def scan(self, path: epath.Path, split: str, advance: Callable[[int], None]) -> ShardContent:
        """Reads a shard.

        Args:
            path: its file.
            split: name of its split.
            advance: called with the number of bytes read so far.

        Raises:
            OSError: if the file cannot be read.
        """
        self.keys.begin_file(path.name)
        lengths: collections.Counter[int] = collections.Counter()
        moments = _RunningMoments()
        num_damaged = num_intact = 0
        with path.open("rb") as stream:
            file = _DigestedFile(stream)
            for record in scan_records(file):
                advance(file.num_bytes)
                if record.data is None:
                    num_damaged += 1
                    self._report(path.name, record, [str(record.damage)])
                    continue
                num_intact += 1
                if (
                    values := self._read_sequence(path.name, split, record, record.data)
                ) is not None:
                    lengths[len(values)] += 1
                    moments.add(values)
            file.read_rest()
        return ShardContent(
            info=ShardInfo(num_intact, file.num_bytes, file.crc32c),
            lengths=lengths,
            moments=moments.take(),
            num_damaged=num_damaged,
            num_broken=num_intact - lengths.total(),
        )

    def _read_sequence(
        self, file: str, split: str, record: ScannedRecord, data: bytes
    ) -> np.ndarray | None:
        """Reads the values, `(timesteps, features)`, or reports the rules that are broken."""
        try:
            features = decode_example(data)
        except ValueError as error:
            self._report(file, record, [str(error)])
            return None
        broken = self.contract.find_faults(features)
        if isinstance(key := features.get("key"), list) and len(key) == 1:
            self.keys.add(key[0], record.position, record.start)
            broken += self._check_split(key[0], split)
        if broken:
            self._report(file, record, broken)
            return None
        return np.reshape(features["sequence"], (-1, self.contract.num_features))

    def _check_split(self, key: bytes, split: str) -> Iterator[str]:
        if self.draw is not None and (drawn := self.draw.split_of(key, split)) != split:
            yield (
                f"its key {quote_key(key)} must be in the split that is drawn for it, "
                f"{drawn!r}, it is in {split!r}."
            )

    def _report(self, file: str, record: ScannedRecord, messages: list[str]) -> None:
        for message in messages:
            self.log.add(Fault(file, message, record.position, record.start))


class _DigestedFile:
    """A file that is read from its beginning, with the size and the CRC-32C of what was read."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.num_bytes = self.crc32c = 0

    def read(self, num_bytes: int) -> bytes:
        data = self._stream.read(num_bytes)
        self.num_bytes += len(data)
        self.crc32c = google_crc32c.extend(self.crc32c, data)
        return data

    def read_rest(self) -> None:
        while self.read(_BLOCK_BYTES):
            pass


class _RunningMoments:
    """Computes moments of many sequences in chunks, as NumPy is slow on short ones."""

    def __init__(self) -> None:
        self._chunk: list[np.ndarray] = []
        self._size = 0
        self._taken: list[Moments] = []

    def add(self, values: np.ndarray) -> None:
        self._chunk.append(values)
        self._size += values.size
        if self._size >= _CHUNK_VALUES:
            self.take()

    def take(self) -> Moments | None:
        if self._chunk:
            self._taken.append(Moments.of(np.concatenate(self._chunk)))
            self._chunk, self._size = [], 0
        self._taken = [merge_moments(self._taken)] if self._taken else []
        return self._taken[0] if self._taken else None


def quote_key(key: bytes) -> str:
    """Returns a key on one line; of a long one only the beginning."""
    return repr(shorten(shown_key(key)))
