"""Keys, labels, times and numbers: what is read, and the reason where it is not."""

import datetime
import decimal

import numpy as np
import pytest

from padless.beam_jobs.fragments import Instant, RejectionError
from padless.beam_jobs.readers import values


def rejection(function, *arguments):
    with pytest.raises(RejectionError) as caught:
        function(*arguments)
    return caught.value.reason, caught.value.rule


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        *[("a", b"a"), (" a\t", b"a"), ("../é\n", "../é\n".encode()), ("1.0", b"1.0")],
        *[(7, b"7"), (0, b"0"), (7.0, b"7"), (-0.0, b"0")],
    ],
)
def test_parse_key(key, encoded):
    assert values.parse_key(key) == encoded


@pytest.mark.parametrize(
    ("key", "reason", "rule"),
    [
        ("", "missing_key", "must not be empty, got ''"),
        (" ", "missing_key", "must not be empty, got ''"),
        (float("inf"), "bad_key", "a string or an integer, got inf"),
        (None, "missing_key", "must not be empty, got None"),
        (True, "bad_key", "a string or an integer, got True"),
        (1.5, "bad_key", "a string or an integer, got 1.5"),
        (["a"], "bad_key", r"a string or an integer, got ['a']"),
        ("a\udcff", "bad_key", "must be UTF-8, got 'a\\udcff'"),
    ],
)
def test_parse_key_rejects(key, reason, rule):
    got, message = rejection(values.parse_key, key)
    assert got == reason
    assert rule in message


@pytest.mark.parametrize(
    ("label", "encoded"), [("é", "é".encode()), (3, b"3"), (1.5, b"1.5"), (False, b"false")]
)
def test_parse_label(label, encoded):
    assert values.parse_label(label) == encoded


@pytest.mark.parametrize(
    ("label", "reason"),
    [("", "missing_label"), (None, "missing_label"), ([], "bad_label"), ("\ud800", "bad_label")],
)
def test_parse_label_rejects(label, reason):
    assert rejection(values.parse_label, label)[0] == reason


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("3", 3),
        (" -3 ", -3),
        ("1700000000000000001", 1700000000000000001),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("1700000000.5", 1700000000.5),
        ("1700000000.000000001", decimal.Decimal("1700000000.000000001")),
        ("2024-01-02", Instant(datetime.datetime(2024, 1, 2), 0)),
        (" 20240102T030405z", Instant(datetime.datetime(2024, 1, 2, 3, 4, 5), 0)),
        ("2024-01-02T03:04", Instant(datetime.datetime(2024, 1, 2, 3, 4), 0)),
        ("2024-01-02 03:04:05+03:30", Instant(datetime.datetime(2024, 1, 1, 23, 34, 5), 0)),
        ("2024-01-02 03:04:05.5-03", Instant(datetime.datetime(2024, 1, 2, 6, 4, 5), 500_000_000)),
        ("2024-01-02 00:00:00,123456701", Instant(datetime.datetime(2024, 1, 2), 123_456_701)),
        ("2024-01-02 00:00:00.1234567010", Instant(datetime.datetime(2024, 1, 2), 123_456_701)),
    ],
)
def test_parse_time(text, time):
    parsed = values.parse_time(text)
    assert parsed == time
    assert type(parsed) is type(time)


@pytest.mark.parametrize(
    "text",
    [
        *("", "nan", "inf", "1_000", "1_0.5", "noon", "1e999", "2024-13-01", "2024-01-01T24:00"),
        *("2024-01-01T00:00:00.0000000001", "2024-01-01T00:00+24:00", "0001-01-01T00:00+01:00"),
        *("2024-W01-1", "2024-01-01Z", "2024-0101T00:00", "1e-99999999999999999999"),
    ],
)
def test_parse_time_rejects(text):
    reason, rule = rejection(values.parse_time, text)
    assert reason == "bad_time"
    assert f"got {text!r}" in rule


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2024-01-01", "2024-01-01 00:00:00+00:00"),
        ("2024-01-01T00:00:00.000000100Z", "2024-01-01 00:00:00.0000001+00:00"),
    ],
)
def test_a_date_shows_its_nanoseconds(text, shown):
    assert str(values.parse_time(text)) == shown


def test_parse_numbers():
    assert values.parse_numbers(["1", " 2.5", "-1e3"], "xyz") == [1.0, 2.5, -1000.0]


@pytest.mark.parametrize(
    "cell",
    [
        "",
        " ",
        "NaN",
        "na",
        "N/A",
        "null",
        "None",
        "-",
        "--",
        "?",
        ".",
        "#N/A",
        "<NA>",
        "NaT",
        "#DIV/0!",
    ],
)
def test_parse_numbers_reads_a_missing_value_as_nan(cell):
    np.testing.assert_array_equal(values.parse_numbers(["1", cell], "xy"), [1, np.nan])


@pytest.mark.parametrize("cell", ["foo", "1_000", "0x10", "\udcff"])
def test_parse_numbers_names_the_column(cell):
    reason, rule = rejection(values.parse_numbers, ["1", cell, "?"], "xyz")
    assert (reason, rule) == ("not_a_number", f"column 'y' must hold a number, got {cell!r}.")


def test_parse_nested():
    array = values.parse_nested([[1, 2.5], [3, 1e-3]])
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, [[1, 2.5], [3, 1e-3]])


@pytest.mark.parametrize(
    ("sequence", "reason", "rule"),
    [
        ([], "zero_timesteps", "must have a timestep"),
        ([[], []], "wrong_num_features", "must have a value, got (2, 0)"),
        ([1.0, 2.0], "bad_shape", "got 1.0; write a sequence of one feature as [[1], [2], [3]]."),
        ([[1.0], "2"], "bad_shape", "timestep 1 must be a list of numbers, got '2'."),
        ("[[1]]", "bad_shape", "must be a list of timesteps"),
        (None, "bad_shape", "must be a list of timesteps, each a list of numbers, got None"),
        ([[1, 2], [3]], "ragged_row", "timestep 1 must hold 2 values as timestep 0 does, got 1"),
        ([[1, "1.5"]], "not_a_number", "timestep 0, feature 1 must be a number, got '1.5'"),
        ([[1], [True]], "not_a_number", "timestep 1, feature 0 must be a number, got True"),
        ([[[1]]], "not_a_number", "got [1]"),
        (
            [[1], [-1e39]],
            "infinite",
            "timestep 1, feature 0 must be finite as float32, got -1e+39",
        ),
        ([[10**400]], "infinite", "an integer beyond float64"),
    ],
)
def test_parse_nested_rejects(sequence, reason, rule):
    got, message = rejection(values.parse_nested, sequence)
    assert got == reason
    assert rule in message


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3), "bad_shape"),
        (np.zeros((1, 2, 3)), "bad_shape"),
        (np.zeros((2, 2), bool), "not_a_number"),
        (np.zeros((2, 2), complex), "not_a_number"),
        (np.array([["1"]]), "not_a_number"),
        (np.zeros((0, 2)), "zero_timesteps"),
        (np.zeros((2, 0)), "wrong_num_features"),
        (np.array([[np.inf]]), "infinite"),
    ],
)
def test_check_sequence_rejects(array, reason):
    assert rejection(values.check_sequence, array)[0] == reason


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (np.int8, "=f4"),
        (np.uint64, "=f8"),
        (np.float16, "=f4"),
        (">f4", "=f4"),
        (">f8", "=f8"),
        (np.longdouble, "=f8"),
    ],
)
def test_check_sequence_takes_all_real_types(dtype, kept):
    array = values.check_sequence(np.array([[1, 2]], dtype))
    assert array.dtype == np.dtype(kept)
    assert array.tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("times", "dtype"),
    [([1, -(2**63)], np.int64), ([0.5, 1e300], np.float64), ([1, 0.5], None), ([2**63], None)],
)
def test_pack_times_keeps_every_digit(times, dtype):
    packed = values.pack_times(times)
    assert list(packed) == times
    assert getattr(packed, "dtype", None) == dtype


@pytest.mark.parametrize(
    ("split", "reason"),
    [(None, "missing_split"), ("", "missing_split"), ("1st", "bad_split"), ("all", "bad_split")],
)
def test_parse_split_rejects(split, reason):
    assert rejection(values.parse_split, split)[0] == reason


def test_a_decimal_comma_names_the_remedy():
    _, rule = rejection(values.parse_number, "1,5", "x")
    assert (
        rule == "column 'x' must hold a number, got '1,5'; decimal commas are read by --decimal ,."
    )


@pytest.mark.parametrize(("cell", "number"), [("True", 1), ("FALSE", 0), (" true ", 1)])
def test_truth_values_are_numbers(cell, number):
    assert values.parse_numbers(["1", cell], ["x", "y"]) == [1, number]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2023/02/01", "2023-02-01"),
        ("2023-02-01 10:00:00 UTC", "2023-02-01T10:00:00Z"),
        ("2023-02-01 10:00:00 +01:00", "2023-02-01T09:00:00"),
        ("0 days 00:00:01", "0 days 0:00:01.000"),
        ("1 day", "1 days, 0:00:00"),
    ],
)
def test_times_in_other_spellings(text, same):
    assert values.parse_time(text) == values.parse_time(same)


def test_time_spans_are_exact_and_in_order():
    texts = ["-1 days +23:59:59", "0 days 00:00:00.000000001", "0 days 00:00:01", "2 days"]
    nanoseconds = [values.parse_time(text).nanoseconds for text in texts]
    assert nanoseconds == [-(10**9), 1, 10**9, 172_800 * 10**9]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("10:00:00", ", of an unknown day."),
        ("01/02/2023", "; year, month and day are written in this order."),
        ("1.2.2023 10:00", "; year, month and day are written in this order."),
    ],
)
def test_a_time_that_is_not_clear_names_the_remedy(text, remedy):
    assert rejection(values.parse_time, text)[1].endswith(f"got {text!r}{remedy}")


@pytest.mark.parametrize("parse", [values.parse_label, values.parse_group, values.parse_split])
def test_blanks_around_names_are_no_part_of_them(parse):
    assert parse(" up ") == b"up"
