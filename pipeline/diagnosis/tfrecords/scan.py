"""TFRecords of any origin, read once: which features they have, how many values, which lengths.

Neither TensorFlow nor a format is needed: a record is parsed as `tf.train.Example` or
`tf.train.SequenceExample`, compressed or not.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import glob
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from etils import epath
from google.protobuf.message import DecodeError

from padless.pipeline.dataset.example_proto import parse_record, read_numbers
from padless.pipeline.dataset.framing import (
    SNIFFED_BYTES,
    Readable,
    begins_record,
    find_compression,
    scan_records,
)
from padless.pipeline.paths import is_local
from padless.pipeline.progress import Progress, ShowProgress
from padless.pipeline.zlib_stream import ZlibStream

_MISSING = -1
KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


@dataclasses.dataclass(slots=True)
class Feature:
    """A feature of the records.

    Attributes:
        kinds: what it holds: bytes, float or int64; more than one if records differ.
        counts: values of each record, -1 where it has none of that name.
        single: the value of each record that has one integer, hash of the one that has one string.
        is_list: whether it is a feature list of a `SequenceExample`: `counts` are its steps.
    """

    kinds: set[str]
    counts: list[int]
    single: list[int | None]
    is_list: bool = False

    @property
    def num_records(self) -> int:
        """Number of records that have it."""
        return sum(count != _MISSING for count in self.counts)


@dataclasses.dataclass(frozen=True, slots=True)
class Scan:
    """What was read of TFRecord files.

    Attributes:
        files: their paths.
        compressed: path -> `"GZIP"` or `"ZLIB"`, of those that are.
        num_records: number of records.
        num_bytes: size of all files.
        features: name -> what it holds.
    """

    files: tuple[str, ...]
    compressed: dict[str, str]
    num_records: int
    num_bytes: int
    features: dict[str, Feature]


def expand_patterns(patterns: Sequence[epath.PathLike]) -> list[str]:
    """Lists the files that patterns match, sorted for each; each file once.

    Raises:
        FileNotFoundError: if a pattern matches none.
        IsADirectoryError: if one names a directory.
    """
    found: dict[str, None] = {}
    for pattern in map(os.fspath, patterns):
        files = [path for path in _match(pattern) if not epath.Path(path).is_dir()]
        if not files and epath.Path(pattern).is_dir():
            raise IsADirectoryError(
                f"{pattern}: must be a file or a pattern, such as {pattern}/*.tfrecord*; it is a "
                "directory."
            )
        if not files:
            raise FileNotFoundError(f"{pattern}: must match at least one file, it matches none.")
        found |= dict.fromkeys(files)
    return list(found)


def _match(pattern: str) -> list[str]:
    if is_local(pattern):
        return sorted(glob.glob(pattern, recursive=True)) or (
            [pattern] if os.path.exists(pattern) else []
        )
    path = epath.Path(pattern)
    return sorted(map(os.fspath, path.parent.glob(path.name)))


def scan_files(files: Sequence[str], progress: ShowProgress) -> Scan:
    """Reads all records of files, and what their features hold.

    Args:
        files: their paths.
        progress: called with how many records are read.

    Raises:
        ValueError: if a file is neither TFRecords nor such compressed, a record is damaged or is no
            example, or there is none; names file and record.
    """
    features: dict[str, Feature] = {}
    compressed: dict[str, str] = {}
    num_records = 0
    start = Progress("read records", 0, None, "records")
    progress(start)
    for file in files:
        with _opened(file) as (stream, kind):
            compressed |= {} if kind is None else {file: kind}
            for record in _read_records(stream, file):
                _add_record(features, record, num_records)
                num_records += 1
                progress(dataclasses.replace(start, done=num_records))
    if not num_records:
        raise ValueError(f"{', '.join(files[:3])}: must hold at least one record, there is none.")
    for feature in features.values():
        _fill(feature, num_records)
    num_bytes = sum(epath.Path(file).stat().length for file in files)
    return Scan(tuple(files), compressed, num_records, num_bytes, features)


def read_values(files: Sequence[str], name: str) -> Iterator[np.ndarray]:
    """Yields the values of one feature of each record that has it: `(values,)`.

    Of a feature list, the values of all its steps, one after another.
    """
    for file in files:
        with _opened(file) as (stream, _):
            for record in _read_records(stream, file):
                if name in record.context.feature:
                    values = read_numbers(record.context.feature[name])
                elif name in record.feature_lists.feature_list:
                    values = _join(record.feature_lists.feature_list[name])
                else:
                    continue
                if values is not None:
                    yield values


def _join(feature_list: Any) -> np.ndarray | None:
    steps = [read_numbers(feature) for feature in feature_list.feature]
    known = [step for step in steps if step is not None]
    return np.concatenate(known) if known else None


def _read_records(stream: Readable, file: str) -> Iterator[Any]:
    try:
        for scanned in scan_records(stream):
            place = f"{file}: record {scanned.position}"
            if scanned.data is None:
                raise ValueError(f"{place}: {scanned.damage}")
            try:
                record = parse_record(scanned.data)
            except DecodeError as error:
                raise ValueError(f"{place}: must be a tf.train.Example: {error}") from error
            if not record.context.feature and not record.feature_lists.feature_list:
                raise ValueError(f"{place}: must be a tf.train.Example, it has no feature.")
            yield record
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{file}: the compressed file is damaged: {error}") from error


def _add_record(features: dict[str, Feature], record: Any, number: int) -> None:
    for name, feature in record.context.feature.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        _note(features, name, number, kind=kind, values=values)
    for name, steps in record.feature_lists.feature_list.items():
        kinds = {one.WhichOneof("kind") for one in steps.feature} - {None}
        _note(features, name, number, kind=next(iter(kinds), None), values=steps.feature)
        features[name].is_list = True


def _note(
    features: dict[str, Feature], name: str, number: int, *, kind: str | None, values: Any
) -> None:
    found = features.setdefault(name, Feature(set(), [], []))
    _fill(found, number)
    if kind is not None:
        found.kinds.add(KINDS[kind])
    found.counts.append(len(values))
    single: int | None = None
    if len(values) == 1 and kind == "int64_list" and not isinstance(values, bytes):
        single = values[0] if isinstance(values[0], int) else None
    elif len(values) == 1 and kind == "bytes_list" and isinstance(values[0], bytes):
        single = hash_bytes(values[0])
    found.single.append(single)


def _fill(feature: Feature, number: int) -> None:
    """Notes that the records up to a number lack a feature."""
    lacking = number - len(feature.counts)
    feature.counts += [_MISSING] * lacking
    feature.single += [None] * lacking


def hash_bytes(data: bytes) -> int:
    """Returns 64 bits that tell data apart."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def count_repeated(hashes: Sequence[int | None]) -> int:
    """Counts those that were there before."""
    counts = collections.Counter(one for one in hashes if one is not None)
    return sum(count - 1 for count in counts.values())


@contextlib.contextmanager
def _opened(file: str) -> Iterator[tuple[Readable, str | None]]:
    """Opens a file of TFRecords, and yields it with its compression."""
    with epath.Path(file).open("rb") as raw:
        head = raw.read(SNIFFED_BYTES)
        raw.seek(0)
        match find_compression(head):
            case "gzip":
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield unpacked, "GZIP"
            case "ZLIB":
                with io.BufferedReader(ZlibStream(raw)) as unpacked:
                    yield unpacked, "ZLIB"
            case None if head and not begins_record(head):
                raise ValueError(
                    f"{file}: must be TFRecords, its first {len(head)} bytes are no record's."
                )
            case None:
                yield raw, None
