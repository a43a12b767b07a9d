"""Examples and sequence examples without TensorFlow, against TensorFlow's own classes."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from padless.pipeline.dataset import example_proto

KINDS = {
    "bytes_list": st.binary(max_size=5),
    "float_list": st.floats(width=32, allow_nan=False),
    "int64_list": st.integers(-(2**63), 2**63 - 1),
}
FEATURES = st.sampled_from(list(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(KINDS[kind], max_size=4))
)
NAMED = st.dictionaries(st.text(max_size=3), FEATURES, max_size=4)


def fill(feature, content):
    kind, values = content
    getattr(feature, kind).value.extend(values)
    getattr(feature, kind).SetInParent()


def fill_sequence_example(message, context, lists):
    for name, content in context.items():
        fill(message.context.feature[name], content)
    for name, contents in lists.items():
        feature_list = message.feature_lists.feature_list[name]
        feature_list.SetInParent()
        for content in contents:
            fill(feature_list.feature.add(), content)
    return message


def as_feature_list(rows):
    message = example_proto.SequenceExample().feature_lists.feature_list["x"]
    for kind, values in rows:
        fill(message.feature.add(), (kind, values))
    return message


@hypothesis.given(features=NAMED)
def test_examples_are_tensorflows(features):
    ours, theirs = example_proto.Example(), tf.train.Example()
    for message in (ours, theirs):
        for name, content in features.items():
            fill(message.features.feature[name], content)
    assert tf.train.Example.FromString(ours.SerializeToString()) == theirs
    assert example_proto.Example.FromString(theirs.SerializeToString()) == ours


@hypothesis.given(context=NAMED, lists=st.dictionaries(st.text(max_size=3), st.lists(FEATURES)))
def test_sequence_examples_are_tensorflows(context, lists):
    ours = fill_sequence_example(example_proto.SequenceExample(), context, lists)
    theirs = fill_sequence_example(tf.train.SequenceExample(), context, lists)
    assert tf.train.SequenceExample.FromString(ours.SerializeToString()) == theirs
    assert example_proto.SequenceExample.FromString(theirs.SerializeToString()) == ours


@hypothesis.given(features=NAMED)
def test_parse_record_puts_an_example_into_the_context(features):
    message = tf.train.Example()
    for name, content in features.items():
        fill(message.features.feature[name], content)
    record = example_proto.parse_record(message.SerializeToString())
    assert not record.HasField("feature_lists")
    assert set(record.context.feature) == set(features)


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [("float_list", [1.5, -0.0] * 40, np.float32), ("int64_list", [-(2**63), 3], np.int64)],
)
def test_read_numbers_keeps_every_bit(kind, values, dtype):
    feature = example_proto.Example().features.feature["x"]
    fill(feature, (kind, values))
    numbers = example_proto.read_numbers(feature)
    assert numbers.dtype == dtype
    np.testing.assert_array_equal(numbers, np.array(values, dtype))
    np.testing.assert_array_equal(np.signbit(numbers), np.signbit(np.array(values, dtype)))


def test_read_numbers_of_bytes_and_of_nothing():
    feature = example_proto.Example().features.feature["x"]
    assert example_proto.read_numbers(feature).tolist() == []
    feature.bytes_list.value.append(b"a")
    assert example_proto.read_numbers(feature) is None


def test_unpacked_and_unknown_fields_are_no_values():
    unpacked = b"\x0d\x00\x00\x80\x3f\x0a\x04\x00\x00\x00\x40" + b"\x12\x04\xff\xff\xff\xff"
    feature = b"\x12" + bytes([len(unpacked)]) + unpacked
    entry = b"\x0a\x01x\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    record = example_proto.parse_record(b"\x0a" + bytes([len(features)]) + features)
    assert example_proto.read_numbers(record.context.feature["x"]).tolist() == [1, 2]


@hypothesis.given(
    rows=st.lists(
        st.tuples(st.just("float_list"), st.lists(KINDS["float_list"], min_size=2, max_size=2))
        | FEATURES,
        max_size=5,
    )
)
def test_read_float_rows_is_what_a_loop_reads(rows):
    got = example_proto.read_float_rows(as_feature_list(rows))
    uniform = {(kind, len(values)) for kind, values in rows}
    if len(uniform) == 1 and ("float_list", 0) not in uniform and "float_list" in dict(uniform):
        np.testing.assert_array_equal(got, [values for _, values in rows])
    else:
        assert got is None


@pytest.mark.parametrize("num_values", [1, 30, 31, 32, 33, 5000])
def test_read_float_rows_at_the_sizes_of_varints(num_values):
    rows = np.random.default_rng(0).normal(size=(3, num_values)).astype(np.float32)
    feature_list = as_feature_list([("float_list", row.tolist()) for row in rows])
    np.testing.assert_array_equal(example_proto.read_float_rows(feature_list), rows)
