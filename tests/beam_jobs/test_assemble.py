"""The fragments of one key: in any order one result, and duplicates refused."""

import itertools

import numpy as np
import pytest

from padless.beam_jobs.assemble import assemble, count_units
from padless.beam_jobs.fragments import Fault, Reject, Rows, Sequence, Source, Whole
from padless.beam_jobs.values import parse_time

CSV, JSON = Source(0, "x.csv"), Source(1, "y.jsonl")


def rows(line, *times, label=None):
    lines = list(range(line, line + len(times)))
    return Rows(CSV.place(line), np.array(lines, np.float32)[:, None], label, lines, list(times))


def whole(line):
    return Whole(JSON.place(line), np.ones((2, 1), np.float32), None)


def fault(source, line, *, whole):
    return Fault(source.place(line), "not_a_number", "rule.", whole)


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
def test_assemble_refuses_times_that_cannot_be_compared(number):
    parts = [rows(2, parse_time(number)), rows(3, parse_time("2024-01-01"))]
    assert assemble(b"a", parts)[0].reason == "bad_time"


def test_assemble_refuses_every_sequence_of_a_duplicate_key():
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
    assert count_units(fragments) == units
    assert len(assemble(b"a", fragments)) == units


def test_a_reject_names_file_line_key_and_rule():
    (reject,) = assemble(b"k" * 200, [fault(CSV, 3, whole=False)])
    assert isinstance(reject, Reject)
    assert reject.message == f"x.csv, line 3, key '{'k' * 79}... (202 characters): rule."
