"""The inputs of a job: which form each has, what is checked before the job starts, their parts."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator

from padless.beam_jobs.files import check_no_directory, check_readable, expand_glob, file_bytes
from padless.beam_jobs.fragments import Item, RejectionError, Source
from padless.beam_jobs.options import Columns, PreprocessOptions
from padless.beam_jobs.readers import (
    csv_reader,
    jsonl_reader,
    npz_reader,
    parquet_reader,
    tfds_reader,
    tfrecord_reader,
    ts_reader,
)
from padless.beam_jobs.readers.forms import InputForm
from padless.beam_jobs.readers.values import parse_split

FORMS = {
    module.FORM.name: module.FORM
    for module in (
        csv_reader,
        jsonl_reader,
        npz_reader,
        parquet_reader,
        tfds_reader,
        tfrecord_reader,
        ts_reader,
    )
}
_COMPRESSED = ".gz"
_SHARD_NUMBER = re.compile(r"-\d+-of-\d+$")  # of the shards of one file, as in x.tfrecord-0-of-2


def input_form(path: str, options: PreprocessOptions) -> InputForm:
    """Tells the form of an input by the options or else by its name.

    Raises:
        ValueError: if neither tells it.
    """
    if options.input_format is not None:
        return FORMS[options.input_format]
    if _is_prefixed(path, options):
        return FORMS[path.partition(":")[0]]
    name = _SHARD_NUMBER.sub("", os.path.basename(path)).lower().removesuffix(_COMPRESSED)
    extension = os.path.splitext(name)[1]
    for form in FORMS.values():
        if extension in form.extensions:
            return form
    known = [extension for form in FORMS.values() for extension in form.extensions]
    raise ValueError(
        f"{path}: the extension must be one of {known}, got {extension!r}; "
        f"or name the form by `input_format` (`--format`), one of {list(FORMS)}."
    )


def has_feature_names(options: PreprocessOptions) -> bool:
    """Tells whether an input is of a form whose features have names; `check_inputs` comes after."""
    with contextlib.suppress(ValueError, KeyError):
        return any("features" in input_form(path, options).roles for path in options.inputs)
    return False


def check_inputs(options: PreprocessOptions) -> PreprocessOptions:
    """Checks what can be known of the inputs without reading them to their ends.

    Returns:
        The options, with globs expanded and `columns.features` as the first file with names has
        them; without such a file they stay None.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is a directory, empty, of an unknown form or not what its form says,
            if one lacks a column, or if an option does not go with the forms.
    """
    _check_format(options)
    paths = tuple(path for pattern in options.inputs for path in _expand(pattern, options))
    _check_distinct(paths)
    forms = {path: _checked_form(path, options) for path in paths}
    _check_roles(options.columns, forms)
    first = None
    for path, form in forms.items():
        if form.is_file:
            check_readable(path)
        names = form.check(path, options.columns)
        if names is not None:
            first = first or (path, names)
            _check_same_features(path, names, first)
    columns = dataclasses.replace(options.columns, features=first and first[1])
    return dataclasses.replace(options, inputs=paths, columns=columns)


def list_sources(options: PreprocessOptions) -> list[Source]:
    """Lists the parts of the inputs, in their order.

    Args:
        options: as `check_inputs` returned them.

    Raises:
        ValueError: if a file's split is kept and its name is none for a split.
    """
    return list(_each_source(options))


def measure_inputs(options: PreprocessOptions) -> int:
    """Adds up the bytes of all inputs that are files."""
    files = [path for path in options.inputs if input_form(path, options).is_file]
    return sum(map(file_bytes, files))


def read_source(source: Source, columns: Columns) -> Iterator[Item]:
    """Reads one part of an input as `(key, fragment)` pairs and rejects.

    Raises:
        UnreadableInputError: where the rest of it cannot be read.
    """
    return FORMS[source.form].read(source, columns)


def _each_source(options: PreprocessOptions) -> Iterator[Source]:
    for index, path in enumerate(options.inputs):
        form = input_form(path, options)
        for part in form.list_parts(path, options.columns):
            split = _kept_split(path, form.split_of(path, part)) if options.keep_splits else None
            yield Source(index, path, form.unit, form.name, part, split)


def _checked_form(path: str, options: PreprocessOptions) -> InputForm:
    if not _is_prefixed(path, options):
        check_no_directory(path)
    return input_form(path, options)


def _is_prefixed(path: str, options: PreprocessOptions) -> bool:
    """Tells whether an input is none of a file."""
    name = options.input_format or path.partition(":")[0]
    return name in FORMS and not FORMS[name].is_file


def _kept_split(path: str, name: str | None) -> bytes:
    if name is None:
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
    try:
        return parse_split(name)
    except RejectionError as rejection:
        raise ValueError(f"{path}: its split, {name!r}, is none: {rejection.rule}") from None


def _expand(pattern: str, options: PreprocessOptions) -> list[str]:
    return [pattern] if _is_prefixed(pattern, options) else expand_glob(pattern)


def _check_format(options: PreprocessOptions) -> None:
    if options.input_format not in (None, *FORMS):
        raise ValueError(
            f"`input_format` must be one of {list(FORMS)}, got {options.input_format!r}."
        )


def _check_distinct(paths: Iterable[str]) -> None:
    seen = set()
    for path in paths:
        normal = path if "://" in path else os.path.normpath(path)
        if normal in seen:
            raise ValueError(f"`inputs` must name each file once, got {path!r} more than once.")
        seen.add(normal)


def _check_roles(columns: Columns, forms: dict[str, InputForm]) -> None:
    for role in ("label", "split"):
        if (name := getattr(columns, role)) is not None:
            for path, form in forms.items():
                if role not in form.roles:
                    raise ValueError(
                        f"{path}: `{role}` must be None with input of the form {form.name}, "
                        f"which has no such column, got {name!r}."
                    )
    if columns.features is not None and not any("features" in f.roles for f in forms.values()):
        raise ValueError(
            f"`features` must be None without input whose features have names, "
            f"got {columns.features}."
        )


def _check_same_features(path: str, names: tuple[str, ...], first: tuple) -> None:
    if set(names) != set(first[1]):
        raise ValueError(
            f"{path}: the features must be those of {first[0]}, {list(first[1])}, "
            f"got {list(names)}."
        )
