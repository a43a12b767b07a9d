"""The record's bytes against TensorFlow's own reading and writing of them."""

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from padless.pipeline.dataset import framing, records


def as_tf_example(key, sequence, label):
    features = {
        "key": tf.train.Feature(bytes_list=tf.train.BytesList(value=[key])),
        "length": tf.train.Feature(int64_list=tf.train.Int64List(value=[len(sequence)])),
        "sequence": tf.train.Feature(float_list=tf.train.FloatList(value=sequence.ravel())),
    }
    if label is not None:
        features["label"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[label]))
    return tf.train.Example(features=tf.train.Features(feature=features))


@hypothesis.given(
    key=st.binary(max_size=300),
    sequence=hnp.arrays(
        np.float32,
        st.tuples(st.integers(0, 40), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False),
    ),
    label=st.none() | st.binary(max_size=9),
)
def test_encode_example_is_what_tensorflow_parses(key, sequence, label):
    parsed = tf.train.Example.FromString(records.encode_example(key, sequence, label))
    assert parsed == as_tf_example(key, sequence, label)


@hypothesis.given(
    key=st.binary(max_size=300),
    sequence=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5))),
    label=st.none() | st.binary(max_size=9),
)
def test_decode_example_reads_what_encode_example_writes(key, sequence, label):
    decoded = records.decode_example(records.encode_example(key, sequence, label))
    assert decoded.pop("key") == [key]
    assert decoded.pop("label", [None]) == [label]
    np.testing.assert_array_equal(decoded.pop("length"), [len(sequence)])
    assert decoded["sequence"].dtype == np.float32
    np.testing.assert_array_equal(decoded["sequence"].reshape(sequence.shape), sequence)


def test_decode_example_reads_numbers_that_are_not_packed_in_any_order():
    # Features -> entry -> name and Feature -> list of int64 or of floats, each value a field.
    length = b"\n\x14\n\x12\n\x06length\x12\x08\x1a\x06\x08\x02\x08\x80\x80\x04"
    values = b"\n\x15\n\x13\n\x08sequence\x12\x07\x12\x05\r\x00\x00\x80?"
    for data in (length + values, values + length):
        expected = tf.train.Example.FromString(data).features.feature
        decoded = records.decode_example(data)
        assert decoded["length"].tolist() == expected["length"].int64_list.value == [2, 65536]
        assert decoded["sequence"].tolist() == expected["sequence"].float_list.value == [1.0]


def test_decode_example_rejects_what_is_none():
    with pytest.raises(ValueError, match=r"its data must be a tf\.train\.Example"):
        records.decode_example(b"\n\x05abc")


def test_encode_example_rejects_one_dimension():
    with pytest.raises(ValueError, match=r"shape \(timesteps, features\), got \(4,\)"):
        records.encode_example(b"k", np.zeros(4, np.float32))


def test_frame_record_is_what_tensorflow_writes(tmp_path):
    data = [b"", b"one", bytes(range(256)) * 40]
    with tf.io.TFRecordWriter(str(tmp_path / "tf")) as writer:
        for record in data:
            writer.write(record)
    assert b"".join(map(framing.frame_record, data)) == (tmp_path / "tf").read_bytes()
    assert list(framing.read_records(tmp_path / "tf")) == data


def framed(*lengths, num_features=2):
    return [
        records.encode_example(b"%d" % i, np.full((length, num_features), i, np.float32))
        for i, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("cut", [1, 11, 13, 40])
def test_read_records_names_a_truncated_record(tmp_path, cut):
    good, bad = map(framing.frame_record, framed(3, 4))
    path = tmp_path / "x.tfrecord"
    path.write_bytes(good + bad[:cut])
    with pytest.raises(ValueError, match=rf"x.tfrecord: record 1 at byte {len(good)}.*truncated"):
        list(framing.read_records(path))


@pytest.mark.parametrize("flip", [2, 30, -1])
def test_read_records_names_a_flipped_bit(tmp_path, flip):
    good, bad = map(framing.frame_record, framed(3, 4))
    bad = bytearray(bad)
    bad[flip] ^= 4
    path = tmp_path / "x.tfrecord"
    path.write_bytes(good + bad)
    with pytest.raises(ValueError, match=rf"x.tfrecord: record 1 at byte {len(good)}.*CRC"):
        list(framing.read_records(path))


def test_parse_examples_gives_the_values_back():
    batch = records.parse_examples(framed(3, 3), records.RecordFormat(2))
    assert batch["key"].numpy().tolist() == [b"0", b"1"]
    assert batch["length"].numpy().tolist() == [3, 3]
    np.testing.assert_array_equal(batch["sequence"][1], np.full((3, 2), 1.0))


def test_parse_examples_rejects_unequal_lengths():
    with pytest.raises(tf.errors.InvalidArgumentError, match="same `length`"):
        records.parse_examples(framed(3, 4), records.RecordFormat(2))


def test_parse_examples_rejects_a_length_that_is_not_the_values():
    with pytest.raises(tf.errors.InvalidArgumentError, match="`length` times 3 values"):
        records.parse_examples(framed(3, 3), records.RecordFormat(3))


def test_parse_lengths_reads_lengths_alone():
    lengths = records.parse_lengths(framed(3, 1, 7), records.RecordFormat(2))
    assert lengths.numpy().tolist() == [3, 1, 7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_features": 0}, "`num_features` must be at least 1, got 0"),
        ({"num_features": 1, "length": ""}, "`length` must name a feature, got ''"),
    ],
)
def test_record_format_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        records.RecordFormat(**options)
