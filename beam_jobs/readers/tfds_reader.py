"""TensorFlow Datasets: `tfds:` and the name of a prepared builder, or a prepared directory.

Only files are looked at, never a builder's code, which asks the network as soon as it is made.
TensorFlow is imported where examples are read; before that TFDS does without.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import types
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import (
    Item,
    Place,
    RejectionError,
    Source,
    UnreadableInputError,
    Whole,
)
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.tfds_classes import own_classes_only
from padless.beam_jobs.readers.values import (
    TimedValues,
    check_sequence,
    needs_times,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_nested,
    parse_split,
    parse_times,
)
from padless.pipeline.dataset.names import INFO_FILE
from padless.pipeline.log_filters import records_dropped
from padless.pipeline.paths import make_absolute
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.tensorflow_start import start_tensorflow
from padless.pipeline.wording import list_names

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_datasets as tfds

_PREFIX = "tfds:"
_PATH = re.compile(r"[/.~]|[a-zA-Z0-9]+://")  # what no name of a builder begins with
_TFDS_ID = "tfds_id"
_MAX_PARTS = 64  # of a split; TensorFlow takes about 0.15 s to begin with one


def open_builder(path: str, shown: str | None = None) -> tfds.core.DatasetBuilder:
    """Opens a prepared builder, whose files say all that is needed of it.

    Args:
        path: its name, or that of its directory.
        shown: what messages call it, if not by the path.

    Raises:
        ValueError: if it is not prepared, or its files are not as TFDS writes them. A class of
            another package that its features name is not imported.
    """
    name = path.removeprefix(_PREFIX)
    try:
        with own_classes_only():
            if _holds_info(name):
                return _tfds().builder_from_directory(name)
            if _PATH.match(name):
                raise ValueError(f"the directory must hold {INFO_FILE}, as a prepared one does.")
            return _find_prepared(name)
    except Exception as error:  # TFDS checks little of the files that it reads
        raise ValueError(
            f"{shown or path}: must be a prepared builder or directory: {error}"
        ) from error


def read_examples(
    builder: tfds.core.DatasetBuilder, source: Source, columns: Columns
) -> Iterator[dict[str, Any]]:
    """Reads the examples of a part, in the order of their files.

    Args:
        builder: opened by `open_builder`.
        source: the input, with a part.
        columns: names of the features; no others are decoded.

    Yields:
        name -> NumPy value, with `tfds_id`, TFDS's own name of the example.

    Raises:
        UnreadableInputError: where the rest of them cannot be read.
    """
    start_tensorflow()
    import tensorflow as tf

    split, start, end = part = _part_of(source)
    try:
        yield from _tfds().as_numpy(_make_dataset(builder, part, columns))
    except (tf.errors.OpError, OSError, NotImplementedError, ImportError) as error:
        message = getattr(error, "message", None) or str(error)
        raise UnreadableInputError(
            f"{source.path}: the examples {start} to {end - 1} of the split {split!r} must be "
            f"readable by TFDS: {message}"
        ) from error


def parse_example(
    example: Mapping[str, Any],
    features: Mapping[str, Any],
    place: Place,
    columns: Columns,
    *,
    has_order: bool = False,
) -> Item:
    """Turns an example into its key and a fragment, or into a reject.

    Args:
        example: name -> NumPy value, with `tfds_id`.
        features: name -> TFDS's description of the feature.
        place: the example's.
        columns: names of the features.
        has_order: whether the timesteps are in order, so that no time is read.
    """
    try:
        key = parse_key(_read_constant(example, features, _key_of(features, columns)))
    except RejectionError as rejection:
        return rejection.reject(place)
    try:
        label, split, group = columns.label, columns.split, columns.group
        timed = TimedValues(parse_values(example[columns.sequence]))
        if not has_order:
            timed = _read_times(example, features, timed.values, columns)
        return key, Whole(
            place,
            timed.values,
            None if label is None else parse_label(_read_constant(example, features, label)),
            timed.times,
            split=None if split is None else parse_split(_read_constant(example, features, split)),
            group=None if group is None else parse_group(_read_constant(example, features, group)),
            padding=timed.padding,
            meta=tuple(
                parse_meta(_read_constant(example, features, name)) for name in columns.meta_columns
            ),
        )
    except RejectionError as rejection:
        return key, rejection.reject_part(place, whole=True)


def parse_values(value: Any) -> np.ndarray:
    """Reads a sequence as float32 `(timesteps, features)`.

    Args:
        value: array `(timesteps,)`, which is one feature, or `(timesteps, ...)`, which is
            flattened; or a ragged tensor, whose timesteps must all have as many values.
    """
    if hasattr(value, "to_list"):
        return parse_nested(value.to_list())
    array = np.asarray(value)
    if not array.ndim:
        return check_sequence(array)
    return check_sequence(array.reshape(len(array), int(np.prod(array.shape[1:]))))


def check_features(
    path: str, features: Mapping[str, Any], columns: Columns, *, needs_times: bool = False
) -> None:
    """Checks that there is what the columns name, and that the sequence is one of numbers.

    Args:
        path: of the input, for messages.
        features: name -> TFDS's description of the feature.
        columns: names of the features.
        needs_times: whether there must be a feature with the times of the timesteps.

    Raises:
        ValueError: if not.
    """
    names = [columns.sequence, columns.label, columns.split, columns.group, *columns.meta_columns]
    if columns.is_given("key") and columns.key != _TFDS_ID:
        names.append(columns.key)
    if needs_times:
        names.append(columns.time)
    for name in names:
        if name is not None and name not in features:
            raise ValueError(
                f"{path}: must have the feature {name!r}, it has {list_names(sorted(features))}."
                f"{did_you_mean(name, features)}"
            )
    info = features[columns.sequence].get_tensor_info()
    shape = getattr(info, "shape", ())
    if not shape or np.dtype(info.np_dtype).kind not in "iuf":
        raise ValueError(
            f"{path}: the feature {columns.sequence!r} must hold numbers of the shape "
            f"(timesteps,) or (timesteps, ...), it is {features[columns.sequence]}."
        )
    if needs_times and not _holds_times(features[columns.time]):
        raise ValueError(
            f"{path}: the feature {columns.time!r} must hold times, numbers or strings of the "
            f"shape (timesteps,), it is {features[columns.time]}."
        )


def _holds_times(feature: Any) -> bool:
    """Checks whether a feature holds one number or string per timestep."""
    info = feature.get_tensor_info()
    shape = getattr(info, "shape", ())
    return len(shape) == 1 and (
        info.np_dtype in (str, bytes, object) or np.dtype(info.np_dtype).kind in "iufSUO"
    )


def _read_times(
    example: Mapping[str, Any], features: Mapping[str, Any], values: np.ndarray, columns: Columns
) -> TimedValues:
    """Reads the times of the timesteps; there are none where no feature holds them."""
    if columns.time not in features or not _holds_times(features[columns.time]):
        return TimedValues(values)
    return parse_times(np.asarray(example[columns.time]).tolist(), values)


def _features(path: str, builder: tfds.core.DatasetBuilder) -> dict[str, Any]:
    if not isinstance(builder.info.features, _tfds().features.FeaturesDict):
        raise ValueError(f"{path}: must have features by name, it has {builder.info.features}.")
    return dict(builder.info.features.items())


def _tfds() -> types.ModuleType:
    import tensorflow_datasets as tfds

    return tfds


def _holds_info(name: str) -> bool:
    from etils import epath

    return bool(name) and (epath.Path(name).expanduser() / INFO_FILE).exists()


def _find_prepared(name: str) -> tfds.core.DatasetBuilder:
    """Finds a builder's newest files where TFDS keeps them.

    `tfds.builder` would make a builder from its code where it has no files, and that looks for them
    on the network.
    """
    from tensorflow_datasets.core import read_only_builder

    tfds = _tfds()
    try:
        return read_only_builder.builder_from_files(name)
    except tfds.core.DatasetNotFoundError as error:
        reason = str(error).partition(" Make sure")[0]
        known = tfds.list_builders(with_community_datasets=False)
        if (builder := re.split("[/:]", name)[0]) not in known:
            raise ValueError(
                f"{reason} TFDS does not know the name; name the directory that holds {INFO_FILE}."
                f"{did_you_mean(builder, known)}"
            ) from error
        raise ValueError(
            f"{reason} Prepare it once, which may download much, by "
            f"tfds.builder({name!r}).download_and_prepare()."
        ) from error


def _make_dataset(
    builder: tfds.core.DatasetBuilder, part: tuple[str, int, int], columns: Columns
) -> tf.data.Dataset:
    from padless.pipeline.batching.untuned import untuned

    tfds, (split, start, end) = _tfds(), part
    roles = ("key", "time", "sequence", "label", "split", "group")
    names = {*(getattr(columns, role) for role in roles), *columns.meta_columns}
    # One file after the other, so that the order is that of the files.
    config = tfds.ReadConfig(add_tfds_id=True, interleave_cycle_length=1, try_autocache=False)
    with _warnings_dropped():
        examples = builder.as_dataset(
            split=tfds.core.ReadInstruction(split, from_=start, to=end, unit="abs"),
            shuffle_files=False,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(
                {name: True for name in builder.info.features if name in names}
            ),
        )
    return untuned(examples)


@contextlib.contextmanager
def _warnings_dropped() -> Iterator[None]:
    """Drops what TFDS and TensorFlow warn of: their own use of what they have deprecated."""

    def is_no_error(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR

    with records_dropped("absl", is_no_error), records_dropped("tensorflow", is_no_error):
        yield


def _key_of(features: Mapping[str, Any], columns: Columns) -> str:
    return columns.key if columns.key in features else _TFDS_ID


def _read_constant(example: Mapping[str, Any], features: Mapping[str, Any], name: str) -> object:
    """Reads a string or a number; a class by its name, None where it has none, as -1."""
    value = example[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    value = np.asarray(value).tolist()
    names = getattr(features.get(name), "names", None)
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _part_of(source: Source) -> tuple[str, int, int]:
    return cast("tuple[str, int, int]", source.part)  # as `_list_parts` made it


def _count_before(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """Counts the examples of the splits before one."""
    names = list(builder.info.splits)
    return sum(builder.info.splits[name].num_examples for name in names[: names.index(split)])


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    builder = open_builder(source.location, source.path)
    split, start, _ = _part_of(source)
    first = _count_before(builder, split) + start + 1
    features = _features(source.path, builder)
    for position, example in enumerate(read_examples(builder, source, columns), first):
        place = source.place(position)
        yield parse_example(example, features, place, columns, has_order=source.has_order)


def _check(source: Source, stream: BinaryIO | None, columns: Columns) -> InputFacts:
    path = source.path
    builder = open_builder(path)
    features = _features(path, builder)
    check_features(path, features, columns, needs_times=needs_times(source, columns))
    if not builder.info.splits.total_num_examples:
        raise ValueError(f"{path}: must hold an example, it holds none.")
    return InputFacts(parts=tuple(_list_parts(builder)))


def _list_parts(builder: tfds.core.DatasetBuilder) -> Iterator[tuple[str, int, int]]:
    """Lists shards, or several in a row: `(split, from, to)`, examples counted from 0."""
    for name, split in builder.info.splits.items():
        ends = np.cumsum([0, *split.shard_lengths]).tolist()
        step = -(-len(split.shard_lengths) // _MAX_PARTS) or 1
        for start, end in itertools.pairwise([*ends[:-1:step], ends[-1]]):
            if end > start:
                yield name, start, end


def _split_of(path: str, part: tuple | None) -> str | None:
    return None if part is None else part[0]


def _locate(path: str) -> str:
    """Makes the path of a directory absolute; the name of a builder stays."""
    name = path.removeprefix(_PREFIX)
    return _PREFIX + make_absolute(os.path.expanduser(name)) if _holds_info(name) else path


FORM = InputForm(
    name="tfds",
    extensions=(),
    unit="example",
    read=_read,
    check=_check,
    split_of=_split_of,
    locate=_locate,
    is_file=False,
)
