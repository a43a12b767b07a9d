"""Long CSV against the sequences it was written from, and each fault of a row."""

import csv
import io
import random

import hypothesis
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns, Rules
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.fragments import Reject, Source, UnreadableInputError
from padless.beam_jobs.readers import csv_reader

# No NUL, which Python 3.10 does not read in CSV, and no surrogates, which are not UTF-8.
# Blanks around a key are no part of it.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
KEYS = st.text(CHARACTERS, min_size=1, max_size=20).filter(lambda key: key == key.strip(" \t\xa0"))


def read(text, **columns):
    lines = io.StringIO(text, newline="")
    return list(csv_reader.read_csv(lines, Source(0, "x.csv"), Columns(**columns)))


def assemble_all(items, *, feature_names=("x", "y"), **rules):
    assembler = Assembler(Rules(**rules), 0, [("train", 1.0)], feature_names)
    fragments = {}
    for key, fragment in items:
        fragments.setdefault(key, []).append(fragment)
    return {key: assembler.assemble(key, parts).results for key, parts in fragments.items()}


def write(rows, header=("key", "time", "x", "y")):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


@hypothesis.given(
    sequences=st.dictionaries(
        KEYS,
        hnp.arrays(
            np.float32,
            st.tuples(st.integers(1, 6), st.just(2)),
            elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
        ),
        max_size=5,
    ),
    shuffle=st.randoms(use_true_random=False),
)
def test_csv_round_trip_of_any_key_in_any_order(sequences, shuffle: random.Random):
    rows = [(k, t, *map(float, v)) for k, s in sequences.items() for t, v in enumerate(s)]
    shuffle.shuffle(rows)
    assembled = assemble_all(read(write(rows)))
    assert set(assembled) == {key.encode() for key in sequences}
    for key, sequence in sequences.items():
        (result,) = assembled[key.encode()]
        np.testing.assert_array_equal(result.values, sequence)


def test_read_csv_gathers_consecutive_rows():
    items = read("key,time,x\na,1,1\na,2,2\nb,1,3\na,3,4\n")
    assert [(key, part.lines.tolist()) for key, part in items] == [
        (b"a", [2, 3]),
        (b"b", [4]),
        (b"a", [5]),
    ]


def test_read_csv_cuts_very_long_runs(monkeypatch):
    monkeypatch.setattr(csv_reader, "_MAX_ROWS", 2)
    items = read("key,time,x\n" + "".join(f"a,{i},{i}\n" for i in range(5)))
    assert [len(part.values) for _, part in items] == [2, 2, 1]
    (result,) = assemble_all(items)[b"a"]
    assert result.values.ravel().tolist() == [0, 1, 2, 3, 4]


def test_read_csv_counts_the_lines_of_the_file():
    items = read('key,time,x\n\n"a\nb",1,1\n"a\nb",2,2\n')
    assert [part.lines.tolist() for _, part in items] == [[4, 6]]


def test_read_csv_chooses_columns_by_name():
    items = read("y,t,id,x\n1,2,a,3\n", key="id", time="t", features=("x", "y"))
    assert items[0][1].values.tolist() == [[3.0, 1.0]]


def test_read_csv_keeps_labels():
    items = read("key,time,x,c\na,1,1,up\na,2,2,up\n", label="c")
    assert [part.label for _, part in items] == [b"up"]


@pytest.mark.parametrize(
    ("row", "reason", "rule"),
    [
        ("a,2,1", "ragged_row", "a row must hold 4 cells as the header does, got 3."),
        ("a,2,1,2,3", "ragged_row", "a row must hold 4 cells as the header does, got 5."),
        ("a,2,foo,1", "not_a_number", "column 'x' must hold a number, got 'foo'."),
        ("a,2,1,", "missing_value", "column 'y' must hold a number, it is missing."),
        ("a,2,1,nan", "missing_value", "column 'y' must hold a number, it is missing."),
        ("a,2,NA,1", "missing_value", "column 'x' must hold a number, it is missing."),
        ("a,2,-inf,1", "infinite", "column 'x' must be finite as float32, got -inf."),
        ("a,2,1e39,1", "infinite", "column 'x' must be finite as float32, got 1e+39."),
        ("a,noon,1,1", "bad_time", "an ISO 8601 date, got 'noon'."),
        ("a,2024-01-01,1,1", "bad_time", "must be all numbers or all dates, got both."),
        ("a,1.0,1,1", "duplicate_time", "got 1 at x.csv, line 2 and x.csv, line 3."),
    ],
)
def test_a_bad_row_rejects_its_key_whole_and_once(row, reason, rule):
    items = read(f"key,time,x,y\na,1,0,0\n{row}\na,3,0,0\nb,1,0,0\n")
    assembled = assemble_all(items)
    (reject,) = assembled[b"a"]
    assert isinstance(reject, Reject)
    assert reject.reason == reason
    assert reject.rule.endswith(rule)
    assert not isinstance(assembled[b"b"][0], Reject)


def test_a_key_is_rejected_with_its_first_fault():
    items = read("key,time,x\na,1,inf\na,x,1\na,3,foo\n")
    (reject,) = assemble_all(items)[b"a"]
    assert (reject.reason, reject.place.position) == ("infinite", 2)


def test_a_missing_value_is_rejected_at_its_row():
    items = read("key,time,x\na,2,1\na,1,\n")
    (reject,) = assemble_all(items, feature_names=["x"])[b"a"]
    assert (reject.reason, reject.place.position) == ("missing_value", 3)


@pytest.mark.parametrize(
    ("row", "reason"),
    [(",1,0,0", "missing_key"), ("a\udcff,1,0,0", "bad_key"), (",,,", "missing_key")],
)
def test_a_row_without_readable_key_is_one_reject(row, reason):
    (reject,) = read(f"key,time,x,y\n{row}\n")
    assert (reject.reason, reject.key, reject.place.position) == (reason, None, 2)


def test_a_row_too_short_for_its_key_is_one_reject():
    (reject,) = read("time,x,key\n1,2\n")
    assert (reject.reason, reject.key) == ("ragged_row", None)


def test_conflicting_labels_reject_the_key():
    items = read("key,time,x,c\na,1,1,up\na,2,2,down\n", label="c")
    (reject,) = assemble_all(items)[b"a"]
    assert reject.reason == "conflicting_label"
    assert reject.rule.endswith("got 'up' and, at x.csv, line 3, 'down'.")


def test_a_missing_label_rejects_the_key():
    items = read("key,time,x,c\na,1,1,\n", label="c")
    assert assemble_all(items)[b"a"][0].reason == "missing_label"


def test_an_unclosed_quote_names_file_and_line():
    with pytest.raises(UnreadableInputError, match=r"x\.csv, the row that begins at line 3 must"):
        read('key,time,x\na,1,1\n"b,2,2\nc,3,3\n')


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("key,time,x,x", {}, r"x\.csv: column names must differ, got 'x' more than once"),
        ("id,time,x", {}, r"x\.csv: must have a column 'key', it has 'id', 'time' and 'x'"),
        ("id,time,x", {}, "; another one is named by `key`"),
        ("id,time,x", {"key": "run"}, r"and 'x'\.$"),
        (
            "key,x",
            {},
            "must have a column 'time', .*; another one is named by `time`; rows without",
        ),
        ("key,time,x", {"label": "c"}, "must have a column 'c'"),
        ("key,time,x", {"features": ("z",)}, "must have a column 'z'"),
        ("key,time", {}, "must have named feature columns besides"),
        ("key,time,x,", {}, "must have named feature columns .* choose them with"),
        (",key,time", {}, "must have named feature columns"),
        ("key,time,x", {"drop": ("x",)}, r"besides 'key', 'time' and 'x'"),
        ("key,time,x", {"drop": ("z",)}, "must have the column 'z' of `drop`, it has"),
    ],
)
def test_locate_rejects_a_header(header, options, message):
    with pytest.raises(ValueError, match=message):
        read(header + "\n", **options)


@pytest.mark.parametrize("front", ["", "Unnamed: 0", "Unnamed: 0.1,Unnamed: 0", ",Unnamed: 0"])
def test_an_index_in_front_is_no_feature(front):
    cells = "7," * (front.count(",") + 1)
    ((_, rows),) = read(f"{front},key,time,x,y\n{cells}a,0,1,2\n")
    assert rows.values.tolist() == [[1, 2]]


def test_an_index_in_front_is_a_feature_where_it_is_named():
    ((_, rows),) = read("Unnamed: 0,key,time,x\n7,a,0,1\n", features=("Unnamed: 0", "x"))
    assert rows.values.tolist() == [[7, 1]]


def test_an_unnamed_column_elsewhere_is_none_of_an_index():
    ((_, rows),) = read("key,time,Unnamed: 0\na,0,1\n")
    assert rows.values.tolist() == [[1]]


def test_columns_are_dropped():
    ((_, rows),) = read("key,time,x,note,y\na,0,1,none,2\n", drop=("note",))
    assert rows.values.tolist() == [[1, 2]]


def test_read_header_needs_a_row():
    with pytest.raises(ValueError, match=r"x\.csv: must have a header row"):
        read("\n\n")
