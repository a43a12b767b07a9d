"""The record: one sequence as a `tf.train.Example`, written and read side by side.

Everything padless knows about an example is in this file; `framing` puts examples into files. The
features of an example:

| name       | kind                   | holds                                                   |
|------------|------------------------|---------------------------------------------------------|
| `key`      | bytes, one value       | the sequence's name, UTF-8                              |
| `length`   | int64, one value       | the number of timesteps                                 |
| `sequence` | float, length*features | the values in raw units, `(timesteps, features)` by row |
| `label`    | bytes, one value       | the label as it was in the input, UTF-8; optional       |
| `meta/NAME`| bytes, one value       | the column NAME, carried into outputs, UTF-8; optional  |

Writing needs NumPy only, so that a Beam worker never imports TensorFlow; the functions that build
TensorFlow operations import it when called.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath
from google.protobuf.message import DecodeError

from padless.pipeline.dataset.example_proto import parse_record, read_numbers
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.names import meta_feature

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, slots=True)
class RecordFormat:
    """Names the features of an example, so that TFRecords written elsewhere can be read too.

    Attributes:
        num_features: values per timestep.
        sequence: name of the float feature with `timesteps * num_features` values, row by row.
        length: name of the int64 feature with the number of timesteps.
        key: name of the bytes feature that identifies a sequence, or None where there is none.
        label: name of the bytes feature with the label, or None where there is none.
        meta_columns: columns that are carried into outputs, each in the bytes feature that
            `padless.pipeline.dataset.names.meta_feature` names.

    Raises:
        ValueError: if `num_features` is below 1 or a required name is empty.
    """

    num_features: int
    sequence: str = "sequence"
    length: str = "length"
    key: str | None = "key"
    label: str | None = None
    meta_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.num_features < 1:
            raise ValueError(f"`num_features` must be at least 1, got {self.num_features}.")
        for field in ("sequence", "length"):
            if not getattr(self, field):
                raise ValueError(f"`{field}` must name a feature, got {getattr(self, field)!r}.")


def encode_example(
    key: bytes,
    sequence: np.ndarray,
    label: bytes | None = None,
    meta: Mapping[str, bytes] | None = None,
) -> bytes:
    """Serializes one sequence as a `tf.train.Example`, the same bytes for the same arguments.

    The protocol buffer is written directly: for 100 timesteps of 14 features that took 31
    microseconds where `tf.train.Example` took 123 from a list and 484 from an array.

    Args:
        key: name of the sequence, UTF-8.
        sequence: float32 array `(timesteps, features)`.
        label: label, UTF-8, or None to leave the feature out.
        meta: column -> value, UTF-8, of what is carried into outputs, or None for nothing.

    Returns:
        The serialized example, its features in the order of their names.

    Raises:
        ValueError: if `sequence` does not have two dimensions.
    """
    if sequence.ndim != 2:
        raise ValueError(
            f"`sequence` must have the shape (timesteps, features), got {sequence.shape}."
        )
    values = np.ascontiguousarray(sequence, "<f4").tobytes()
    entries = [
        _map_entry(b"key", _bytes_feature(key)),
        *([] if label is None else [_map_entry(b"label", _bytes_feature(label))]),
        _map_entry(b"length", _field(3, _field(1, _varint(len(sequence))))),
        *(
            _map_entry(meta_feature(column).encode(), _bytes_feature(value))
            for column, value in sorted((meta or {}).items())
        ),
        _map_entry(b"sequence", _field(2, _field(1, values))),
    ]
    return _field(1, b"".join(entries))


def decode_example(data: bytes) -> dict[str, list[bytes] | np.ndarray]:
    """Reads the features of a serialized `tf.train.Example`, whoever has written it.

    Features may be in any order and numbers packed or not, as protocol buffers allow: the
    protobuf library reads them.

    Returns:
        Name -> values, `(values,)`: a list of bytes, a float32 or an int64 array.

    Raises:
        ValueError: if the bytes are no example.
    """
    try:
        features = parse_record(data).context.feature
    except DecodeError as error:
        raise ValueError(f"its data must be a tf.train.Example: {error}") from error
    return {name: _read_values(feature) for name, feature in features.items()}


def parse_examples(serialized: tf.Tensor, record_format: RecordFormat) -> dict[str, tf.Tensor]:
    """Parses a batch of serialized examples whose sequences all have one length.

    The values are parsed as a ragged tensor and only reshaped, so there is no step at which
    anything could be padded: a record that does not fit its batch is an error.

    Args:
        serialized: string tensor `(batch,)`, not empty.
        record_format: names of the features.

    Returns:
        `sequence` `(batch, timesteps, features)` float32 and `length` `(batch,)` int64, and, where
        the format names them, `key`, `label` and `meta/` with each of `meta_columns`, `(batch,)`
        string.

    Raises:
        tf.errors.InvalidArgumentError: when run, if the lengths differ, or a length is not the
            number of values divided by the number of features.
    """
    import tensorflow as tf

    batch = _parse_features(serialized, record_format)
    length = batch["length"]
    checks = [
        tf.debugging.assert_equal(
            length,
            length[0],
            "Every sequence of a batch must have the same `length`.",
        ),
        _assert_counts(batch, record_format),
    ]
    with tf.control_dependencies(checks):
        batch["sequence"] = tf.reshape(
            batch["sequence"].values,
            tf.stack(
                [tf.size(serialized), tf.cast(length[0], tf.int32), record_format.num_features]
            ),
        )
    return batch


def parse_ragged_examples(
    serialized: tf.Tensor, record_format: RecordFormat
) -> dict[str, tf.Tensor]:
    """Parses a batch of serialized examples of any lengths, the values row after row.

    Args:
        serialized: string tensor `(batch,)`, which may be empty.
        record_format: names of the features.

    Returns:
        `values` `(timesteps of all rows, features)` float32 and `length` `(batch,)` int64, and,
        where the format names them, `key`, `label` and `meta/` with each of `meta_columns`,
        `(batch,)` string.

    Raises:
        tf.errors.InvalidArgumentError: when run, if a length is not the number of values divided by
            the number of features.
    """
    import tensorflow as tf

    batch = _parse_features(serialized, record_format)
    with tf.control_dependencies([_assert_counts(batch, record_format)]):
        flat = batch.pop("sequence").values
        return batch | {"values": tf.reshape(flat, (-1, record_format.num_features))}


def parse_lengths(serialized: tf.Tensor, record_format: RecordFormat) -> tf.Tensor:
    """Parses the lengths alone of a batch of serialized examples.

    Args:
        serialized: string tensor `(batch,)`.
        record_format: names of the features.

    Returns:
        Number of timesteps, `(batch,)` int64.
    """
    import tensorflow as tf

    name = record_format.length
    return tf.io.parse_example(serialized, {name: _feature_spec("length", name)})[name]


def read_lengths(path: epath.PathLike, record_format: RecordFormat) -> Iterator[int]:
    """Yields the length of each record of a TFRecord file.

    Raises:
        ValueError: if a record is damaged, or lacks the length that the format names.
    """
    import tensorflow as tf

    records, position = read_records(path), 0
    while chunk := list(itertools.islice(records, 1024)):
        try:
            yield from parse_lengths(tf.constant(chunk), record_format).numpy().tolist()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"{path}: each record must hold one int64 in {record_format.length!r}; "
                f"in records {position} to {position + len(chunk) - 1}: {error.message}"
            ) from error
        position += len(chunk)


def _read_values(feature: Any) -> list[bytes] | np.ndarray:
    numbers = read_numbers(feature)
    return list(feature.bytes_list.value) if numbers is None else numbers


def _parse_features(serialized: tf.Tensor, record_format: RecordFormat) -> dict:
    """Parses the features that the format names; the values as a ragged tensor, flat by row."""
    import tensorflow as tf

    names = {
        field: getattr(record_format, field)
        for field in ("key", "length", "sequence", "label")
        if getattr(record_format, field) is not None
    }
    names |= {name: name for name in map(meta_feature, record_format.meta_columns)}
    parsed = tf.io.parse_example(
        serialized, {name: _feature_spec(field, name) for field, name in names.items()}
    )
    return {field: parsed[name] for field, name in names.items()}


def _assert_counts(batch: dict, record_format: RecordFormat) -> tf.Operation:
    import tensorflow as tf

    return tf.debugging.assert_equal(
        batch["sequence"].row_lengths(),
        batch["length"] * record_format.num_features,
        f"`{record_format.sequence}` must hold `{record_format.length}` times "
        f"{record_format.num_features} values.",
    )


def _feature_spec(field: str, name: str) -> Any:
    import tensorflow as tf

    if field == "sequence":
        return tf.io.RaggedFeature(tf.float32, value_key=name, row_splits_dtype=tf.int64)
    return tf.io.FixedLenFeature([], tf.int64 if field == "length" else tf.string)


def _map_entry(name: bytes, feature: bytes) -> bytes:
    return _field(1, _field(1, name) + _field(2, feature))


def _bytes_feature(value: bytes) -> bytes:
    return _field(1, _field(1, value))


def _field(number: int, payload: bytes) -> bytes:
    """Writes a length-delimited protocol buffer field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
