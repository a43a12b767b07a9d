"""`.ts` files of the UEA and UCR archives: headers, cases, and each fault of one."""

import contextlib
import gzip
import io

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns
from padless.beam_jobs.fragments import Reject, RejectedPart, Source, UnreadableInputError, Whole
from padless.beam_jobs.readers.inputs import check_input
from padless.beam_jobs.readers.ts_reader import FORM, read_ts

HEADER = "@problemName x\n@timeStamps false\n@classLabel true up down\n@data\n"
TIMED = "@timeStamps true\n@classLabel false\n@data\n"
LABELS = Columns(label="class")
TAGS = "timeStamps missing univariate dimensions equalLength seriesLength classLabel targetLabel"


def read(text, columns=LABELS, path="a/x_TRAIN.ts"):
    lines = io.StringIO(text, newline="")
    return list(read_ts(lines, Source(3, path, "line"), columns))


def read_one(text, columns=LABELS):
    ((_, fragment),) = read(text, columns)
    return fragment


@hypothesis.given(
    cases=st.lists(
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 6), st.integers(1, 3)),
            elements=st.floats(width=32, allow_infinity=False),
        )
    )
)
def test_cases_of_any_values_round_trip(cases):
    texts = [
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in dim) for dim in case.T)
        for case in cases
    ]
    items = read(HEADER + "".join(f"{text}:up\n" for text in texts))
    assert [key.decode() for key, _ in items] == [f"x_TRAIN/{i}" for i in range(len(cases))]
    for (_, whole), case in zip(items, cases, strict=True):
        np.testing.assert_array_equal(whole.values, case)


def test_lines_and_cases_are_counted_apart():
    items = read(f"#a comment\r\n\r\n{HEADER}1,2:up\r\n\r\n# more\r\nfoo:up\r\n3:down")
    assert [(key, part.place.position) for key, part in items] == [
        (b"x_TRAIN/0", 7),
        (b"x_TRAIN/1", 10),
        (b"x_TRAIN/2", 11),
    ]
    assert [part.whole for _, part in items] == [True] * 3
    assert str(items[0][1].place) == "a/x_TRAIN.ts, line 7"


def test_tags_are_told_in_any_case_and_unknown_ones_are_skipped():
    whole = read_one("@CLASSLABEL TRUE a b\n@license x y\n@TimeStamps False\n@Data\n1,2:3,4:a\n")
    assert (whole.values.tolist(), whole.label) == ([[1, 3], [2, 4]], b"a")


def test_labels_are_kept_as_they_are_spelt_and_only_on_demand():
    text = "@classLabel true Up 1.0\n@data\n1:Up\n2: 1.0 \n"
    assert [whole.label for _, whole in read(text)] == [b"Up", b"1.0"]
    assert [whole.label for _, whole in read(text, Columns())] == [None, None]


def test_a_target_is_any_label():
    assert read_one("@targetLabel true\n@data\n1,2:0.25\n").label == b"0.25"


def test_times_and_dates_with_colons_are_read():
    text = "(2024-01-01 00:00:00,1),(2024-01-01 00:00:01,2):(2024-01-01T00:00:00Z,3), "
    whole = read_one(TIMED + text + "(2024-01-01T00:00:01Z,?)", Columns())
    assert [time.second.second for time in whole.times] == [0, 1]
    np.testing.assert_array_equal(whole.values, [[1, 3], [2, np.nan]])


def test_numbers_are_times_as_well():
    whole = read_one(TIMED.replace("false", "true a") + "(0,1),(0.5,2):( 0 , 3 ),(0.50,4):a")
    assert list(whole.times) == [0, 0.5]
    assert whole.values.tolist() == [[1, 3], [2, 4]]
    assert whole.label == b"a"


@pytest.mark.parametrize(
    ("header", "case", "reason", "rule"),
    [
        (HEADER, "1,2:3:up", "bad_shape", "must have one length, got [2, 1]."),
        (HEADER, "up", "bad_shape", "its dimensions, ':' and its label, got 'up'."),
        (HEADER, ":up", "zero_timesteps", "must have a timestep, got (0, 1)."),
        (HEADER, "1,foo:up", "not_a_number", "'dimension 0' must hold a number, got 'foo'."),
        (HEADER, "1,1_0:up", "not_a_number", "got '1_0'."),
        (HEADER, "1:1?:up", "not_a_number", "'dimension 1' must hold a number, got '1?'."),
        (HEADER, "1,1e39:up", "infinite", "must be finite as float32, got 1e+39."),
        (HEADER, "1:left", "unknown_label", "@classLabel's, 'down' and 'up', got 'left'."),
        (HEADER, "1:UP", "unknown_label", "got 'UP'."),
        (HEADER, "1:", "missing_label", "got ''."),
        (HEADER, "1:?", "missing_label", "got ''."),
        (HEADER, "1:\udcff", "bad_label", "must be UTF-8, got '\\udcff'."),
        (f"@univariate true\n{HEADER}", "1:2:up", "wrong_num_features", "1 dimensions as .*got 2."),
        (f"@dimensions 2\n{HEADER}", "1:up", "wrong_num_features", "2 dimensions as .*got 1."),
        (
            f"@equalLength true\n@seriesLength 3\n{HEADER}",
            "1,2:up",
            "bad_shape",
            "3 timesteps as @seriesLength says, got 2.",
        ),
    ],
)
def test_a_bad_case_is_a_fault_of_its_key(header, case, reason, rule):
    fault = read_one(f"{header}{case}\n")
    assert isinstance(fault, RejectedPart)
    assert (fault.reason, fault.whole) == (reason, True)
    for part in rule.split(".*"):
        assert part in fault.rule


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("1,2", "bad_shape"),
        ("(1,2", "bad_shape"),
        ("(1,2)(2,3)", "bad_shape"),
        ("(1,2,3)", "bad_shape"),
        ("((1,2))", "bad_time"),
        ("(soon,2)", "bad_time"),
        ("(1,2):(2,3)", "bad_time"),
        ("(1,2),(2,3):(1,2)", "bad_time"),
        ("(1,2):", "bad_time"),
        (":", "zero_timesteps"),
    ],
)
def test_a_bad_case_with_times_is_a_fault(case, reason):
    assert read_one(f"{TIMED}{case}\n", Columns()).reason == reason


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("\n", "must have a line '@data' before its cases, it has none"),
        ("1,2:up\n@data\n", r"x\.ts, line 1 must be a comment \(#\) or a tag"),
        ("@classLabel true a\n@data 1,2\n", "line 2 must .* got '@data 1,2'"),
        ("@data\n", "must say by @classLabel or @targetLabel .* write '@classLabel false'"),
        ("@classLabel true\n@data\n", "@classlabel must list the classes after true, got 'true'"),
        ("@classLabel\n@data\n", "@classlabel must be followed by true or false, got ''"),
        ("@targetLabel 1\n@data\n", "@targetlabel must be followed by true or false, got '1'"),
        ("@classLabel false\n@dimensions 0\n@data\n", "@dimensions must be followed by one number"),
        ("@classLabel false\n@data\n", "`label` must be None, .* got 'class'"),
    ],
)
def test_check_rejects_a_header(tmp_path, header, message):
    path = tmp_path / "x.ts"
    path.write_text(header)
    with pytest.raises(ValueError, match=message) as caught:
        check_input(str(path), FORM, LABELS)
    assert str(caught.value).startswith(str(path))


def test_gzip_is_read(tmp_path):
    path = tmp_path / "X_Test.ts.gz"
    path.write_bytes(gzip.compress(f"{HEADER}1,2:up\n".encode()))
    source = Source(0, str(path))
    assert check_input(source.path, FORM, LABELS).features is None
    assert [(key, part.label) for key, part in FORM.read(source, LABELS)] == [(b"X_Test/0", b"up")]
    assert FORM.split_of(source.path, None) == "test"


@pytest.mark.parametrize(
    ("path", "split"), [("X_TRAIN.ts", "train"), ("b/X_TEST.ts", "test"), ("X_TEST_2.ts", None)]
)
def test_the_archives_names_tell_the_split(path, split):
    assert FORM.split_of(path, None) == split


def test_a_name_that_is_no_utf8_is_a_reject():
    (reject,) = read(f"{HEADER}1:up\n", path="\udcff.ts")
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.key) == ("bad_key", None)


@hypothesis.given(
    case=st.text(st.sampled_from("()0:,-? aé\udcff#@")) | st.text(), timed=st.booleans()
)
def test_any_text_as_a_case_is_answered(case, timed):
    header = TIMED if timed else HEADER
    for _, fragment in read(f"{header}{case}", Columns() if timed else LABELS):
        assert isinstance(fragment, Whole | RejectedPart)


@hypothesis.given(
    header=st.text()
    | st.lists(
        st.builds("@{} {}".format, st.sampled_from(TAGS.split()), st.text() | st.just("true"))
    ).map("\n".join)
)
def test_any_text_as_a_header_is_answered(header):
    with contextlib.suppress(UnreadableInputError):
        read(f"{header}\n@data\n1,2:3,4:1\n")


def test_many_colons_and_brackets_take_no_quadratic_time():
    for case in (":" * 50_000, "(" * 50_000, ") " * 50_000, "(1,2)" * 10_000):
        assert read_one(TIMED + case, Columns()).reason in ("bad_shape", "zero_timesteps")
