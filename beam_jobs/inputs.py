"""The input files: their forms, what is checked before the job starts, and their reading."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.csv_input import CsvColumns, read_csv, read_header
from padless.beam_jobs.fragments import Fault, Reject, Rows, Source, Whole
from padless.beam_jobs.jsonl_input import read_jsonl
from padless.beam_jobs.npz_input import open_archive, read_npz
from padless.beam_jobs.options import PreprocessOptions

_FORMS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".npz": "npz"}


def input_form(path: str) -> str:
    """Tells the form of a file by its extension: `csv`, `jsonl` or `npz`.

    Raises:
        ValueError: if it is none of them.
    """
    extension = os.path.splitext(path)[1].lower()
    if extension not in _FORMS:
        remedy = "; one JSON object per line? rename it to .jsonl" if extension == ".json" else ""
        raise ValueError(
            f"{path}: the extension must be one of {list(_FORMS)}, got {extension!r}{remedy}."
        )
    return _FORMS[extension]


def has_csv(paths: Iterable[str]) -> bool:
    """Tells whether a path has the extension of CSV."""
    return any(_FORMS.get(os.path.splitext(path)[1].lower()) == "csv" for path in paths)


def list_sources(options: PreprocessOptions) -> list[Source]:
    """Numbers the input files in their order."""
    return [
        Source(index, path, "array" if input_form(path) == "npz" else "line")
        for index, path in enumerate(options.inputs)
    ]


def check_inputs(options: PreprocessOptions) -> PreprocessOptions:
    """Checks what can be known of the inputs without reading them to their ends.

    Returns:
        The options, with `feature_columns` as the first CSV file has them; without a CSV file
        they stay None.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is a directory, empty, of an unknown form or a damaged zip, if a CSV
            file lacks a column, or if an option does not go with the forms.
    """
    _check_no_directory(options.inputs)
    forms = {path: input_form(path) for path in options.inputs}
    _check_options(options, forms)
    headers = {}
    for path, form in forms.items():
        _check_exists(path)
        if form == "csv":
            with open_text(path, newline="") as lines:
                headers[path] = read_header(path, lines)
        elif form == "npz":
            with open_bytes(path) as stream:
                open_archive(path, stream).close()
    return _resolve_features(options, headers)


def read_source(
    source: Source, options: PreprocessOptions
) -> Iterator[tuple[bytes, Rows | Whole | Fault] | Reject]:
    """Reads one file as `(key, fragment)` pairs and rejects.

    Raises:
        UnreadableInputError: where the rest of the file cannot be read.
    """
    form = input_form(source.path)
    if form == "npz":
        with open_bytes(source.path) as stream:
            yield from read_npz(stream, source)
    else:
        read, newline = (read_csv, "") if form == "csv" else (read_jsonl, "\n")
        with open_text(source.path, newline=newline) as lines:
            yield from read(lines, source, options)


def open_bytes(path: str) -> BinaryIO:
    """Opens a file through Beam; the bytes as they are, never decompressed."""
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


@contextlib.contextmanager
def open_text(path: str, *, newline: str) -> Iterator[io.TextIOWrapper]:
    """Opens a UTF-8 text, with or without a byte order mark.

    Undecodable bytes become surrogate escapes, so that they fail the row they stand in and no more.
    """
    with (
        open_bytes(path) as stream,
        io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline) as text,
    ):
        yield text


def _check_options(options: PreprocessOptions, forms: dict[str, str]) -> None:
    if options.label_column is not None and "npz" in forms.values():
        raise ValueError(
            f"`label_column` must be None with an npz input, which holds no labels, "
            f"got {options.label_column!r}."
        )
    if options.feature_columns is not None and "csv" not in forms.values():
        raise ValueError(
            f"`feature_columns` must be None without a CSV input, got {options.feature_columns}."
        )


def _check_no_directory(paths: Iterable[str]) -> None:
    for path in paths:
        if os.path.isdir(path):
            raise ValueError(f"{path}: the input must be a file, it is a directory.")


def _check_exists(path: str) -> None:
    if not FileSystems.exists(path):
        raise FileNotFoundError(f"{path}: the input file does not exist.")
    with open_bytes(path) as stream:
        if not stream.read(1):
            raise ValueError(f"{path}: the input must not be empty, it has 0 bytes.")


def _resolve_features(options: PreprocessOptions, headers: dict[str, list[str]]):
    first = None
    for path, header in headers.items():
        names = CsvColumns.locate(path, header, options).feature_names
        first = first or (path, names)
        if set(names) != set(first[1]):
            raise ValueError(
                f"{path}: the feature columns must be those of {first[0]}, {list(first[1])}, "
                f"got {list(names)}."
            )
    return dataclasses.replace(options, feature_columns=first and first[1])
