"""Files on any file system that Beam knows: bytes and text to read, globs, what is missing."""

from __future__ import annotations

import codecs
import contextlib
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.bombs import UnpackedStream
from padless.beam_jobs.fragments import UnreadableInputError
from padless.pipeline.dataset.framing import GZIP_MAGIC
from padless.pipeline.paths import is_local
from padless.pipeline.zlib_stream import ZlibStream

_MARKS = {  # of the longer ones first, as one begins as another does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD_BYTES = 16
_GLOB_CHARACTERS = frozenset("*?[")


def open_bytes(path: str) -> BinaryIO:
    """Opens a file, seekable; the bytes as they are, never decompressed."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def create_bytes(path: str) -> BinaryIO:
    """Creates a file to write, never compressed, in a directory that exists.

    Beam itself would make the directory: a worker that outlives its job, by a moment, must not make
    that of the job again.
    """
    if is_local(path):
        return open(path, "wb")
    return FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def open_text(
    path: str, *, newline: str, encoding: str | None = None, name: str | None = None
) -> Iterator[io.TextIOWrapper]:
    """Opens a file of text, which messages call by `name`, or else by its path: `decode_text`."""
    with (
        open_bytes(path) as stream,
        decode_text(name or path, stream, newline=newline, encoding=encoding) as text,
    ):
        yield text


@contextlib.contextmanager
def decode_text(
    path: str, stream: BinaryIO, *, newline: str, encoding: str | None = None
) -> Iterator[io.TextIOWrapper]:
    """Decodes text, plain or compressed by gzip; UTF-8 with or without a byte order mark.

    Undecodable bytes become surrogate escapes, so that they fail their own row and no more.

    Args:
        path: names the file in messages.
        stream: the file, at its start, seekable; closed with the text.
        newline: as of `open`.
        encoding: its encoding; None for UTF-8.

    Raises:
        UnreadableInputError: in the `with`, where the compressed bytes are damaged or end too soon,
            or are not of that encoding.
    """
    codec = "utf-8-sig" if encoding is None else encoding
    if codec.lower().replace("_", "-") in ("utf-8", "utf8"):
        codec = "utf-8-sig"
    is_gzip = stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    stream.seek(0)
    with (
        decompress(path, stream) if is_gzip else contextlib.nullcontext(stream) as plain,
        io.TextIOWrapper(plain, codec, "surrogateescape", newline) as text,
    ):
        if encoding is None:
            _check_no_utf16(path, plain)
        try:
            yield text
        except UnicodeError as error:
            raise UnreadableInputError(
                f"{path}: must be text of the encoding {codec}, it is not: {error}"
            ) from error


def _check_no_utf16(path: str, stream: BinaryIO) -> None:
    """Checks by the first bytes that a file is not of UTF-16 or UTF-32, and goes back to them."""
    if isinstance(stream, io.BufferedReader):  # which may be of a stream that cannot go back
        head = stream.peek(_HEAD_BYTES)[:_HEAD_BYTES]
    else:
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
    name = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if name is not None:
        raise UnreadableInputError(
            f"{path}: must be UTF-8, it begins with the byte order mark of {name.upper()}: save it "
            f"as UTF-8, or name its encoding by --encoding {name}."
        )
    if len(head) == _HEAD_BYTES and (not any(head[1::2]) or not any(head[::2])):
        name = "utf-16-be" if not any(head[::2]) else "utf-16-le"
        raise UnreadableInputError(
            f"{path}: must be UTF-8, every other byte is 0 as in UTF-16: save it as UTF-8, or name "
            f"its encoding by --encoding {name}."
        )


@contextlib.contextmanager
def decompress(path: str, stream: BinaryIO, form: str = "gzip") -> Iterator[BinaryIO]:
    """Decompresses a stream.

    Args:
        path: names the file in messages.
        stream: the file, at its start.
        form: how it is compressed, `"gzip"` or `"ZLIB"`.

    Raises:
        UnreadableInputError: in the `with`, where the compressed bytes are damaged or end too soon.
    """
    try:
        with (
            gzip.GzipFile(fileobj=stream) if form == "gzip" else ZlibStream(stream) as plain,
            io.BufferedReader(UnpackedStream(plain, stream, path)) as watched,
        ):
            yield watched
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableInputError(
            f"{path}: must be readable by {form} to its end, it is damaged: {error}"
        ) from error


def expand_glob(pattern: str) -> list[str]:
    """Lists the files that a glob matches, sorted; a path without wildcards is its own match.

    Raises:
        FileNotFoundError: if a glob matches none.
    """
    if not _GLOB_CHARACTERS & set(pattern) or FileSystems.exists(pattern):
        return [pattern]
    paths = _match(pattern)
    if not paths:
        raise FileNotFoundError(f"{pattern}: must match at least one input file, it matches none.")
    return sorted(paths)


def _match(pattern: str) -> list[str]:
    if is_local(pattern):
        # Beam's own finds nothing by "*.csv", and else walks through all that is below.
        return list(filter(os.path.isfile, glob.glob(pattern, recursive=True)))
    (match,) = FileSystems.match([pattern])
    return [metadata.path for metadata in match.metadata_list]


def check_no_directory(path: str) -> None:
    """Checks that a path is no directory of this machine.

    Raises:
        ValueError: if it is.
    """
    if is_local(path) and os.path.isdir(path):
        raise ValueError(
            f"{path}: the input must be a file, it is a directory; "
            f"name its files, as by the glob '{path.rstrip('/')}/*'."
        )


@contextlib.contextmanager
def open_input(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Opens a file that must have at least one byte; yields it at its start, and its size in bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is empty.
    """
    if not FileSystems.exists(path):
        raise FileNotFoundError(f"{path}: the input file does not exist.")
    with open_bytes(path) as stream:
        stream.seek(0, os.SEEK_END)
        num_bytes = stream.tell()
        if not num_bytes:
            raise ValueError(f"{path}: the input must not be empty, it has 0 bytes.")
        stream.seek(0)
        yield stream, num_bytes
