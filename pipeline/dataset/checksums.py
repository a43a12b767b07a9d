"""Checksums of whole files, and of a JSON file that holds its own."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import google_crc32c
from etils import epath

from padless.pipeline.dataset.json_content import encode_json

_BLOCK_BYTES = 1 << 20
_SEAL = "crc32c"
_UNSEALED = "00000000"


class FileInfo(NamedTuple):
    """What was written to a file: its size, and the CRC-32C of its bytes."""

    num_bytes: int
    crc32c: int

    @classmethod
    def of(cls, data: bytes) -> FileInfo:
        """Computes it of bytes."""
        return cls(len(data), google_crc32c.value(data))

    @classmethod
    def read(cls, path: epath.Path) -> FileInfo:
        """Reads a file, however large.

        Raises:
            OSError: if it cannot be read.
        """
        num_bytes = crc32c = 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                num_bytes += len(block)
                crc32c = google_crc32c.extend(crc32c, block)
        return cls(num_bytes, crc32c)

    def __str__(self) -> str:
        """Returns it as part of a sentence."""
        return f"{self.num_bytes:,} bytes with the CRC {self.crc32c:08x}"


def encode_sealed(content: dict[str, Any]) -> bytes:
    """Returns the bytes of a JSON file that ends with their CRC-32C, taken with zeros in its place.

    Args:
        content: what the file holds; a seal that it has is replaced.

    Example:
        >>> print(encode_sealed({"a": 1}).decode(), end="")
        {
          "a": 1,
          "crc32c": "1a2b1942"
        }
        >>> find_broken_seal(encode_sealed({"a": 1}))
        >>> find_broken_seal(encode_sealed({"a": 1}).replace(b"1,", b"3,"))
        'the file must have the CRC 1a2b1942 that it names, got 5bec79db.'
    """
    return encode_json(content | {_SEAL: _compute_seal(content)})


def has_seal(content: Any) -> bool:
    """Checks whether what a JSON file holds has a seal."""
    return isinstance(content, dict) and _SEAL in content


def find_broken_seal(data: bytes) -> str | None:
    """Returns what is wrong with the bytes of a file that `encode_sealed` made, or None.

    Args:
        data: bytes of JSON that has a seal.
    """
    content = json.loads(data)
    written, found = content[_SEAL], _compute_seal(content)
    if written != found:
        return f"the file must have the CRC {written} that it names, got {found}."
    if data != encode_json(content):
        return "the file must hold its JSON in the form that padless writes, it is in another."
    return None


def _compute_seal(content: dict[str, Any]) -> str:
    return f"{google_crc32c.value(encode_json(content | {_SEAL: _UNSEALED})):08x}"
