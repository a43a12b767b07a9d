"""JSON lines: one object per line with the key, the whole sequence and perhaps a label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.files import decode_text, open_text
from padless.beam_jobs.fragments import (
    Item,
    Place,
    RejectedPart,
    RejectionError,
    Source,
    Whole,
    shorten,
)
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.suggestions import is_missing
from padless.beam_jobs.readers.values import (
    TimedValues,
    needs_times,
    parse_group,
    parse_key,
    parse_label,
    parse_meta,
    parse_nested,
    parse_split,
    parse_times,
)


def read_jsonl(lines: Iterable[str], source: Source, columns: Columns) -> Iterator[Item]:
    """Reads the lines of a JSON-lines file; blank lines are skipped.

    Args:
        lines: the lines; undecodable bytes as surrogate escapes.
        source: the file.
        columns: names of the fields.

    Yields:
        `(key, fragment)`, or a reject where no key could be read.

    Example:
        >>> line = '{"key": "a", "sequence": [[1, 2], [3, 4]]}'
        >>> key, whole = next(read_jsonl([line], Source(0, "x.jsonl"), Columns()))
        >>> key, whole.values.shape
        (b'a', (2, 2))
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = source.place(number)
        try:
            record = _parse_object(line)
            key = _parse_field(parse_key, record, columns.key)
        except RejectionError as rejection:
            yield rejection.reject(place)
        else:
            yield key, _parse_whole(record, place, source, columns)


def _parse_object(line: str) -> dict:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RejectionError("bad_json", f"the line must be JSON: {error}.") from error
    if not isinstance(record, dict):
        raise RejectionError("bad_json", f"the line must be a JSON object, got {shorten(record)}.")
    return record


def _parse_whole(
    record: dict, place: Place, source: Source, columns: Columns
) -> Whole | RejectedPart:
    try:
        if columns.sequence not in record:
            rule = f"the object {is_missing('field', columns.sequence, record)}"
            raise RejectionError("bad_json", rule)
        values = parse_nested(record[columns.sequence])
        values, times, padding = _parse_times(record, values, source, columns)
        return Whole(
            place,
            values,
            None if columns.label is None else _parse_field(parse_label, record, columns.label),
            times,
            None if columns.split is None else _parse_field(parse_split, record, columns.split),
            None if columns.group is None else _parse_field(parse_group, record, columns.group),
            padding,
            tuple(_parse_field(parse_meta, record, name) for name in columns.meta_columns),
        )
    except RejectionError as rejection:
        return rejection.reject_part(place, whole=True)


def _parse_times(record: dict, values: np.ndarray, source: Source, columns: Columns) -> TimedValues:
    """Reads the list of times, which must be there where it is asked for."""
    times = record.get(columns.time)
    if not isinstance(times, list) and needs_times(source, columns):
        rule = f"must hold a list of times as {columns.time!r}, got {shorten(times)}"
        if columns.time not in record:
            rule = is_missing("field", columns.time, record)
        raise RejectionError("bad_time", f"the object {rule.rstrip('.')}.")
    return TimedValues(values) if source.has_order else parse_times(times, values)


def _parse_field(parse: Callable[[object], bytes], record: dict, name: str) -> bytes:
    try:
        return parse(record.get(name))
    except RejectionError as rejection:
        if name in record:
            raise
        rule = f"the object {is_missing('field', name, record)}"
        raise RejectionError(rejection.reason, rule) from None


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    encoding = source.text.encoding
    with open_text(source.location, newline="\n", encoding=encoding, name=source.path) as lines:
        yield from read_jsonl(lines, source, columns)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    encoding = source.text.encoding
    with decode_text(source.path, stream, newline="\n", encoding=encoding) as lines:
        lines.read(1)
    return InputFacts(text=source.text)


FORM = InputForm(
    name="jsonl",
    extensions=(".jsonl", ".ndjson"),
    unit="line",
    read=_read,
    check=_check,
)
