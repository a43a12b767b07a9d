"""JSON lines: what is read, and each fault of a line."""

import json

import numpy as np
import pytest

from padless.beam_jobs import Columns
from padless.beam_jobs.fragments import Reject, RejectedPart, Source
from padless.beam_jobs.readers.jsonl_reader import read_jsonl


def read(*lines, **columns):
    return list(read_jsonl(lines, Source(0, "x.jsonl"), Columns(**columns)))


def test_read_jsonl_takes_any_key_and_skips_blank_lines():
    keys = ["../a\n\"'", 5, "é" * 10_000]
    lines = [json.dumps({"key": key, "sequence": [[1, 2]]}) + "\r\n" for key in keys]
    items = read(lines[0], "\n", " \n", *lines[1:])
    assert [key.decode() for key, _ in items] == [str(key) for key in keys]
    assert [whole.place.position for _, whole in items] == [1, 4, 5]


def test_read_jsonl_reads_the_named_fields():
    line = '{"id": "a", "steps": [[1], [2]], "class": 3}'
    ((key, whole),) = read(line, key="id", sequence="steps", label="class")
    assert (key, whole.values.tolist(), whole.label) == (b"a", [[1.0], [2.0]], b"3")


@pytest.mark.parametrize(
    ("line", "reason", "rule"),
    [
        ("{", "bad_json", "the line must be JSON"),
        ("[" * 100_000, "bad_json", "the line must be JSON"),
        ("[1]", "bad_json", "must be a JSON object, got [1]"),
        ('{"sequence": [[1]]}', "missing_key", "must have the field 'key', it has 'sequence'"),
        ('{"key": "", "sequence": [[1]]}', "missing_key", "got ''"),
        ('{"key": true, "sequence": [[1]]}', "bad_key", "got True"),
        ('{"key": "\\ud800", "sequence": [[1]]}', "bad_key", "must be UTF-8"),
    ],
)
def test_a_line_without_readable_key_is_one_reject(line, reason, rule):
    (reject,) = read(line)
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.key) == (reason, None)
    assert rule in reject.rule


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"key": "a"}', "bad_json"),
        ('{"key": "a", "sequence": [1, 2], "label": 1}', "bad_shape"),
        ('{"key": "a", "sequence": [["1"]], "label": 1}', "not_a_number"),
        ('{"key": "a", "sequence": [[Infinity]], "label": 1}', "infinite"),
        ('{"key": "a", "sequence": [[1]], "label": 1, "time": [1, 2]}', "bad_time"),
        ('{"key": "a", "sequence": [[1]], "label": 1, "time": ["noon"]}', "bad_time"),
        ('{"key": "a", "sequence": [[1]]}', "missing_label"),
        ('{"key": "a", "sequence": [[1]], "label": null}', "missing_label"),
        ('{"key": "a", "sequence": [[1]], "label": {}}', "bad_label"),
    ],
)
def test_a_bad_line_is_a_fault_of_its_key(line, reason):
    ((key, fault),) = read(line, label="label")
    assert isinstance(fault, RejectedPart)
    assert (key, fault.reason, fault.whole) == (b"a", reason, True)


def test_null_and_nan_are_missing_values():
    ((_, whole),) = read('{"key": "a", "sequence": [[1, null], [NaN, 2]]}')
    np.testing.assert_array_equal(whole.values, [[1, np.nan], [np.nan, 2]])


def test_a_list_of_times_belongs_to_the_sequence():
    lines = [
        '{"key": "a", "sequence": [[1], [2]], "time": [5, 3]}',
        '{"key": "b", "sequence": [[1]]}',
    ]
    (_, timed), (_, untimed) = read(*lines)
    assert timed.times.tolist() == [5, 3]
    assert untimed.times is None
