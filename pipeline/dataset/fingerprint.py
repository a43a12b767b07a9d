"""Checks whether a dataset is still the one that it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from etils import epath

from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.names import LENGTHS_FILE, STATISTICS_FILE

_END_BYTES = 64 * 1024


def fingerprint(dataset: SequenceDataset) -> dict[str, str]:
    """Digests what fixes a dataset's records, without reading them all.

    Lengths and moments change with nearly any change of the values; of each shard its name, its
    size, its first and its last 64 KiB count as well. A bit that flips elsewhere is found by the
    CRC of its record, when that is read.

    Args:
        dataset: an opened dataset directory.

    Returns:
        Part of the dataset -> SHA-256 in hexadecimal: `lengths.json`, `statistics.json` and
        `shards of <split>`. It does not depend on where the directory is.
    """
    directory = next(iter(dataset.splits.values())).files[0].parent
    digests = {
        name: hashlib.sha256((directory / name).read_bytes()).hexdigest()
        for name in (LENGTHS_FILE, STATISTICS_FILE)
    }
    return digests | {f"shards of {s.name}": _digest_shards(s) for s in dataset.splits.values()}


def changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Lists the parts that are not the same in two fingerprints, in order of their names."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def _digest_shards(split: Split) -> str:
    digest = hashlib.sha256()
    for file in split.files:
        digest.update(f"{file.name} {file.stat().length}\n".encode())
        digest.update(_read_ends(file))
    return digest.hexdigest()


def _read_ends(file: epath.Path) -> bytes:
    with file.open("rb") as stream:
        head = stream.read(_END_BYTES)
        stream.seek(max(file.stat().length - _END_BYTES, len(head)))
        return head + stream.read()
