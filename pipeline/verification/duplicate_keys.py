"""Finds keys that several records of a dataset share, in 32 bytes of memory per record.

Sorting the digests at the end takes 24 more for a moment.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

_ENTRY = struct.Struct("<16sQQ")
_DTYPE = np.dtype([("high", "<u8"), ("low", "<u8"), ("position", "<u8"), ("start", "<u8")])


class Place(NamedTuple):
    """A record of a dataset: its file, its position in it, and its first byte."""

    file: str
    position: int
    start: int


class KeyIndex:
    """Remembers a digest of each key and where it was.

    With 16 bytes of BLAKE2b, two different keys of a billion share one with a chance of 1e-21.
    """

    def __init__(self) -> None:
        """Starts without a key."""
        self._entries = bytearray()
        self._files: list[str] = []
        self._ends: list[int] = []

    def begin_file(self, file: str) -> None:
        """Starts a file: the keys that are added from here on are those of `file`."""
        self._files.append(file)
        self._ends.append(len(self))

    def add(self, key: bytes, position: int, start: int) -> None:
        """Adds the key of a record."""
        digest = hashlib.blake2b(key, digest_size=16).digest()
        self._entries += _ENTRY.pack(digest, position, start)
        self._ends[-1] += 1

    def __len__(self) -> int:
        """Number of keys added."""
        return len(self._entries) // _ENTRY.size

    def find_duplicates(self, suspects: Collection[str] = ()) -> Iterator[tuple[Place, Place]]:
        """Yields each record whose key an earlier one has, and the first that has it.

        Args:
            suspects: files whose records count as later than all others.
        """
        entries = np.frombuffer(self._entries, _DTYPE)
        order = self._sort(entries, suspects)
        high, low = entries["high"][order], entries["low"][order]
        same = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        first: Place | None = None
        for i in np.flatnonzero(same):
            if first is None or not same[i - 1]:
                first = self._place(entries, order[i])
            yield self._place(entries, order[i + 1]), first

    def _sort(self, entries: np.ndarray, suspects: Collection[str]) -> np.ndarray:
        """Sorts by key, stable, so that the records of one key stay as they were added."""
        sizes = np.diff([0, *self._ends])
        is_suspect = np.repeat([file in suspects for file in self._files], sizes)
        return np.lexsort((is_suspect, entries["low"], entries["high"]))

    def _place(self, entries: np.ndarray, index: int) -> Place:
        file = self._files[np.searchsorted(self._ends, index, side="right")]
        return Place(file, int(entries["position"][index]), int(entries["start"][index]))
