"""The fragments of one key: in any order one result, and duplicates rejected."""

import dataclasses
import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Rules
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.fragments import Reject, RejectedPart, Rows, Sequence, Source, Whole
from padless.beam_jobs.options import MISSING
from padless.beam_jobs.readers.values import pack_times, parse_time
from padless.pipeline.dataset.keys import draw_split, piece_spans

CSV, JSON = Source(0, "x.csv"), Source(1, "y.jsonl")
SPLITS = (("train", 0.5), ("test", 0.5))


def assemble(key, fragments, **rules):
    return Assembler(Rules(**rules), 0, SPLITS).assemble(key, fragments).results


def tally(key, fragments, **rules):
    return dict(Assembler(Rules(**rules), 0, SPLITS).assemble(key, fragments).tally)


def rows(line, *times, label=None, split=None):
    lines = np.arange(line, line + len(times))
    values = lines.astype(np.float32)[:, None]
    return Rows(CSV.place(line), values, label, lines, pack_times(list(times)), split)


def whole(line, values=((1,), (1,)), **fields):
    return Whole(JSON.place(line), np.array(values, np.float32), **{"label": None} | fields)


def fault(source, line, *, whole):
    return RejectedPart(source.place(line), "not_a_number", "rule.", whole)


@pytest.mark.parametrize(
    "parts", list(itertools.permutations([rows(2, 5, 1), rows(7, 0.5), rows(9, 3)]))
)
def test_assemble_sorts_by_time_in_any_order_of_fragments(parts):
    (result,) = assemble(b"a", parts)
    assert isinstance(result, Sequence)
    assert result.values.ravel().tolist() == [7, 3, 9, 2]
    assert result.place.position == 2


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("1700000000000000001", "1700000000000000000"),
        ("1700000000.000000002", "1700000000.000000001"),
        ("1700000000.000000002", "1700000000"),
        ("0.3", "0.29999999999999999"),
        ("2024-01-01 00:00:00.123456701", "2024-01-01 00:00:00.123456700"),
        ("2024-01-01T00:00:00.000000001Z", "2024-01-01"),
    ],
)
def test_assemble_keeps_close_times_apart(later, earlier):
    (result,) = assemble(b"a", [rows(2, parse_time(later), parse_time(earlier))])
    assert result.values.ravel().tolist() == [3, 2]


@pytest.mark.parametrize(
    "times",
    [
        ("0.1", "0.1000000000000000000"),
        ("1700000000", "1700000000.000000000"),
        ("2024-01-01T01:00:00.5+01:00", "2024-01-01 00:00:00.500000000"),
    ],
)
def test_assemble_finds_one_time_written_in_two_ways(times):
    assert assemble(b"a", [rows(2, *map(parse_time, times))])[0].reason == "duplicate_time"


def test_assemble_names_both_rows_of_a_duplicate_time():
    (result,) = assemble(b"a", [rows(7, 2), rows(2, 1, 2)])
    assert result.reason == "duplicate_time"
    assert result.rule.endswith("got 2 at x.csv, line 3 and x.csv, line 7.")


@pytest.mark.parametrize("number", ["1", "1.5", "1.00000000000000001"])
def test_assemble_rejects_times_that_cannot_be_compared(number):
    parts = [rows(2, parse_time(number)), rows(3, parse_time("2024-01-01"))]
    assert assemble(b"a", parts)[0].reason == "bad_time"


def test_assemble_rejects_every_sequence_of_a_duplicate_key():
    results = assemble(b"a", [whole(4), rows(2, 1), whole(3)])
    assert [(r.reason, str(r.place)) for r in results] == [
        ("duplicate_key", "x.csv, line 2"),
        ("duplicate_key", "y.jsonl, line 3"),
        ("duplicate_key", "y.jsonl, line 4"),
    ]
    assert results[0].rule.endswith("it names 3, also at y.jsonl, line 3.")
    assert results[2].rule.endswith("also at x.csv, line 2.")


def test_assemble_keeps_the_fault_of_a_faulty_duplicate():
    results = assemble(b"a", [whole(1), fault(JSON, 2, whole=True)])
    assert [result.reason for result in results] == ["duplicate_key", "not_a_number"]


@pytest.mark.parametrize(
    ("fragments", "units"),
    [
        ([rows(2, 1), rows(3, 2)], 1),
        ([whole(1)], 1),
        ([rows(2, 1), fault(CSV, 3, whole=False)], 1),
        ([whole(1), fault(JSON, 2, whole=True), rows(2, 1), rows(3, 2)], 3),
    ],
)
def test_every_unit_has_one_result(fragments, units):
    assert tally(b"a", fragments)["read"] == units
    assert len(assemble(b"a", fragments)) == units


def test_a_reject_names_file_line_key_and_rule():
    (reject,) = assemble(b"k" * 200, [fault(CSV, 3, whole=False)])
    assert isinstance(reject, Reject)
    assert reject.message == f"x.csv, line 3, key '{'k' * 79}... (202 characters): rule."


NAN = float("nan")
HOLES = ((1, 2), (NAN, 3), (4, NAN), (NAN, 5))


@pytest.mark.parametrize(
    ("policy", "values", "counts"),
    [
        ("forward_fill", [[1, 2], [1, 3], [4, 3], [4, 5]], {"read": 1, "filled_values": 3}),
        ("drop_timestep", [[1, 2]], {"read": 1, "dropped_timesteps": 3}),
    ],
)
def test_missing_values_are_dealt_with_and_counted(policy, values, counts):
    (result,) = assemble(b"a", [whole(1, HOLES)], missing=policy)
    assert result.values.tolist() == values
    assert tally(b"a", [whole(1, HOLES)], missing=policy) == counts


@pytest.mark.parametrize(
    ("policy", "values", "reason", "rule"),
    [
        (
            "reject",
            HOLES,
            "missing_value",
            "timestep 1, feature 0 must hold a number, it is missing",
        ),
        ("forward_fill", HOLES[1:], "missing_value", "feature 0 must hold a number in the first"),
        ("drop_timestep", HOLES[1:], "zero_timesteps", "every timestep has a missing value"),
    ],
)
def test_missing_values_that_cannot_be_dealt_with_reject(policy, values, reason, rule):
    (reject,) = assemble(b"a", [whole(1, values)], missing=policy)
    assert reject.reason == reason
    assert reject.rule.startswith(rule)


def test_what_was_done_to_a_sequence_that_is_rejected_is_not_counted():
    rules = {"missing": "forward_fill", "min_length": 9}
    assert tally(b"a", [whole(1, HOLES)], **rules) == {"read": 1}


@pytest.mark.parametrize("policy", MISSING)
@pytest.mark.parametrize(
    "part",
    [
        whole(1, [[1, 2], [3, 4], [NAN, NAN], [NAN, NAN]]),
        whole(1, [[1, 2], [3, 4]], padding=2),
        whole(1, [[NAN, NAN], [1, 2], [3, 4], [NAN, NAN]], times=np.array([8, 1, 2, 9])),
    ],
)
def test_padding_at_the_end_is_left_out_and_counted(policy, part):
    assembled = Assembler(Rules(missing=policy), 0, SPLITS).assemble(b"a", [part])
    assert assembled.results[0].values.tolist() == [[1, 2], [3, 4]]
    counts = {"read": 1, "padded_sequences": 1, "padding_timesteps": 2}
    assert dict(assembled.tally) == counts


def test_rows_that_hold_nothing_are_padding_wherever_they_are():
    nothing = Rows(CSV.place(1), np.full((3, 1), NAN, np.float32), None, np.arange(3), None)
    assembled = Assembler(Rules(), 0, SPLITS).assemble(b"a", [nothing, rows(5, 1, label=b"l")])
    assert assembled.results[0].values.tolist() == [[5]]
    assert assembled.tally["padding_timesteps"] == 3


def test_label_and_what_is_carried_are_not_those_of_an_empty_row_before():
    nothing = Rows(CSV.place(1), np.full((1, 1), NAN, np.float32), None, np.arange(1), None)
    some = dataclasses.replace(rows(5, 1, label=b"l"), meta=(b"7",))
    columns = {"meta_columns": ["age"], "static_columns": ["age"]}
    assembler = Assembler(Rules(labels=("l",)), 0, SPLITS, **columns)
    (result,) = assembler.assemble(b"a", [nothing, some]).results
    assert (result.label, result.meta) == (b"l", {"age": b"7"})
    (reject,) = assembler.assemble(b"a", [nothing]).results
    assert reject.reason == "only_padding"


def test_a_static_column_holds_one_number_however_it_is_written():
    assembler = Assembler(Rules(), 0, SPLITS, meta_columns=["age"], static_columns=["age"])

    def with_ages(*ages):
        parts = (dataclasses.replace(rows(2 + i, i), meta=(age,)) for i, age in enumerate(ages))
        return assembler.assemble(b"a", parts).results[0]

    assert with_ages(b"7", b"7.0").meta == {"age": b"7"}
    for bad in (b"", b"old", b"nan", b"inf", b"1_0", b"1,5"):
        assert with_ages(b"7", bad).reason == "bad_static"
        assert f"'age' must be a finite number, got '{bad.decode()}'" in with_ages(b"7", bad).rule
    conflict = with_ages(b"7", b"8")
    assert conflict.reason == "conflicting_static"
    assert conflict.rule.endswith("in all rows, got 7.0 and, at x.csv, line 3, 8.0.")


@pytest.mark.parametrize("policy", MISSING)
@pytest.mark.parametrize("part", [whole(1, [[NAN], [NAN]]), whole(1, [[NAN]], padding=1)])
def test_a_sequence_that_is_all_padding_is_rejected(policy, part):
    (reject,) = assemble(b"a", [part], missing=policy)
    assert reject.reason == "only_padding"
    assert reject.rule == "a sequence must have a value, got none in 2 timesteps."


def test_a_gap_inside_is_no_padding():
    (reject,) = assemble(b"a", [whole(1, [[1], [NAN], [3], [NAN]])])
    assert (reject.reason, reject.rule) == (
        "missing_value",
        "timestep 1, feature 0 must hold a number, it is missing.",
    )


def test_a_missing_value_is_named_where_it_is_in_the_file():
    parts = whole(1, [[3], [NAN], [2], [1]], times=np.array([3, 2.5, 2, 1]))
    (reject,) = assemble(b"a", [parts])
    assert reject.rule.startswith("timestep 1, feature 0")


def test_missing_values_are_filled_in_the_order_of_time():
    parts = whole(1, [[NAN], [7], [8]], times=np.array([2, 1, 3]))
    (result,) = assemble(b"a", [parts], missing="forward_fill")
    assert result.values.ravel().tolist() == [7, 7, 8]


def test_the_times_of_a_whole_sort_it():
    (result,) = assemble(b"a", [whole(1, [[1], [2], [3]], times=[3, 1.5, 2])])
    assert result.values.ravel().tolist() == [2, 3, 1]


def test_times_that_do_not_increase_can_be_rejected():
    (reject,) = assemble(b"a", [rows(2, 1, 5), rows(8, 3)], time_order="reject")
    assert (reject.reason, str(reject.place)) == ("time_not_increasing", "x.csv, line 8")
    assert reject.rule == "the times of a key must increase, got 3 after 5."
    assert isinstance(assemble(b"a", [rows(2, 1, 5, 7)], time_order="reject")[0], Sequence)


def test_a_repeated_time_is_named_as_such_whatever_the_order():
    for time_order in ("sort", "reject"):
        (reject,) = assemble(b"a", [whole(4, times=[1, 1])], time_order=time_order)
        assert reject.reason == "duplicate_time"
        assert reject.rule.endswith("got 1 at timestep 0 and timestep 1.")


@pytest.mark.parametrize(
    ("length", "rules", "reason"),
    [
        (2, {"min_length": 3}, "too_short"),
        (9, {"max_length": 8}, "too_long"),
        (8, {"min_length": 8, "max_length": 8}, None),
    ],
)
def test_lengths_out_of_range_reject(length, rules, reason):
    (result,) = assemble(b"a", [whole(1, np.ones((length, 1)))], **rules)
    assert getattr(result, "reason", None) == reason


def test_what_is_too_long_can_be_truncated():
    part = whole(1, np.arange(5)[:, None])
    (result,) = assemble(b"a", [part], max_length=3, too_long="truncate")
    assert (result.key, result.values.ravel().tolist()) == (b"a", [0, 1, 2])
    counts = tally(b"a", [part], max_length=3, too_long="truncate")
    assert counts == {"read": 1, "truncated_sequences": 1, "truncated_timesteps": 2}


def test_what_is_too_long_can_be_split_into_pieces_of_one_split():
    for key in (b"a", b"b", b"c", b"d"):
        part = whole(1, np.arange(7)[:, None])
        pieces = assemble(key, [part], min_length=2, max_length=3, too_long="split")
        assert [piece.key for piece in pieces] == [key + b"[0:3]", key + b"[3:6]", key + b"[6:7]"]
        assert [piece.values.ravel().tolist() for piece in pieces[:2]] == [[0, 1, 2], [3, 4, 5]]
        assert {piece.split for piece in pieces[:2]} == {draw_split(key, 0, SPLITS)}
        assert pieces[2].reason == "too_short"
    counts = tally(b"a", [part], max_length=3, too_long="split")
    assert counts == {"read": 1, "split_sequences": 1, "pieces": 3}


def test_pieces_may_overlap_and_the_last_one_ends_with_the_sequence():
    rules = {"max_length": 4, "too_long": "split", "stride": 3}
    pieces = assemble(b"a", [whole(1, np.arange(9)[:, None])], **rules)
    assert [piece.key for piece in pieces] == [b"a[0:4]", b"a[3:7]", b"a[5:9]"]
    assert [piece.values.ravel().tolist() for piece in pieces][2] == [5, 6, 7, 8]
    counts = tally(b"a", [whole(1, np.arange(9)[:, None])], **rules)
    assert counts == {"read": 1, "split_sequences": 1, "pieces": 3}
    (short,) = assemble(b"b", [whole(1, np.arange(4)[:, None])], **rules)
    assert short.key == b"b"


@pytest.mark.parametrize("stride", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("length", [5, 8, 9, 17])
def test_every_timestep_is_in_a_piece(length, stride):
    spans = list(piece_spans(length, 4, stride))
    assert {t for span in spans for t in range(*span)} == set(range(length))
    assert len({*spans}) == len(spans)
    assert all(stop - start == 4 for start, stop in spans[: -1 if stride is None else None])


def test_a_key_that_looks_like_a_piece_is_rejected_where_pieces_are_made():
    rules = {"max_length": 3, "too_long": "split"}
    (reject,) = assemble(b"a[0:3]", [whole(1)], **rules)
    assert reject.reason == "bad_key"
    assert isinstance(assemble(b"a[0:3]", [whole(1)])[0], Sequence)


def test_an_unknown_label_rejects():
    (reject,) = assemble(b"a", [whole(1, label=b"left")], labels=["up", "down"])
    assert reject.reason == "unknown_label"
    assert reject.rule == "the label must be one of 'up' and 'down', got 'left'."
    assert isinstance(assemble(b"a", [whole(1, label=b"up")], labels=["up"])[0], Sequence)


def test_a_split_that_is_given_is_kept_and_must_be_one():
    (result,) = assemble(b"a", [rows(2, 1, split=b"mine"), rows(3, 2, split=b"mine")])
    assert result.split == "mine"
    (reject,) = assemble(b"a", [rows(2, 1, split=b"mine"), rows(3, 2, split=b"yours")])
    assert reject.reason == "conflicting_split"


FRAGMENTS = st.one_of(
    st.builds(
        lambda line, times, value: Rows(
            CSV.place(line),
            np.full((len(times), 1), value, np.float32),
            None,
            np.arange(line, line + len(times)),
            pack_times(times),
        ),
        st.integers(1, 99),
        st.lists(st.one_of(st.integers(), st.floats(allow_nan=False)), min_size=1, max_size=4),
        st.sampled_from([0.0, NAN]),
    ),
    st.builds(
        lambda line, length: whole(line, np.ones((length, 2))),
        st.integers(1, 99),
        st.integers(1, 9),
    ),
    st.builds(
        lambda line, is_whole: fault(JSON, line, whole=is_whole), st.integers(1), st.booleans()
    ),
)


@hypothesis.given(
    st.lists(FRAGMENTS, min_size=1, max_size=5),
    st.sampled_from(["reject", "forward_fill", "drop_timestep"]),
    st.sampled_from(["reject", "truncate", "split"]),
)
def test_whatever_comes_everything_is_accounted_for(fragments, missing, too_long):
    rules = Rules(missing=missing, max_length=3, too_long=too_long, min_length=2)
    results, counts = Assembler(rules, 0, SPLITS).assemble(b"a", fragments)
    assert len(results) == counts["read"] + counts["pieces"] - counts["split_sequences"]
    for result in results:
        assert isinstance(result, Reject) or 2 <= len(result.values) <= 3
