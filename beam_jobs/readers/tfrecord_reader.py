"""TFRecords of `tf.train.Example` or `tf.train.SequenceExample`, read without TensorFlow.

A record with feature lists is a `SequenceExample`, any other an `Example`. Where `features` names
something that it has, each of these is a list of one value per timestep, or a feature list of such.
Otherwise the values are in `sequence`: in an example flat by row, to be folded by `length` or by
the number of `features`; in a sequence example one list of values per timestep. Key, label and
split are features of the example, or of the sequence example's context; so is a group.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.message import DecodeError, Message

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import decompress, open_bytes
from padless.beam_jobs.fragments import (
    Item,
    Place,
    RejectedPart,
    RejectionError,
    Source,
    UnreadableInputError,
    Whole,
    shorten,
)
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.suggestions import is_missing
from padless.beam_jobs.readers.tfrecord_times import read_times
from padless.beam_jobs.readers.values import (
    check_sequence,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_split,
)
from padless.pipeline.dataset.example_proto import parse_record, read_float_rows, read_numbers
from padless.pipeline.dataset.framing import SNIFFED_BYTES, find_compression, read_record_stream
from padless.pipeline.wording import list_names


def read_tfrecord(stream: BinaryIO, source: Source, columns: Columns) -> Iterator[Item]:
    """Reads TFRecords, one whole sequence per record.

    Args:
        stream: the file, not compressed.
        source: the file.
        columns: names of the features.

    Yields:
        `(key, fragment)`, or a reject where no key could be read.

    Raises:
        UnreadableInputError: at the first record that is damaged or cut.

    Example:
        >>> import io
        >>> from padless.pipeline.dataset.framing import frame_record
        >>> from padless.pipeline.dataset.records import encode_example
        >>> example = encode_example(b"a", np.ones((3, 2), np.float32))
        >>> stream = io.BytesIO(frame_record(example))
        >>> key, whole = next(read_tfrecord(stream, Source(0, "x.tfrecord"), Columns()))
        >>> key, whole.values.shape
        (b'a', (3, 2))
    """
    for number, data in enumerate(_read_records(stream, source.path), 1):
        place = source.place(number)
        try:
            record = _parse_record(data)
            key = _parse_constant(parse_key, record.context.feature, columns.key)
        except RejectionError as rejection:
            yield rejection.reject(place)
        else:
            yield key, _parse_whole(record, place, source, columns)


@contextlib.contextmanager
def decode_records(path: str, stream: BinaryIO) -> Iterator[BinaryIO]:
    """Decompresses a TFRecord file if it is compressed by gzip or ZLIB; `path` is for messages."""
    form = find_compression(stream.read(SNIFFED_BYTES))
    stream.seek(0)
    with decompress(path, stream, form) if form else contextlib.nullcontext(stream) as plain:
        yield plain


def read_example(features: Mapping[str, Any], columns: Columns) -> np.ndarray:
    """Reads the values of an `Example`.

    Args:
        features: its features, name -> `Feature`.
        columns: names of the features.

    Returns:
        `(timesteps, features)`, of any numeric type.

    Raises:
        RejectionError: if they are not there or not of that shape.
    """
    if names := _find_own(features, columns):
        _check_left_out("length", columns, "`features` are lists of one value per timestep")
        return _stack({name: _read_list(features, name) for name in names})
    values = _read_list(features, columns.sequence)
    length = _read_length(features, columns)
    return _fold(values, length, columns)


def read_sequence_example(feature_lists: Mapping[str, Any], columns: Columns) -> np.ndarray:
    """Reads the values of a `SequenceExample`.

    Args:
        feature_lists: name -> `FeatureList`.
        columns: names of the feature lists.

    Returns:
        `(timesteps, features)`, of any numeric type.

    Raises:
        RejectionError: if they are not there or not of that shape.
    """
    _check_left_out("length", columns, "the record is a SequenceExample, whose lists are as long")
    if not (names := _find_own(feature_lists, columns)):
        return _read_rows(feature_lists, columns.sequence)
    lists = {name: _read_rows(feature_lists, name) for name in names}
    for name, rows in lists.items():
        if len(rows) and rows.shape[1] != 1:
            raise RejectionError(
                "bad_shape",
                f"the feature list {name!r} must hold one value per timestep, got {rows.shape[1]}.",
            )
    return _stack({name: rows.ravel() for name, rows in lists.items()})


def _read_records(stream: BinaryIO, path: str) -> Iterator[bytes]:
    try:
        yield from read_record_stream(stream, path)
    except ValueError as error:
        raise UnreadableInputError(str(error)) from error


def _parse_record(data: bytes) -> Message:
    try:
        return parse_record(data)
    except DecodeError as error:
        raise RejectionError(
            "bad_record",
            f"a record must be a tf.train.Example or SequenceExample, "
            f"its {len(data)} bytes are not: {error}.",
        ) from error


def _parse_whole(
    record: Message, place: Place, source: Source, columns: Columns
) -> Whole | RejectedPart:
    try:
        values = check_sequence(_read_values(record, columns))
        _check_width(values, columns)
        label, split, group = _parse_constants(record.context.feature, columns)
        values, times, padding = read_times(record, values, source, columns)
        meta = _parse_meta(record.context.feature, columns)
        return Whole(place, values, label, times, split, group, padding, meta)
    except RejectionError as rejection:
        return rejection.reject_part(place, whole=True)


def _parse_constants(features: Mapping[str, Any], columns: Columns) -> tuple:
    """Reads label, split and group, None where the options name none."""
    named = (
        (parse_label, columns.label),
        (parse_split, columns.split),
        (parse_group, columns.group),
    )
    return tuple(
        None if name is None else _parse_constant(parse, features, name) for parse, name in named
    )


def _parse_meta(features: Mapping[str, Any], columns: Columns) -> tuple[bytes, ...]:
    return tuple(_parse_constant(parse_meta, features, name) for name in columns.meta_columns)


def _parse_constant(
    parse: Callable[[object], bytes], features: Mapping[str, Any], name: str
) -> bytes:
    try:
        return parse(_read_constant(features, name))
    except RejectionError as rejection:
        if name in features:
            raise
        rule = f"the record {is_missing('feature', name, features)}"
        raise RejectionError(rejection.reason, rule) from None


def _read_values(record: Message, columns: Columns) -> np.ndarray:
    if record.HasField("feature_lists"):
        return read_sequence_example(record.feature_lists.feature_list, columns)
    return read_example(record.context.feature, columns)


def _check_left_out(role: str, columns: Columns, reason: str) -> None:
    if columns.is_given(role):
        name = getattr(columns, role)
        raise RejectionError("bad_record", f"`{role}` must be left out, as {reason}, got {name!r}.")


def _find_own(available: Mapping[str, Any], columns: Columns) -> tuple[str, ...]:
    """Returns the names of the features if at least one is a feature of the record.

    Otherwise they name the values of `sequence`, in order: a job may read them from a CSV file
    besides these records, where they are the columns.
    """
    names = tuple(columns.features or ())
    if not any(name in available for name in names):
        return ()
    _check_left_out("sequence", columns, "the values are in the lists that `features` names")
    return names


def _check_width(values: np.ndarray, columns: Columns) -> None:
    if columns.features is not None and values.shape[1] != len(columns.features):
        raise RejectionError(
            "wrong_num_features",
            f"a timestep must hold the {len(columns.features)} values that `features` names, "
            f"got {values.shape[1]}.",
        )


def _find(available: Mapping[str, Any], name: str, what: str) -> Message:
    # A message's map makes an entry where one is asked for that it does not have.
    if name not in available:
        raise RejectionError("bad_record", f"the record {is_missing(what, name, available)}")
    return available[name]


def _read_list(features: Mapping[str, Any], name: str) -> np.ndarray:
    values = read_numbers(_find(features, name, "feature"))
    if values is None:
        raise RejectionError(
            "not_a_number", f"the feature {name!r} must be a list of float or int64, got bytes."
        )
    return values


def _read_rows(feature_lists: Mapping[str, Any], name: str) -> np.ndarray:
    """Reads a feature list as `(timesteps, values)`."""
    feature_list = _find(feature_lists, name, "feature list")
    if (rows := read_float_rows(feature_list)) is not None:
        return rows
    checked: list[np.ndarray] = []
    for timestep, values in enumerate(map(read_numbers, feature_list.feature)):
        checked.append(_checked_row(timestep, values, checked, name))
    return np.stack(checked) if checked else np.empty((0, 1))


def _checked_row(
    timestep: int, values: np.ndarray | None, before: list[np.ndarray], name: str
) -> np.ndarray:
    if values is None:
        raise RejectionError(
            "not_a_number",
            f"the feature list {name!r} must hold float or int64, timestep {timestep} holds bytes.",
        )
    if before and len(values) != len(before[0]):
        raise RejectionError(
            "ragged_row",
            f"timestep {timestep} of {name!r} must hold {len(before[0])} values as timestep 0 "
            f"does, got {len(values)}.",
        )
    return values


def _stack(lists: dict[str, np.ndarray]) -> np.ndarray:
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise RejectionError(
            "bad_shape", f"the features must have one value per timestep, got {shorten(lengths)}."
        )
    return np.stack(list(lists.values()), axis=1)


def _read_length(features: Mapping[str, Any], columns: Columns) -> int | None:
    """Reads the number of timesteps; None where `features` gives their width instead."""
    if columns.length not in features:
        if columns.features is not None and not columns.is_given("length"):
            return None
        raise RejectionError(
            "bad_record",
            f"the record must have the int64 feature {columns.length!r} with the number of "
            f"timesteps, or `features` must name the values of one; "
            f"it has {list_names(sorted(features))}.",
        )
    length = _read_constant(features, columns.length)
    if type(length) is not int or length < 0:
        raise RejectionError(
            "bad_record",
            f"the feature {columns.length!r} must be one int64, at least 0, got {shorten(length)}.",
        )
    return length


def _fold(values: np.ndarray, length: int | None, columns: Columns) -> np.ndarray:
    """Reshapes `(timesteps * features,)` to `(timesteps, features)`."""
    if length is None:
        width = len(columns.features or ())
        known = f"{width} features"
        length = len(values) // width
    else:
        width, known = len(values) // max(length, 1) or 1, f"{length} timesteps"
    if length * width != len(values):
        raise RejectionError(
            "bad_shape",
            f"the feature {columns.sequence!r} must hold timesteps * features values, "
            f"got {len(values)} with {known}.",
        )
    return values.reshape(length, width)


def _read_constant(features: Mapping[str, Any], name: str) -> object:
    """Reads one string or number; None where there is none, a list where there are several."""
    kind = features[name].WhichOneof("kind") if name in features else None
    if kind is None:
        return None
    values = getattr(features[name], kind).value
    if len(values) != 1:
        return list(values) or None
    if kind == "bytes_list":
        return values[0].decode("utf-8", "surrogateescape")
    # By the shortest decimal number: as a float64, 0.1 would be 0.10000000149011612.
    return float(str(np.float32(values[0]))) if kind == "float_list" else values[0]


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    with (
        open_bytes(source.location) as stream,
        decode_records(source.path, stream) as records,
    ):
        yield from read_tfrecord(records, source, columns)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    path = source.path
    with decode_records(path, stream) as records:
        if next(_read_records(records, path), None) is None:
            raise ValueError(f"{path}: must hold at least one record, it holds none.")
    return InputFacts(None if columns.features is None else tuple(columns.features))


FORM = InputForm(
    name="tfrecord",
    extensions=(".tfrecord", ".tfrecords"),
    unit="record",
    read=_read,
    check=_check,
)
