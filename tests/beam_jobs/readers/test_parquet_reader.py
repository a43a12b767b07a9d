"""Parquet: each shape and type, each fault of a row, parts, and files that are damaged."""

import datetime
import decimal
import io

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns, Rules
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.fragments import (
    Instant,
    Reject,
    RejectedPart,
    Rows,
    Source,
    UnreadableInputError,
    Whole,
)
from padless.beam_jobs.readers import parquet_reader
from padless.beam_jobs.readers.arrow.schema import locate_table
from padless.beam_jobs.readers.inputs import check_input
from padless.beam_jobs.readers.parquet_reader import FORM

NAN = float("nan")
NUMBERS = pa.list_(pa.float32())
NESTED_TYPES = [
    pa.list_(pa.list_(pa.float32())),
    pa.large_list(pa.list_(pa.float64())),
    pa.list_(pa.large_list(pa.int16())),
    pa.list_(pa.list_(pa.float64(), 2)),
    pa.list_(pa.list_(pa.uint8(), 2), 2),
    pa.list_(pa.list_(pa.float16()), 2),
    pa.list_(pa.list_(pa.decimal128(9, 3))),
]
NUMBER_TYPES = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()),
    *(pa.uint64(), pa.float16(), pa.float32(), pa.float64()),
    *(pa.decimal128(7, 2), pa.decimal256(40, 2), "dictionary"),
]
TEXT_TYPES = [
    *(pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
    *([pa.string_view()] if hasattr(pa, "string_view") else []),  # PyArrow 16
    pa.dictionary(pa.int8(), pa.string()),
]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "x.parquet")


def write(path, columns, row_group_size=None, **types):
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values, types.get(name))
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path, row_group_size=row_group_size)


def read(path, **columns):
    columns = Columns(**columns)
    check_input(path, FORM, columns)
    return [
        item for part in check_input(path, FORM, columns).parts for item in read_part(path, part)
    ]


def read_part(path, part, columns=None):
    return FORM.read(Source(0, path, "row", "parquet", part), columns or Columns())


def read_with(path, **columns):
    """Reads with options that `read_part` would not know, in one part."""
    columns = Columns(**columns)
    check_input(path, FORM, columns)
    return list(read_part(path, None, columns))


def reasons(items):
    """Says of each item which row it is of, and its reason or else its values."""
    fragments = [item if isinstance(item, Reject) else item[1] for item in items]
    return [
        (part.place.position, part.reason if hasattr(part, "reason") else part.values.tolist())
        for part in fragments
    ]


@pytest.mark.parametrize("kind", NESTED_TYPES, ids=str)
def test_nested_lists_of_any_type(path, kind):
    sequences = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    if pa.types.is_decimal(kind.value_type.value_type):
        sequences = [[[decimal.Decimal(v) for v in row] for row in rows] for rows in sequences]
    if pa.types.is_float16(kind.value_type.value_type):
        sequences = [[[np.float16(v) for v in row] for row in rows] for rows in sequences]
    write(path, {"key": ["a", "b"], "sequence": sequences}, sequence=kind)
    items = read(path)
    assert check_input(path, FORM, Columns()).features is None
    assert [(key, whole.values.tolist()) for key, whole in items] == [
        (b"a", [[1, 2], [3, 4]]),
        (b"b", [[5, 6], [7, 8]]),
    ]
    assert all(type(w) is Whole and w.values.dtype in (np.float32, np.float64) for _, w in items)


def test_nested_faults_stand_for_their_rows(path):
    sequences = [
        [[1.0, 2.0]],
        None,
        [],
        [[1.0], None],
        [[1.0, 2.0], [3.0]],
        [[], []],
        [[1.0], [1e300]],
        [[None, NAN], [1.0, 2.0]],
    ]
    write(path, {"key": list("abcdefgh"), "sequence": sequences})
    items = read(path)
    assert reasons(items[:-1]) == [
        (1, [[1, 2]]),
        (2, "bad_shape"),
        (3, "zero_timesteps"),
        (4, "bad_shape"),
        (5, "ragged_row"),
        (6, "wrong_num_features"),
        (7, "infinite"),
    ]
    assert "timestep 1, feature 0 must be finite as float32, got 1e+300." in items[6][1].rule
    assert "timestep 1 must hold 2 values as timestep 0 does, got 1." in items[4][1].rule
    np.testing.assert_array_equal(items[-1][1].values, [[NAN, NAN], [1, 2]])


def test_nested_null_rows_of_fixed_size_have_values_behind_them():
    # No file: PyArrow writes such nulls, and does not read them.
    kind = pa.list_(pa.list_(pa.float32(), 2), 2)
    sequences = pa.array([None, [[1, 2], [3, 4]], [[1, 2], None], [[5, 6], [7, 8]]], kind)
    table = pa.table({"key": [1, 2, 3, 4], "sequence": sequences})
    (batch,) = table.to_batches()
    located = locate_table("x.parquet", table.schema, Columns())
    items = list(located.read(batch.slice(1), 2, Source(0, "x.parquet", "row")))
    assert [key for key, _ in items] == [b"2", b"3", b"4"]
    assert reasons(items) == [(2, [[1, 2], [3, 4]]), (3, "bad_shape"), (4, [[5, 6], [7, 8]])]
    ((_, fault),) = located.read(batch.slice(0, 1), 1, Source(0, "x.parquet", "row"))
    assert fault.reason == "bad_shape"


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list], ids=["list", "large_list"])
def test_slices_of_lists_begin_where_they_say(kind):
    x = pa.array([[9.0], [1.0, 2.0], None, [3.0]], kind(pa.float64()))
    table = pa.table({"key": list("abcd"), "x": x})
    (batch,) = table.to_batches()
    located = locate_table("x.parquet", table.schema, Columns())
    items = list(located.read(batch.slice(1), 2, Source(0, "x.parquet", "row")))
    assert reasons(items) == [(2, [[1], [2]]), (3, "bad_shape"), (4, [[3]])]


def test_nested_takes_given_features_for_the_names_of_the_values(path):
    write(path, {"key": ["a", "b"], "sequence": [[[1, 2]], [[1]]]})
    assert check_input(path, FORM, Columns(features=("x", "y"))).features == ("x", "y")
    items = read_with(path, features=("x", "y"))
    assert reasons(items) == [(1, [[1, 2]]), (2, "wrong_num_features")]
    assert "the 2 values that `features` names, got 1." in items[1][1].rule


def test_nested_times_are_a_list(path):
    times = [[2**60 + 1, 3], [1], None, [1, None]]
    write(path, {"key": list("abcd"), "sequence": [[[1], [2]]] * 4, "time": times})
    items = read(path)
    assert items[0][1].times.tolist() == [2**60 + 1, 3]
    assert [fault.reason for _, fault in items[1:]] == ["bad_time"] * 3
    assert "there must be one time per timestep, 2, got 1." in items[1][1].rule


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list], ids=["list", "large_list"])
def test_list_columns_are_features(path, kind):
    write(
        path,
        {"y": [[1, 2], [3]], "key": ["a", "b"], "x": [[4, None], [6]], "time": ["now", "then"]},
        x=kind(pa.float32()),
        y=kind(pa.int64()),
    )
    assert check_input(path, FORM, Columns()).features == ("y", "x")
    (_, first), (_, second) = read(path)
    np.testing.assert_array_equal(first.values, [[1, 4], [2, NAN]])
    assert second.values.tolist() == [[3, 6]]
    assert first.times is None  # a column of single times is none of timesteps
    ((_, first), _) = read_with(path, features=("x", "y"))
    assert first.values[0].tolist() == [4, 1]


def test_list_columns_faults_stand_for_their_rows(path):
    x = [[1.0, 2.0], None, [1.0], [], [1.0], [5.0, 6.0]]
    y = [[3.0, 4.0], [1.0], [1.0, 2.0], [], [float("-inf")], [7.0, 8.0]]
    write(path, {"key": list("abcdef"), "x": x, "y": y})
    items = read(path)
    assert reasons(items) == [
        (1, [[1, 3], [2, 4]]),
        (2, "bad_shape"),
        (3, "ragged_row"),
        (4, "zero_timesteps"),
        (5, "infinite"),
        (6, [[5, 7], [6, 8]]),
    ]
    assert "column 'y' must hold 1 values as the first feature does, got 2." in items[2][1].rule
    assert "timestep 0, column 'y' must be finite as float32, got -inf." in items[4][1].rule


def test_list_columns_have_times(path):
    dates = [[datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], [datetime.date(1969, 1, 1)]]
    write(path, {"key": ["a", "b"], "x": [[1, 2], [3]], "time": dates})
    assert check_input(path, FORM, Columns()).features == ("x",)
    (_, first), (_, second) = read(path)
    assert first.times[1] == Instant(datetime.datetime(2024, 1, 2), 0)
    assert second.times == [Instant(datetime.datetime(1969, 1, 1), 0)]


def test_long_gathers_consecutive_rows(path):
    columns = {"key": list("aabba"), "time": [1, 2, 1, 2, 3], "x": [1.5, None, 3, 4, 5]}
    write(path, {**columns, "y": [1, 2, 3, 4, 5]})
    assert check_input(path, FORM, Columns()).features == ("x", "y")
    items = read(path)
    assert [(key, part.lines.tolist(), part.times.tolist()) for key, part in items] == [
        (b"a", [1, 2], [1, 2]),
        (b"b", [3, 4], [1, 2]),
        (b"a", [5], [3]),
    ]
    assert all(type(part) is Rows and part.times.dtype == np.int64 for _, part in items)
    np.testing.assert_array_equal(items[0][1].values, np.float32([[1.5, 1], [NAN, 2]]))


def test_long_cuts_very_long_runs(path):
    write(path, {"key": ["a"] * 10_000, "time": range(10_000), "x": range(10_000)})
    items = read(path)
    assert [len(part.values) for _, part in items] == [4096, 4096, 10_000 - 2 * 4096]
    assembled = Assembler(Rules(), 0, [("train", 1.0)]).assemble(b"a", [part for _, part in items])
    assert assembled.results[0].values.ravel().tolist() == list(range(10_000))


def test_long_faults_stand_for_their_rows(path):
    columns = {
        "key": ["a", None, "a", "a", "a", "a", "", "a", "a"],
        "time": [1, 2, None, 4, 5, 6, 7, 8, 9],
        "x": [1, 1, 1, float("inf"), 1, 1, 1, 1, 1],
        "label": ["u", "u", "u", "u", None, "u", "u", "u", "v"],
        "split": ["train"] * 5 + ["all"] + ["train"] * 3,
    }
    write(path, columns)
    items = read_with(path, label="label", split="split")
    assert reasons(items) == [
        (1, [[1]]),
        (2, "missing_key"),
        (3, "bad_time"),
        (4, "infinite"),
        (5, "missing_label"),
        (6, "bad_split"),
        (7, "missing_key"),
        (8, [[1]]),
        (9, [[1]]),
    ]
    assert type(items[1]) is Reject
    assert not items[2][1].whole
    assert [items[i][1].label for i in (0, 7, 8)] == [b"u", b"u", b"v"]
    assert items[0][1].split == b"train"
    assert "column 'x' must be finite as float32, got inf." in items[3][1].rule


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
@pytest.mark.parametrize("is_long", [True, False])
def test_keys_labels_and_splits_of_any_text_type(path, kind, is_long):
    texts = pa.array(["ä", "ä", None, "b"], pa.string()).cast(kind)
    splits = pa.array(["train", "train", "test", "test"]).cast(kind)
    x = [1, 2, 3, 4] if is_long else [[1], [2], [3], [4]]
    write(path, {"key": texts, "time": [1, 2, 3, 4], "x": x, "label": texts, "split": splits})
    first, *_, reject, last = read_with(path, label="label", split="split")
    assert (first[0], first[1].label, first[1].split) == ("ä".encode(), "ä".encode(), b"train")
    assert (reject.reason, reject.place.position) == ("missing_key", 3)
    assert (last[0], last[1].label, last[1].split) == (b"b", b"b", b"test")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([True, None]), b"true"),
        (pa.array([0.1, NAN], pa.float32()), b"0.1"),
        (pa.array([0.5, None], pa.float64()), b"0.5"),
        (pa.array([3, None], pa.uint64()), b"3"),
    ],
)
def test_labels_may_be_numbers(path, labels, expected):
    write(path, {"key": [2**63, 1], "x": [[1], [2]], "label": labels}, key=pa.uint64())
    (key, whole), (_, fault) = read_with(path, label="label")
    assert (key, whole.label, fault.reason) == (str(2**63).encode(), expected, "missing_label")


def test_keys_and_times_that_are_not_utf8_are_rejected(path):
    data = pa.array([b"a\xff", b"a"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), 2, data.buffers())
    write(path, {"key": texts, "time": pa.array(["1", "x"]), "x": [1, 2]})
    assert [item.reason if isinstance(item, Reject) else item[1].reason for item in read(path)] == [
        "bad_key",
        "bad_time",
    ]


@pytest.mark.parametrize("kind", NUMBER_TYPES, ids=str)
@pytest.mark.parametrize("is_long", [True, False])
def test_values_of_any_number_type_with_nulls(path, kind, is_long):
    numbers = pa.array([1, 100, None, 4], pa.float64())
    if kind == "dictionary":
        numbers = numbers.dictionary_encode()
    elif kind == pa.float16():  # to which PyArrow 15 has no cast
        numbers = pa.array([np.float16(1), np.float16(100), None, np.float16(4)], kind)
    else:
        numbers = numbers.cast(kind)
    if not is_long:
        numbers = pa.ListArray.from_arrays([0, 4], numbers)
    rows = len(numbers)
    write(path, {"key": ["a"] * rows, "time": range(rows), "x": numbers})
    ((_, part),) = read(path)
    np.testing.assert_array_equal(part.values.ravel(), np.float32([1, 100, NAN, 4]))


def test_large_integers_are_rounded_once_beside_nulls(path):
    number = 2**54 + 2**30 + 1  # float64 drops the 1, and then float32 rounds half to even
    write(path, {"key": ["a", "a"], "time": [1, 2], "x": [number, None]})
    ((_, part),) = read(path)
    assert part.values[0, 0] == np.array([number]).astype(np.float32)[0]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([2**60 + 1, -5], pa.int64()), [2**60 + 1, -5]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
        (pa.array([1, 2], pa.uint8()), [1, 2]),
        (pa.array([0.25, -1], pa.float32()), [0.25, -1]),
        (pa.array(["7", "1e3"]), [7, 1000.0]),
        (pa.array(["7", "8"]).dictionary_encode(), [7, 8]),
        (pa.array([decimal.Decimal("1.10"), 2]), [decimal.Decimal("1.10"), 2]),
    ],
    ids=str,
)
def test_times_are_exact(path, times, expected):
    write(path, {"key": ["a", "a"], "time": times, "x": [1, 2]})
    ((_, rows),) = read(path)
    assert list(rows.times) == expected


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        (pa.timestamp("s"), -1, "1969-12-31 23:59:59+00:00"),
        (pa.timestamp("ms"), 1, "1970-01-01 00:00:00.001+00:00"),
        (pa.timestamp("us", "Asia/Tokyo"), -1, "1969-12-31 23:59:59.999999+00:00"),
        (pa.timestamp("ns"), 2**62 + 1, "2116-02-20 23:53:38.427387905+00:00"),
        (pa.date32(), -1, "1969-12-31 00:00:00+00:00"),
        (pa.date64(), 86_400_000, "1970-01-02 00:00:00+00:00"),
    ],
    ids=str,
)
def test_dates_are_exact(path, kind, count, expected):
    counts = pa.array([count, None], pa.int32() if kind == pa.date32() else pa.int64())
    write(path, {"key": ["a", "a"], "time": counts.cast(kind), "x": [1, 2]})
    (_, rows), (_, fault) = read(path)
    assert (str(rows.times[0]), fault.reason) == (expected, "bad_time")


def test_times_that_are_none_are_rejected(path):
    write(path, {"key": ["a"] * 3, "time": [NAN, float("inf"), None], "x": [1, 2, 3]})
    assert [fault.reason for _, fault in read(path)] == ["bad_time"] * 3
    late = pa.array([2**60], pa.int64()).cast(pa.timestamp("ms"))
    write(path, {"key": ["a"], "time": late, "x": [1]})
    ((_, fault),) = read(path)
    assert "must be a date of the years 1 to 9999" in fault.rule


@pytest.mark.parametrize(
    "values",
    [
        pa.array([datetime.timedelta(1)] * 2),
        pa.array(["1", "2"]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([["1"], ["2"]]),
        pa.array([[datetime.timedelta(1)]] * 2),
        pa.array([[[1]], [[2]]]),
        pa.array([datetime.date(2024, 1, 1)] * 2),
    ],
    ids=lambda values: str(values.type),
)
def test_check_rejects_features_that_are_no_numbers(path, values):
    write(path, {"key": ["a", "b"], "time": [1, 2], "x": values})
    with pytest.raises(ValueError, match=r"x\.parquet: column 'x' must hold .*numbers.* it holds"):
        check_input(path, FORM, Columns())


def test_columns_with_numbers_are_listed_where_others_are_strings(path):
    columns = {"key": [1], "time": [1], "sex": ["f"], "x": [1], "y": [0.5], "on": [True]}
    write(path, columns | {"__index_level_0__": [0]})
    with pytest.raises(ValueError, match=r"columns with numbers: 'x', 'y' and 'on'\.$"):
        check_input(path, FORM, Columns())


@pytest.mark.parametrize("is_long", [True, False])
def test_truth_values_are_numbers(path, is_long):
    values = pa.array([True, None, False])
    columns = {"key": ["a"] * 3, "time": [1, 2, 3], "x": values}
    write(path, columns if is_long else {"key": ["a"], "x": pa.array([values.to_pylist()])})
    ((_, part),) = read(path)
    np.testing.assert_array_equal(part.values, [[1], [np.nan], [0]])


def test_keys_may_be_floats_that_are_integers(path):
    write(path, {"key": [1.0, 2.0, 2.5, None], "time": [1, 2, 3, 4], "x": [1, 2, 3, 4]})
    keys = [item[0] if isinstance(item, tuple) else item.reason for item in read(path)]
    assert keys == [b"1", b"2", "bad_key", "missing_key"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_may_be_time_spans(path, unit):
    times = pa.array([3, 1, 2], pa.duration(unit))
    write(path, {"key": ["a"] * 3, "time": times, "x": [3, 1, 2]})
    ((_, rows),) = read(path)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    assert [time.nanoseconds * per_second for time in rows.times] == [3e9, 1e9, 2e9]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"time": [1], "x": ["a"]}, "must have a column 'key', .*; another one is named by `key`"),
        (
            {"key": ["a"], "x": ["a"]},
            "must have a column 'time', .*; another one is named by `time`",
        ),
        ({"key": ["a"], "time": [1]}, "must have feature columns besides"),
        ({"key": [True], "time": [1], "x": [1]}, "column 'key' must hold strings or integers"),
        ({"key": ["a"], "time": [True], "x": [1]}, "column 'time' must hold numbers, strings or"),
        ({"key": ["a"], "time": [[True]], "x": [[1]]}, "column 'time' must hold lists of numbers"),
        ({"key": ["a"], "time": [1], "x": [1], "y": [[1]]}, "'x' must hold lists of numbers, or"),
        ({"key": ["a"], "sequence": [[["1"]]]}, "column 'sequence' must hold lists of lists of"),
    ],
)
def test_check_rejects_tables_without_what_it_needs(path, columns, match):
    write(path, columns)
    with pytest.raises(ValueError, match=rf"x\.parquet: .*{match}"):
        check_input(path, FORM, Columns())


def test_check_rejects_missing_and_repeated_columns(path):
    write(path, {"key": ["a"], "time": [1], "x": [1], "day": [datetime.date(2024, 1, 1)]})
    with pytest.raises(ValueError, match="must have a column 'z', it has"):
        check_input(path, FORM, Columns(features=("x", "z")))
    with pytest.raises(ValueError, match="must have a column 'label'"):
        check_input(path, FORM, Columns(features=("x",), label="label"))
    with pytest.raises(ValueError, match="column 'day' must hold strings, numbers or truth values"):
        check_input(path, FORM, Columns(features=("x",), label="day"))
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array([1]), pa.array([1])], ["key", "x", "x"])
    pq.write_table(table, path)
    with pytest.raises(ValueError, match="column names must differ, got 'x' more than once"):
        check_input(path, FORM, Columns())


def test_the_index_of_pandas_is_no_feature(path):
    write(path, {"key": ["a"], "time": [1], "x": [1], "__index_level_0__": [7]})
    found = check_input(path, FORM, Columns())
    assert (found.features, found.unused) == (("x",), ("__index_level_0__",))
    assert check_input(path, FORM, Columns(features=("__index_level_0__",))).features == (
        "__index_level_0__",
    )


@pytest.mark.parametrize("value", [1, [1, 2]], ids=["long", "lists"])
def test_columns_are_dropped(path, value):
    write(path, {"Unnamed: 0": [7], "key": ["a"], "time": [1], "x": [value], "note": ["none"]})
    found = check_input(path, FORM, Columns(drop=("note",)))
    assert found.features == ("x",)
    assert {"Unnamed: 0", "note"} <= set(found.unused)
    with pytest.raises(ValueError, match=r"must have the column 'nose' of `drop`.* mean 'note'"):
        check_input(path, FORM, Columns(drop=("nose",)))
    with pytest.raises(ValueError, match=r"besides 'key', 'time', 'x' and 'note'"):
        check_input(path, FORM, Columns(drop=("x", "note")))


def test_nothing_can_be_dropped_of_nested_values(path):
    write(path, {"key": ["a"], "sequence": [[[1]]], "note": ["none"]})
    with pytest.raises(ValueError, match="`drop` must be None where the column 'sequence' holds"):
        check_input(path, FORM, Columns(drop=("note",)))


@pytest.mark.parametrize(
    "columns",
    [
        {"key": [], "sequence": pa.array([], pa.list_(NUMBERS))},
        {"key": [], "x": pa.array([], NUMBERS)},
        {"key": [], "time": [], "x": []},
    ],
)
def test_tables_without_rows_give_nothing(path, columns):
    write(path, columns)
    assert read(path) == []


def test_columns_of_nothing_but_nulls(path):
    write(path, {"key": ["a"], "time": [1], "x": [None]})
    ((_, rows),) = read(path)
    assert np.isnan(rows.values).all()
    write(path, {"key": [None], "time": [None], "x": [None]})
    assert reasons(read(path)) == [(1, "missing_key")]


@pytest.mark.parametrize("part_bytes", [1, 500, 2**30])
def test_parts_cover_all_row_groups(path, monkeypatch, part_bytes):
    monkeypatch.setattr(parquet_reader, "_PART_BYTES", part_bytes)
    monkeypatch.setattr(parquet_reader, "_MAX_BATCH_ROWS", 2)
    write(path, {"key": range(10), "x": [[i] for i in range(10)]}, row_group_size=3)
    parts = check_input(path, FORM, Columns()).parts
    assert (parts[0], parts[-1][1]) == ((0, parts[0][1], 0), 4)
    assert len(parts) == {1: 4, 2**30: 1}.get(part_bytes, len(parts))
    items = read(path)
    assert [key for key, _ in items] == [str(i).encode() for i in range(10)]
    assert reasons(items) == [(i + 1, [[i]]) for i in range(10)]


def test_batches_of_long_sequences_are_small(path):
    write(path, {"key": range(8), "x": [np.zeros(10**6, np.int64)] * 8})
    file = pq.ParquetFile(path)
    assert file.metadata.row_group(0).total_byte_size < 10**6  # the file has runs of zeros
    assert parquet_reader._batch_rows(file, [0], ["key", "x"]) == 1
    assert parquet_reader._batch_rows(file, [0], ["key"]) > 1000


@pytest.mark.parametrize("data", [b"key,x\n", b"PAR1", b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_check_names_a_file_that_is_not_parquet(path, data):
    with open(path, "wb") as file:
        file.write(data)
    with pytest.raises(ValueError, match=r"^/.*x\.parquet: must be a Parquet file") as caught:
        check_input(path, FORM, Columns())
    assert isinstance(caught.value, UnreadableInputError)


def test_read_names_a_file_that_is_damaged(path):
    write(path, {"key": range(1000), "x": [[i] for i in range(1000)]})
    with open(path, "r+b") as file:
        file.seek(10)
        file.write(bytes(2000))
    check_input(path, FORM, Columns())
    with pytest.raises(UnreadableInputError, match=r"^/.*x\.parquet: must be a Parquet file"):
        list(read_part(path, None))


def test_read_rejects_a_file_that_has_changed_since_it_was_checked(path):
    write(path, {"key": ["a"], "x": [[1]]})
    with pytest.raises(UnreadableInputError, match="must have a column 'y'"):
        list(read_part(path, None, Columns(features=("y",))))


def nullable(values):
    return st.none() | values


def lists(values, max_size=3):
    return nullable(st.lists(values, max_size=max_size))


NUMBER = nullable(st.floats(width=32)) | st.just(1e300)
DATE = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1))
CONSTANTS = {
    "key": nullable(st.sampled_from(["a", "b", ""])),
    "label": nullable(st.sampled_from(["", "u", "ä"])),
    "split": st.sampled_from(["a", "a", "1", None]),
}
SHAPES = [
    {"sequence": lists(lists(NUMBER, 2))},
    {"sequence": lists(lists(NUMBER, 2)), "time": lists(nullable(st.integers(0, 9)))},
    {"x": lists(NUMBER), "y": lists(NUMBER), "time": lists(nullable(DATE))},
    {"x": NUMBER, "y": nullable(st.integers(-9, 9)), "time": nullable(st.floats())},
    {"x": NUMBER, "time": st.sampled_from(["1", "2.5", "2024-01-01", "x", None])},
    {"x": NUMBER, "time": nullable(DATE)},
    {"x": nullable(st.booleans()), "time": st.integers(0, 9)},
]


@st.composite
def tables(draw):
    """Draws a small table, all rows of one shape."""
    cells = {**CONSTANTS, **draw(st.sampled_from(SHAPES))}
    rows = draw(st.lists(st.fixed_dictionaries(cells), max_size=6))
    return pa.table({name: pa.array([row[name] for row in rows]) for name in cells})


def serialize(table, row_group_size=4):
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=row_group_size, write_page_checksum=True)
    return stream.getvalue()


def read_or_reject(path, data):
    """Reads a file as the job does; returns None where `check` or `read` reject it."""
    columns = Columns(label="label", split="split")
    with open(path, "wb") as file:
        file.write(data)
    try:
        check_input(path, FORM, columns)
    except ValueError as error:
        assert str(error).startswith(path)  # noqa: PT017
        return None
    try:
        parts = check_input(path, FORM, columns).parts
        return [item for part in parts for item in read_part(path, part, columns)]
    except UnreadableInputError as error:
        assert str(error).startswith(path)  # noqa: PT017
        return None


@hypothesis.given(table=tables())
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_table_is_accounted_for(path, table):
    items = read_or_reject(path, serialize(table))
    if items is None:
        return
    positions = []
    for item in items:
        fragment = item if isinstance(item, Reject) else item[1]
        if isinstance(fragment, Rows | Whole):
            assert not np.isinf(fragment.values).any()
            assert fragment.times is None or len(fragment.times) == len(fragment.values) > 0
        if isinstance(fragment, Rows):
            positions.extend(fragment.lines.tolist())
        else:
            assert isinstance(fragment, RejectedPart | Reject | Whole)
            positions.append(fragment.place.position)
    assert positions == list(range(1, table.num_rows + 1))


@hypothesis.given(
    table=tables(),
    damages=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
    end=st.just(1.0) | st.floats(0, 1),
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_damage_is_named(path, table, damages, end):
    data = bytearray(serialize(table))
    for place, byte in damages:
        data[int(place * (len(data) - 1))] = byte
    read_or_reject(path, bytes(data[: int(end * len(data)) + 1]))


def recount_rows(path, file_rows, group_rows):
    """Makes the metadata of a file of 40 rows, in one group, count others."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    # Thrift: the type of the field, then a zigzag varint; the file's comes first, its group's last.
    data[data.index(b"\x16\x50", footer) + 1] = 2 * file_rows
    data[data.rindex(b"\x16\x50") + 1] = 2 * group_rows
    with open(path, "wb") as file:
        file.write(data)


def test_check_rejects_metadata_that_contradicts_itself(path):
    write(path, {"key": range(40), "x": [[1]] * 40})
    recount_rows(path, 41, 42)
    with pytest.raises(UnreadableInputError, match=r"the 41 rows .*it is damaged: 42 can be read"):
        check_input(path, FORM, Columns())


def test_rows_that_end_too_soon_are_no_end_of_the_file(path):
    write(path, {"key": range(40), "x": [[1]] * 40})
    recount_rows(path, 42, 42)
    check_input(path, FORM, Columns())
    with pytest.raises(UnreadableInputError, match=r"the 42 rows .*it is damaged: 40 can be read"):
        list(read_part(path, None))


def test_sequences_with_many_faults_are_named_by_the_first(path):
    ragged = [[1.0, 2.0], [np.inf, 3.0], [4.0], None, [np.inf]]
    infinite = [[1.0, 2.0], [3.0, np.inf], [-np.inf, np.inf]]
    write(path, {"key": list("abc"), "sequence": [infinite, [[1.0, 2.0]], ragged]})
    items = read(path)
    assert reasons(items) == [(1, "infinite"), (2, [[1, 2]]), (3, "bad_shape")]
    assert "timestep 1, feature 1 must be finite as float32, got inf." in items[0][1].rule
    assert "timestep 3 must be a list of numbers, got None." in items[2][1].rule


def test_list_columns_and_rows_with_many_faults_are_named_by_the_first(path):
    write(path, {"key": list("ab"), "x": [[1.0, np.inf], [1.0]], "y": [[-np.inf, np.inf], [1.0]]})
    (_, fault), (_, whole) = read(path)
    assert "timestep 0, column 'y' must be finite as float32, got -inf." in fault.rule
    assert whole.values.tolist() == [[1, 1]]
    write(path, {"key": ["a"], "time": [1], "x": [1.0], "y": [np.inf], "z": [-np.inf]})
    ((_, fault),) = read(path)
    assert "column 'y' must be finite as float32, got inf." in fault.rule


@pytest.mark.parametrize("count", [-(10**12), 10**12])
def test_dates_beyond_pythons_are_rejected_beside_others(path, count):
    times = pa.array([count, None, -1], pa.int64()).cast(pa.timestamp("s"))
    write(path, {"key": ["a"] * 3, "time": times, "x": [1, 2, 3]})
    assert reasons(read(path)) == [(1, "bad_time"), (2, "bad_time"), (3, [[3]])]
    ((_, faults), *_, (_, rows)) = read(path)
    assert f"got {count} s since 1970" in faults.rule
    assert str(rows.times[0]) == "1969-12-31 23:59:59+00:00"
