"""The fragments of one key: in any order one result, and duplicates refused."""

import datetime
import itertools

import numpy as np
import pytest

from padless.beam_jobs.assemble import assemble, count_units
from padless.beam_jobs.fragments import Fault, Reject, Rows, Sequence, Source, Whole

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


def test_assemble_keeps_nanoseconds_apart():
    (result,) = assemble(b"a", [rows(2, 1700000000000000001, 1700000000000000000)])
    assert result.values.ravel().tolist() == [3, 2]


def test_assemble_names_both_rows_of_a_duplicate_time():
    (result,) = assemble(b"a", [rows(7, 2), rows(2, 1, 2)])
    assert result.reason == "duplicate_time"
    assert result.rule.endswith("got 2 at x.csv, line 3 and x.csv, line 7.")


def test_assemble_refuses_times_that_cannot_be_compared():
    date = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    assert assemble(b"a", [rows(2, 1), rows(3, date)])[0].reason == "bad_time"


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
