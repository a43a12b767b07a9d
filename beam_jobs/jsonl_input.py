"""JSON lines: one object per line with the key, the whole sequence and perhaps a label."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from padless.beam_jobs.fragments import Fault, Place, RefusalError, Reject, Source, Whole, shorten
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.values import parse_key, parse_label, parse_nested


def read_jsonl(
    lines: Iterable[str], source: Source, options: PreprocessOptions
) -> Iterator[tuple[bytes, Whole | Fault] | Reject]:
    """Reads the text of a JSON-lines file; blank lines are skipped.

    Args:
        lines: the lines; undecodable bytes as surrogate escapes.
        source: the file.
        options: names of the fields.

    Yields:
        `(key, fragment)`, or a reject where no key could be read.

    Example:
        >>> from padless.beam_jobs.options import PreprocessOptions
        >>> line = '{"key": "a", "sequence": [[1, 2], [3, 4]]}'
        >>> options = PreprocessOptions(inputs=("x.jsonl",), output="x")
        >>> key, whole = next(read_jsonl([line], Source(0, "x.jsonl"), options))
        >>> key, whole.values.shape
        (b'a', (2, 2))
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = source.place(number)
        try:
            record = _parse_object(line)
            key = parse_key(record.get(options.key_column))
        except RefusalError as refusal:
            yield refusal.reject(place)
        else:
            yield key, _parse_whole(record, place, options)


def _parse_object(line: str) -> dict:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusalError("bad_json", f"the line must be JSON: {error}.") from error
    if not isinstance(record, dict):
        raise RefusalError("bad_json", f"the line must be a JSON object, got {shorten(record)}.")
    return record


def _parse_whole(record: dict, place: Place, options: PreprocessOptions) -> Whole | Fault:
    try:
        if options.sequence_column not in record:
            raise RefusalError(
                "bad_json",
                f"the object must have the field {options.sequence_column!r}, "
                f"it has {shorten(sorted(record))}.",
            )
        values = parse_nested(record[options.sequence_column])
        label = options.label_column and parse_label(record.get(options.label_column))
        return Whole(place, values, label)
    except RefusalError as refusal:
        return refusal.fault(place, whole=True)
