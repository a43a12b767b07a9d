"""What may be passed as `X`: every form of the same sequences, and what is none."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tensorflow as tf
from scipy import sparse

from padless.beam_jobs import Rules
from padless.estimators.sequences import assemble_all, read_input

ARRAYS = [np.arange(6.0).reshape(3, 2), np.arange(2.0).reshape(1, 2), np.ones((2, 2))]


def read(X, *, key="key", time="time", features=None, **rules):
    given = read_input(X, key=key, time=time, features=features)
    return assemble_all(given, Rules(**rules, time_order=given.time_order))


def as_objects(arrays):
    objects = np.empty(len(arrays), object)
    objects[:] = arrays
    return objects


def as_columns(arrays, keys="bca"):
    """Returns long columns: the rows of all sequences in turns, with falling times."""
    rows = [
        (time, key, *map(float, values))
        for key, array in zip(keys, arrays, strict=True)
        for time, values in enumerate(array)
    ]
    rows.sort(key=lambda row: -row[0])
    return {"key": [r[1] for r in rows], "time": [r[0] for r in rows]} | {
        name: [row[place] for row in rows] for name, place in {"x": 2, "y": 3}.items()
    }


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        as_objects,
        lambda arrays: pd.Series(as_objects(arrays)),
        lambda arrays: [array.tolist() for array in arrays],
        lambda arrays: [pd.DataFrame(array) for array in arrays],
        lambda arrays: [array.astype(object) for array in arrays],
        lambda arrays: [tf.constant(array) for array in arrays],
        lambda arrays: tf.ragged.constant([a.tolist() for a in arrays], ragged_rank=1),
        lambda arrays: tf.ragged.constant([a.tolist() for a in arrays]),
        lambda arrays: tf.ragged.stack([tf.constant(array) for array in arrays]),
    ],
    ids=range(11),
)
def test_every_form_of_unequal_lengths_holds_the_same_sequences(form):
    sequences = read(form(ARRAYS))
    assert [sequence.key for sequence in sequences] == [b"0", b"1", b"2"]
    for sequence, array in zip(sequences, ARRAYS, strict=True):
        assert sequence.values.dtype == np.float32
        np.testing.assert_array_equal(sequence.values, array)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 2), (1, 1), (1, 1, 1)])
@pytest.mark.parametrize("form", [np.asarray, tf.constant, np.asfortranarray, np.ndarray.tolist])
def test_arrays_of_equal_lengths_have_one_feature_if_they_do_not_say_more(shape, form):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    expected = array.reshape(*shape, 1)[:, :, :, 0] if len(shape) == 3 else array[:, :, None]
    sequences = read(form(array))
    np.testing.assert_array_equal([s.values for s in sequences], expected)


@pytest.mark.parametrize(
    "form",
    [
        *(list, as_objects, lambda arrays: [array.tolist() for array in arrays]),
        *(lambda arrays: [pd.Series(array) for array in arrays], tf.ragged.stack),
    ],
    ids=range(5),
)
def test_sequences_of_one_dimension_have_one_feature(form):
    lines = [np.arange(float(length)) for length in (3, 1, 4)]
    for sequence, line in zip(read(form(lines)), lines, strict=True):
        np.testing.assert_array_equal(sequence.values, line[:, None])


def test_padding_of_nan_at_the_end_is_no_part_of_a_sequence():
    padded = np.full((3, 3, 2), np.nan)
    for row, array in zip(padded, ARRAYS, strict=True):
        row[: len(array)] = array
    for sequence, array in zip(read(padded), ARRAYS, strict=True):
        np.testing.assert_array_equal(sequence.values, array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i8", "u8", ">f4"])
def test_any_type_of_number_is_read(dtype):
    (sequence,) = read([np.ones((3, 1), dtype)])
    np.testing.assert_array_equal(sequence.values, np.ones((3, 1)))


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_is_read_in_the_order_of_its_keys_and_times(library):
    sequences = read(library(as_columns(ARRAYS)))
    order = list(dict.fromkeys(as_columns(ARRAYS)["key"]))
    assert [sequence.key.decode() for sequence in sequences] == order
    by_key = dict(zip("bca", ARRAYS, strict=True))
    for sequence in sequences:
        np.testing.assert_array_equal(sequence.values, by_key[sequence.key.decode()])


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_without_times_the_order_of_the_rows_counts(library):
    columns = as_columns(ARRAYS)
    columns.pop("time")
    sequences = read(library(columns), time=None)
    by_key = dict(zip("bca", ARRAYS, strict=True))
    for sequence in sequences:
        np.testing.assert_array_equal(sequence.values, by_key[sequence.key.decode()][::-1])


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_columns_of_numbers_are_features_if_none_are_named(library):
    frame = library(as_columns(ARRAYS) | {"note": list("abcdef"), "on": [True, False] * 3})
    assert read_input(frame, key="key", time="time", features=None).feature_names == (
        *("x", "y", "on"),
    )
    assert read(frame, features=["y"])[0].values.shape[1] == 1


def test_keys_and_times_may_be_the_index_of_a_frame():
    frame = pd.DataFrame(as_columns(ARRAYS))
    indexed = read(frame.set_index(["key", "time"]))
    unnamed = read(frame.set_index(pd.Index(range(10, 16))))
    for sequence, *others in zip(read(frame), indexed, unnamed, strict=True):
        for other in others:
            np.testing.assert_array_equal(sequence.values, other.values)


def test_the_index_of_joined_frames_is_no_column():
    frame = pd.DataFrame(as_columns(ARRAYS)).assign(note="a")
    joined = pd.concat([frame[:2], frame[3:]])
    with pytest.raises(ValueError, match=r"which has 'key', 'time', 'x', 'y' and 'note', got 'z'"):
        read(joined, features=["z"])
    with pytest.raises(ValueError, match=r"columns with numbers: 'x' and 'y'\.$"):
        read(joined, features=["note"])
    arrow = pa.Table.from_pandas(joined)
    assert "__index_level_0__" in arrow.column_names
    assert read_input(arrow, key="key", time="time", features=None).feature_names == ("x", "y")


def test_a_row_of_a_frame_may_hold_a_whole_sequence():
    lists = {"key": ["a", "b"], "x": [[1.0, 2.0], [3.0]], "y": [[4.0, 5.0], [6.0]]}
    sequences = read(pl.DataFrame(lists), time=None)
    np.testing.assert_array_equal(sequences[0].values, [[1, 4], [2, 5]])


def test_dates_order_the_timesteps():
    columns = as_columns(ARRAYS)
    columns["time"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(columns["time"], "h")
    for sequence, other in zip(
        read(pd.DataFrame(columns)), read(pd.DataFrame(as_columns(ARRAYS))), strict=True
    ):
        np.testing.assert_array_equal(sequence.values, other.values)


BAD = {
    "nothing": ([], ValueError, "at least one sequence, got none"),
    "no sequence": (np.empty((0, 3)), ValueError, "at least one sequence, got none"),
    "no timestep": (np.empty((3, 0)), ValueError, r"X\[0\]: a sequence must have a timestep"),
    "no feature": ([np.empty((3, 0))], ValueError, r"X\[0\]: a timestep must have a value"),
    "widths": ([np.ones((3, 2)), np.ones((3, 1))], ValueError, r"X\[1\] must have 2 features"),
    "numbers": ([1.0, 2.0], ValueError, r"X\[0\] must have the shape .*\(timesteps,\), got \(\)"),
    "1-D and 2-D": ([np.ones(3), np.ones((2, 2))], ValueError, r"X\[1\] must have 1 features"),
    "1-D alone": (np.ones(3), ValueError, "Reshape your data"),
    "4-D": (np.ones((2, 3, 4, 5)), ValueError, r"got \(2, 3, 4, 5\)"),
    "3-D in a list": ([np.ones((2, 3, 4))], ValueError, r"X\[0\] must have the shape"),
    "NaN": ([np.array([[np.nan], [1.0]])], ValueError, r"X\[0\]: timestep 0.*NaN.*`missing`"),
    "infinite": ([np.array([[np.inf]])], ValueError, r"X\[0\]: timestep 0, feature 0 must be fin"),
    "beyond float32": ([np.array([[1e39]])], ValueError, "finite as float32"),
    "strings": (np.array(["a", "b"], object), ValueError, r"X\[0\] must hold real numbers.*U1"),
    "strings in it": ([np.array([["a"]])], ValueError, r"X\[0\] must hold real numbers.*<U1"),
    "a string": ("abc", TypeError, r"one array \(timesteps, features\) per sequence, got 'abc'"),
    "dicts": (np.array([[{}]], object), TypeError, "argument must be .* string.* number"),
    "None": (None, TypeError, r"one array \(timesteps, features\) per sequence, got None"),
    "complex": (np.ones((2, 2)) * 1j, ValueError, "Complex data not supported"),
    "truth values": (np.ones((2, 2), bool), ValueError, "real numbers, got the type bool"),
    "sparse": (sparse.csr_array(np.eye(3)), TypeError, "must be dense, got the sparse"),
    "sparse dict": (sparse.dok_array((3, 3)), TypeError, "must be dense, got the sparse dok_array"),
    "nested": ([[[1, 2], [3]]], ValueError, r"X\[0\] must be an array of real numbers"),
    "ragged 3-D": (tf.ragged.constant([[[[1.0]]]], 1), ValueError, r"\(sequences, None\), got"),
}


FRAME = pd.DataFrame(as_columns(ARRAYS))
LARGE = {str(number): np.ones((99, 9)) for number in range(9)}
ONE_STEP_AWAY = {
    "dict": (LARGE, "got a dict of 9; `list(X.values())` has them in order."),
    "lazy": (pl.from_pandas(FRAME).lazy(), "got a LazyFrame; `X.collect()` makes it a data frame."),
    "pandas groups": (FRAME.groupby("key"), "got a DataFrameGroupBy; pass the data frame itself"),
    "polars groups": (pl.from_pandas(FRAME).group_by("key"), "column of the groups by `key`."),
}


@pytest.mark.parametrize("case", ONE_STEP_AWAY)
def test_what_is_one_step_away_is_answered_with_the_step(case):
    X, message = ONE_STEP_AWAY[case]
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        read(X)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sequence_is_named(case):
    X, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        read(X)


BAD_FRAMES = {
    "key": ({"key": "Keyy"}, "`key` must name a column.*got 'Keyy'. Did you mean 'key'"),
    "time": ({"time": "tiem"}, "`time` must name.* Did you mean 'time'. None keeps the order"),
    "features": ({"features": ["x", "z"]}, "`features` must name a column of `X`.*got 'z'"),
    "one name": ({"features": "x"}, "`features` must be a sequence of names"),
    "a text": ({"features": ["note"]}, "column 'note' must hold numbers"),
    "same": ({"key": "time"}, "`key`, `time` must differ"),
}


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("case", BAD_FRAMES)
def test_columns_that_are_not_there_are_named_with_a_near_name(library, case):
    frame = library(as_columns(ARRAYS) | {"note": list("abcdef")})
    parameters, message = BAD_FRAMES[case]
    with pytest.raises(ValueError, match=message):
        read(frame, **parameters)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"key": ["a", "a"], "time": [1, 1], "x": [1.0, 2.0]}, r"once.* 1 at [^-]*\. `time=None`"),
        ({"key": ["a"], "time": ["10:00"], "x": [1.0]}, r"an unknown day\. `time=None` keeps"),
        ({"key": ["a", None], "time": [1, 2], "x": [1.0, 2.0]}, r"X.*\[1\]: the key must not be"),
        ({"key": ["a", "a"], "time": [1, 2], "x": [None, 1.0]}, "'a'.* missing.*`missing`"),
        ({"key": ["a"], "time": [1], "x": ["b"]}, "must have feature columns besides|hold numbers"),
        ({"key": [], "time": [], "x": []}, "at least one sequence, got a data frame without a row"),
    ],
)
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_rows_that_break_a_rule_are_named(library, columns, message):
    with pytest.raises(ValueError, match=message):
        read(library(columns))


@pytest.mark.parametrize("missing", ["reject", "forward_fill"])
@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_a_missing_value_of_a_frame_is_named_by_its_column(library, missing):
    frame = library({"key": ["a", "a"], "time": [1, 2], "x": [1.0, 2.0], "y": [None, 1.0]})
    with pytest.raises(ValueError, match="key 'a': column 'y' must hold a number"):
        read(frame, missing=missing)


@pytest.mark.parametrize(
    ("library", "row"),
    [(pd.DataFrame, "X.iloc[2]"), (pl.DataFrame, "X[2]"), (pa.table, "X.slice(2, 1)")],
)
def test_a_row_of_a_frame_is_named_as_it_is_looked_at(library, row):
    columns = {"key": ["a", "b", "a"], "time": [1, 2, 1], "x": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match=rf"and {re.escape(row)}"):
        read(library(columns))
    columns["x"][2] = np.inf
    with pytest.raises(ValueError, match=re.escape(f"{row}, key 'a': column 'x' must be finite")):
        read(library(columns))


def test_the_rules_are_those_of_the_commands():
    X = [np.array([[1.0], [np.nan], [3.0], [4.0]])]
    (filled,), (dropped,), (masked,) = (
        read(X, missing=rule) for rule in ("forward_fill", "drop_timestep", "mask")
    )
    assert filled.values.ravel().tolist() == [1, 1, 3, 4]
    assert dropped.values.ravel().tolist() == [1, 3, 4]
    assert np.isnan(masked.values).ravel().tolist() == [False, True, False, False]
    (cut,) = read([np.ones((5, 1))], max_length=2, too_long="truncate")
    assert len(cut.values) == 2
    with pytest.raises(ValueError, match=r"at most 2 timesteps, got 5.*`too_long='truncate'`"):
        read([np.ones((5, 1))], max_length=2)
    with pytest.raises(ValueError, match="at least 6 timesteps, got 5"):
        read([np.ones((5, 1))], min_length=6)
