"""TFRecords of examples and sequence examples: what is read, and each fault of a record."""

import contextlib
import gzip
import io
import struct
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns
from padless.beam_jobs.fragments import Reject, RejectedPart, Source, UnreadableInputError, Whole
from padless.beam_jobs.readers.inputs import check_input
from padless.beam_jobs.readers.tfrecord_reader import FORM, decode_records, read_tfrecord
from padless.pipeline.dataset.example_proto import Example, SequenceExample
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

SOURCE = Source(2, "x.tfrecord", "record")
NAMED = Columns(features=("a", "b"))
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def read(*records, columns=None):
    stream = io.BytesIO(b"".join(map(frame_record, records)))
    return list(read_tfrecord(stream, SOURCE, columns or Columns()))


def read_one(record, columns=None):
    ((_, fragment),) = read(record, columns=columns)
    return fragment


def fill(feature, values):
    values = np.atleast_1d(values).tolist()
    kind = {float: "float_list", int: "int64_list", bytes: "bytes_list"}.get(type(values[0]))
    getattr(feature, kind).value.extend(values)


def example(**features):
    message = Example()
    for name, values in ({"key": b"k"} | features).items():
        if values is not None:
            fill(message.features.feature[name], values)
    return message.SerializeToString()


def sequence_example(context=None, **feature_lists):
    message = SequenceExample()
    for name, values in ({"key": b"k"} | (context or {})).items():
        fill(message.context.feature[name], values)
    message.feature_lists.SetInParent()
    for name, rows in feature_lists.items():
        feature_list = message.feature_lists.feature_list[name]
        for row in rows:
            fill(feature_list.feature.add(), row)
    return message.SerializeToString()


def test_what_padless_writes_is_read():
    items = read(encode_example(b"a", VALUES, b"up"), encode_example(b"b", VALUES[:1], b"down"))
    assert [key for key, _ in items] == [b"a", b"b"]
    assert str(items[1][1].place) == "x.tfrecord, record 2"
    np.testing.assert_array_equal(items[0][1].values, VALUES)


def test_named_features_are_read():
    record = example(
        id=7, mfcc=[1.0, 2.0, 3.0, 4.0], frames=2, **{"class": 0.1}, fold=b"test", key=None
    )
    columns = Columns(key="id", sequence="mfcc", length="frames", label="class", split="fold")
    ((key, whole),) = read(record, columns=columns)
    assert (key, whole.label, whole.split) == (b"7", b"0.1", b"test")
    assert whole.values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "record",
    [
        example(sequence=VALUES.ravel(), length=3),
        example(sequence=VALUES.ravel().astype(int), length=3),
        example(sequence=VALUES.ravel()),
        example(a=VALUES[:, 0], b=VALUES[:, 1].astype(int), sequence=[9.0]),
        sequence_example(sequence=VALUES),
        sequence_example(sequence=VALUES.astype(int)),
        sequence_example(sequence=[*VALUES[:1], *VALUES[1:].astype(int)]),
        sequence_example(a=VALUES[:, 0], b=VALUES[:, 1], length=[[0.5]]),
        sequence_example(a=VALUES[:, 0].astype(int), b=VALUES[:, 1]),
    ],
)
def test_every_layout_gives_the_same_values(record):
    whole = read_one(record, NAMED)
    assert whole.values.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(whole.values, VALUES)


def test_missing_values_stay():
    assert np.isnan(read_one(example(sequence=[1.0, np.nan], length=1)).values).any()


@pytest.mark.parametrize(
    ("record", "reason", "rule"),
    [
        (example(key=None), "missing_key", "the record must have the feature 'key', it has none"),
        (example(key=b""), "missing_key", "got ''"),
        (example(key=[b"a", b"b"]), "bad_key", "got [b'a', b'b']"),
        (example(key=1.5), "bad_key", "got 1.5"),
        (example(key=b"\xff"), "bad_key", "must be UTF-8, got '\\udcff'"),
        (b"hello", "bad_record", "its 5 bytes are not"),
        (b"", "missing_key", "the record must have the feature 'key', it has none"),
    ],
)
def test_a_record_without_readable_key_is_one_reject(record, reason, rule):
    (reject,) = read(record)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.key, reject.place.position) == (reason, None, 1)
    assert rule in reject.rule


@pytest.mark.parametrize(
    ("record", "reason", "rule"),
    [
        (example(), "bad_record", "must have the feature 'sequence', it has 'key'"),
        (example(sequence=b"a", length=1), "not_a_number", "a list of float or int64, got bytes"),
        (example(sequence=[1.0]), "bad_record", "must have the int64 feature 'length'"),
        (example(sequence=[1.0], length=1.0), "bad_record", "one int64, at least 0, got 1.0"),
        (example(sequence=[1.0], length=-1), "bad_record", "at least 0, got -1"),
        (example(sequence=[1.0], length=[1, 1]), "bad_record", "at least 0, got [1, 1]"),
        (example(sequence=[1.0, 2.0, 3.0], length=2), "bad_shape", "got 3 with 2 timesteps"),
        (example(sequence=[1.0], length=0), "bad_shape", "got 1 with 0 timesteps"),
        (example(sequence=[1.0], length=2**63 - 1), "bad_shape", "got 1 with 9223372036854775807"),
        (example(sequence=[np.inf], length=1), "infinite", "must be finite as float32, got inf"),
        (sequence_example(), "bad_record", "must have the feature list 'sequence', it has none"),
        (sequence_example(sequence=[]), "zero_timesteps", "must have a timestep"),
        (sequence_example(sequence=[[1.0], [1.0, 2.0]]), "ragged_row", "hold 1 .*, got 2"),
        (sequence_example(sequence=[[1.0], [b"a"]]), "not_a_number", "timestep 1 holds bytes"),
    ],
)
def test_a_bad_record_is_a_fault_of_its_key(record, reason, rule):
    fault = read_one(record)
    assert isinstance(fault, RejectedPart)
    assert (fault.reason, fault.whole) == (reason, True)
    for part in rule.split(".*"):
        assert part in fault.rule


@pytest.mark.parametrize(
    ("record", "reason", "rule"),
    [
        (example(a=[1.0]), "bad_record", "must have the feature 'b', it has 'a' and 'key'"),
        (example(a=[1.0], b=[1, 2]), "bad_shape", "one value per timestep, got {'a': 1, 'b': 2}"),
        (example(sequence=[1.0] * 10), None, None),
        (example(sequence=[1.0] * 3), "bad_shape", "got 3 with 2 features"),
        (example(sequence=[1.0] * 3, length=1), "wrong_num_features", "names, got 3"),
        (sequence_example(a=[[1.0, 2.0]], b=[[1.0]]), "bad_shape", "'a' must hold one value"),
        (sequence_example(a=[[1.0]], b=[]), "bad_shape", "got {'a': 1, 'b': 0}"),
        (sequence_example(sequence=[[1.0]]), "wrong_num_features", "names, got 1"),
    ],
)
def test_named_features_must_fit(record, reason, rule):
    fragment = read_one(record, NAMED)
    if reason is None:
        assert isinstance(fragment, Whole)
    else:
        assert fragment.reason == reason
        assert rule in fragment.rule


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (Columns(label="c"), "missing_label"),
        (Columns(label="list"), "bad_label"),
        (Columns(split="c"), "missing_split"),
        (Columns(split="list"), "bad_split"),
    ],
)
def test_label_and_split_must_be_there(columns, reason):
    record = example(sequence=[1.0], length=1, list=[1, 2])
    assert read_one(record, columns).reason == reason


@pytest.mark.parametrize("times", [[3, 1, 2], [0.3, 0.1, 0.2], [b"2003", b"2001", b"2002"]])
@pytest.mark.parametrize("in_lists", [True, False])
def test_a_list_of_times_is_read(times, in_lists):
    lists = {"sequence": VALUES.tolist()} | ({"t": times} if in_lists else {})
    record = sequence_example({} if in_lists else {"t": times}, **lists)
    whole = read_one(record, Columns(time="t"))
    expected = [int(t) if isinstance(t, bytes) else t for t in times]
    np.testing.assert_allclose(np.array(whole.times, np.float64), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "features", "rule"),
    [
        ({"time": "t"}, {}, "the record must have the feature 't', it has 'key', 'length'"),
        ({"time": "t"}, {"t": [1, 2]}, "there must be one time per timestep, 3, got 2."),
        ({"time": "t"}, {"t": 1}, "there must be one time per timestep, 3, got 1."),
        ({}, {"time": [1, 2]}, "there must be one time per timestep, 3, got 2."),
        ({"time": "t"}, {"t": [b"a", b"b", b"c"]}, "got 'a'."),
    ],
)
def test_times_that_are_not_as_they_should_be_are_rejected(options, features, rule):
    record = example(sequence=VALUES.ravel(), length=3, **features)
    fragment = read_one(record, Columns(**options))
    assert fragment.reason == "bad_time"
    assert rule in fragment.rule


def test_a_single_value_of_the_default_name_is_no_list_of_times():
    assert read_one(example(sequence=VALUES.ravel(), length=3, time=7)).times is None


@pytest.mark.parametrize(
    ("record", "options", "rule"),
    [
        (sequence_example(sequence=VALUES.tolist()), {"length": "n"}, "`length` must be left out"),
        (example(a=[1.0], b=[2.0]), {"length": "n"}, "`length` must be left out"),
        (example(a=[1.0], b=[2.0]), {"sequence": "s"}, "`sequence` must be left out"),
        (example(sequence=[1.0, 2.0]), {"length": "n"}, "must have the int64 feature 'n'"),
    ],
)
def test_a_name_without_effect_is_rejected(record, options, rule):
    fragment = read_one(record, Columns(features=("a", "b"), **options))
    assert fragment.reason == "bad_record"
    assert rule in fragment.rule


def test_a_length_without_values_takes_no_memory():
    message = Example.FromString(example(length=2**62))
    message.features.feature["sequence"].float_list.SetInParent()
    assert read_one(message.SerializeToString()).reason in ("bad_shape", "wrong_num_features")


def write(tmp_path, data):
    path = tmp_path / "x.tfrecords"
    path.write_bytes(data)
    return str(path)


def read_file(path):
    return list(FORM.read(Source(0, path), Columns()))


def test_gzip_is_read(tmp_path):
    path = write(tmp_path, gzip.compress(frame_record(encode_example(b"a", VALUES))))
    assert check_input(path, FORM, NAMED).features == ("a", "b")
    assert [key for key, _ in read_file(path)] == [b"a"]


@pytest.mark.parametrize("level", [0, 6, 9])
@pytest.mark.parametrize("window_bits", [9, 12, 15])
def test_zlib_of_any_window_and_level_is_read(tmp_path, window_bits, level):
    packer = zlib.compressobj(level, wbits=window_bits)
    data = packer.compress(frame_record(encode_example(b"a", VALUES))) + packer.flush()
    assert [key for key, _ in read_file(write(tmp_path, data))] == [b"a"]


def test_a_record_whose_size_begins_as_gzip_does_is_no_gzip(tmp_path):
    data = frame_record(bytes(0x8B1F))
    assert data.startswith(b"\x1f\x8b")
    with decode_records("x.tfrecords", io.BytesIO(data)) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("cut", [5, 20, -1])
@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_a_cut_file_is_unreadable(tmp_path, cut, compress):
    data = compress(frame_record(encode_example(b"a", VALUES)))
    with pytest.raises(UnreadableInputError, match=r"x\.tfrecords"):
        read_file(write(tmp_path, data[:cut]))


def test_a_damaged_record_is_named_with_its_byte(tmp_path):
    good = frame_record(encode_example(b"a", VALUES))
    path = write(tmp_path, good + good[:30] + b"\0" + good[31:])
    with pytest.raises(UnreadableInputError, match=rf"x\.tfrecords: record 1 at byte {len(good)}"):
        read_file(path)
    assert check_input(path, FORM, Columns()).features is None


def test_a_size_beyond_memory_is_damage(tmp_path):
    head = frame_record(bytes(8))[12:20]  # so that only the next line has to know of CRCs
    assert head == bytes(8)
    huge = struct.pack("<Q", 2**62)
    data = huge + frame_record(huge)[-4:]
    with pytest.raises(UnreadableInputError, match="must fit into memory, its size claims"):
        read_file(write(tmp_path, data))


@pytest.mark.parametrize("data", [b"no records", gzip.compress(b"")])
def test_check_rejects_what_holds_no_record(tmp_path, data):
    path = write(tmp_path, data)
    with pytest.raises(ValueError, match=r"x\.tfrecords: ") as caught:
        check_input(path, FORM, Columns())
    assert str(caught.value).startswith(path)


@hypothesis.given(st.binary())
def test_any_bytes_as_a_record_are_answered(data):
    (item,) = read(data, columns=NAMED)
    assert isinstance(item, Reject) or isinstance(item[1], Whole | RejectedPart)


FEATURES = st.dictionaries(
    st.sampled_from(["key", "length", "sequence", "a", "b", "c"]),
    st.none()
    | st.lists(st.binary(max_size=3), max_size=3)
    | st.lists(st.floats(width=32), max_size=6)
    | st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 6), max_size=6),
)


def fill_any(feature, values):
    if values:
        fill(feature, np.array(values, object))
    elif values is not None:
        feature.float_list.SetInParent()


@hypothesis.given(
    context=FEATURES,
    lists=st.none() | st.dictionaries(st.sampled_from(["sequence", "a", "b"]), st.lists(FEATURES)),
    columns=st.sampled_from([Columns(), NAMED, Columns(label="a", split="b"), Columns(label="c")]),
)
def test_any_record_is_answered(context, lists, columns):
    message = SequenceExample()
    for name, values in context.items():
        fill_any(message.context.feature[name], values)
    for name, steps in (lists or {}).items():
        for values in [values for step in steps for values in step.values()]:
            fill_any(message.feature_lists.feature_list[name].feature.add(), values)
    (item,) = read(message.SerializeToString(), columns=columns)
    assert isinstance(item, Reject) or isinstance(item[1], Whole | RejectedPart)


FILE = b"".join(frame_record(encode_example(b"%d" % i, VALUES + i)) for i in range(3))


@hypothesis.given(
    flips=st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 7)), unique=True),
    end=st.integers(0, len(FILE)),
)
def test_flipped_bits_never_change_a_value_that_is_read(flips, end):
    data = bytearray(FILE)
    for byte, bit in flips:
        data[byte] ^= 1 << bit
    items = []
    with contextlib.suppress(UnreadableInputError):
        items.extend(read_tfrecord(io.BytesIO(data[:end]), SOURCE, Columns()))
    for i, (key, whole) in enumerate(items):
        assert key == b"%d" % i
        np.testing.assert_array_equal(whole.values, VALUES + i)
