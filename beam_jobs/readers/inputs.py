"""The inputs of a job: which form each has, what is checked before the job starts, their parts."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence

from padless.beam_jobs.files import check_no_directory, expand_glob, open_input
from padless.beam_jobs.fragments import Item, RejectionError, Source
from padless.beam_jobs.options import (
    Columns,
    PreprocessOptions,
    as_output,
    needs_training_split,
)
from padless.beam_jobs.readers import (
    arrow_reader,
    csv_reader,
    jsonl_reader,
    npy_reader,
    npz_reader,
    parquet_reader,
    tfds_reader,
    tfrecord_reader,
    ts_reader,
)
from padless.beam_jobs.readers.form_options import ACTING, check_acting
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.numbered_keys import split_of_archive
from padless.beam_jobs.readers.offsets import find_offsets
from padless.beam_jobs.readers.values import parse_split
from padless.beam_jobs.text_format import PLAIN, TextFormat
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.paths import is_local
from padless.pipeline.wording import list_names

FORMS = {
    module.FORM.name: module.FORM
    for module in (
        csv_reader,
        jsonl_reader,
        npy_reader,
        npz_reader,
        parquet_reader,
        arrow_reader,
        tfds_reader,
        tfrecord_reader,
        ts_reader,
    )
}
_COMPRESSED = ".gz"
_SHARD_NUMBER = re.compile(r"-\d+-of-\d+$")  # of the shards of one file, as in x.tfrecord-0-of-2


def input_form(path: str, options: PreprocessOptions) -> InputForm:
    """Finds the form of an input by the options or else by its name.

    Raises:
        ValueError: if neither says it.
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
        f"{path}: the extension must be one of {list_names(known, most=99)}, got {extension!r}; "
        f"or name the form by `input_format` (`--format`), one of {list_names(FORMS)}."
    )


@dataclasses.dataclass(frozen=True, slots=True)
class CheckedInputs:
    """What the check of all inputs has found out; a job goes by it and does not look again.

    Attributes:
        paths: the inputs, with globs expanded, in their order.
        sources: the parts of the inputs, in their order.
        columns: those of the options, with `features` as the first file with names has them.
        unused: names of the columns that are neither features nor another part, in any file.
        num_bytes: size of all inputs that are files.
        offsets: what is subtracted from each feature before it becomes float32, or None.
    """

    paths: tuple[str, ...]
    sources: tuple[Source, ...]
    columns: Columns
    unused: tuple[str, ...]
    num_bytes: int
    offsets: tuple[float, ...] | None = None


def check_input(
    path: str,
    form: InputForm,
    columns: Columns,
    *,
    time_order: str = "sort",
    text: TextFormat = PLAIN,
) -> InputFacts:
    """Checks one input of a known form; a file is opened once.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is empty or not what its form says, or if it lacks a column.
    """
    source = Source(0, path, form.unit, form.name, time_order=time_order, text=text)
    if not form.is_file:
        return form.check(source, None, columns)
    with open_input(path) as (stream, num_bytes):
        return form.check(source, stream, columns)._replace(num_bytes=num_bytes)


def check_inputs(
    options: PreprocessOptions, *, default_features: Sequence[str] | None = None
) -> CheckedInputs:
    """Checks what can be known of the inputs without reading them to their ends.

    Each file is opened once.

    Args:
        options: what the job reads.
        default_features: what are features where the options do not name them and inputs have
            names of features, such as those of a model; None for all columns.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file is a directory, empty, of an unknown form or not what its form says,
            if one lacks a column, if its split is kept and has a name that no split may have or
            that is to be held out, or if an option does not go with the forms.
    """
    _check_format(options)
    paths = tuple(path for pattern in options.inputs for path in _expand(pattern, options))
    _check_distinct(paths)
    forms = {path: _checked_form(path, options) for path in paths}
    check_acting(options, {path: form.name for path, form in forms.items()})
    columns = _with_features(options.columns, forms, default_features)
    order = options.rules.time_order
    facts = {
        path: check_input(path, form, columns, time_order=order, text=options.text)
        for path, form in forms.items()
    }
    features = _common_features({path: found.features for path, found in facts.items()})
    sources = tuple(
        Source(
            *(index, path, form.unit, form.name, part),
            split=_split_of(form, path, part, options),
            time_order=order,
            text=facts[path].text,
            absolute_path=form.locate(path),
        )
        for index, (path, form) in enumerate(forms.items())
        for part in facts[path].parts
    )
    _check_kept_splits(sources, options)
    columns = dataclasses.replace(columns, features=features)
    return CheckedInputs(
        paths,
        sources,
        columns,
        unused=tuple(dict.fromkeys(name for found in facts.values() for name in found.unused)),
        num_bytes=sum(found.num_bytes for found in facts.values()),
        offsets=find_offsets(_read_all(sources, columns), columns) if columns.center else None,
    )


def read_source(source: Source, columns: Columns) -> Iterator[Item]:
    """Reads one part of an input as `(key, fragment)` pairs and rejects.

    Raises:
        UnreadableInputError: where the rest of it cannot be read.
    """
    return FORMS[source.form].read(source, columns)


def _read_all(sources: Iterable[Source], columns: Columns) -> Iterator[Item]:
    for source in sources:
        yield from read_source(source, columns)


def _checked_form(path: str, options: PreprocessOptions) -> InputForm:
    if not _is_prefixed(path, options):
        check_no_directory(path)
    return input_form(path, options)


def _is_prefixed(path: str, options: PreprocessOptions) -> bool:
    """Checks whether an input is not a file, such as one of TFDS."""
    name = options.input_format or path.partition(":")[0]
    return name in FORMS and not FORMS[name].is_file


def _split_of(
    form: InputForm, path: str, part: tuple | None, options: PreprocessOptions
) -> bytes | None:
    if not options.keep_splits:
        return None
    name = form.split_of(path, part)
    if name is None and options.columns.wide:
        name = split_of_archive(path)
    if name is None:
        name = os.path.basename(os.path.dirname(os.path.abspath(path)))
    try:
        return parse_split(name)
    except RejectionError as rejection:
        raise ValueError(
            f"{path}: {name!r} cannot be the name of a split: {rejection.rule}"
        ) from None


def _check_kept_splits(sources: Iterable[Source], options: PreprocessOptions) -> None:
    """Checks that there is a training split where one is needed, and none that is held out."""
    hold_out = dict(as_output(options.output).held_out)
    if not options.keep_splits or not (hold_out or options.rules.train_labels):
        return
    found = {source.split.decode(): source.path for source in sources if source.split}
    for name in hold_out:
        if name in found:
            raise ValueError(
                f"{found[name]}: `hold_out` must name a split that the input does not have, "
                f"got {name!r}."
            )
    if TRAINING_SPLIT not in found:
        option = "hold_out" if hold_out else "train_labels"
        raise ValueError(needs_training_split(option, "the input", sorted(found)))


def _expand(pattern: str, options: PreprocessOptions) -> list[str]:
    return [pattern] if _is_prefixed(pattern, options) else expand_glob(pattern)


def _check_format(options: PreprocessOptions) -> None:
    if options.input_format not in (None, *FORMS):
        raise ValueError(
            f"`input_format` must be one of {list_names(FORMS)}, got {options.input_format!r}."
        )


def _check_distinct(paths: Iterable[str]) -> None:
    seen = set()
    for path in paths:
        normal = os.path.normpath(path) if is_local(path) else path
        if normal in seen:
            raise ValueError(f"`inputs` must name each file once, got {path!r} more than once.")
        seen.add(normal)


def _with_features(
    columns: Columns, forms: dict[str, InputForm], features: Sequence[str] | None
) -> Columns:
    """Returns the columns with these features, where none are given and a form has names."""
    acts = any(form.name in ACTING["features"] for form in forms.values())
    if features is None or columns.features is not None or columns.wide or not acts:
        return columns
    return dataclasses.replace(columns, features=features)


def _common_features(names: dict[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Returns the names of the first input that has some, which must be those of all others."""
    named = {path: features for path, features in names.items() if features is not None}
    if not named:
        return None
    first, expected = next(iter(named.items()))
    for path, features in named.items():
        if set(features) != set(expected):
            both = [name for name in expected if name in features]
            remedy = f"; `features` can name those of both, {list_names(both)}" if both else ""
            raise ValueError(
                f"{path}: the features must be those of {first}, {list_names(expected)}, "
                f"got {list_names(features)}{remedy}."
            )
    return expected
