"""The `.ts` files of the UEA and UCR archives: a header, then one case per line.

Source: the readers of sktime and aeon, https://www.aeon-toolkit.org/en/stable/examples/datasets/data_loading.html

Stages: the header becomes a `TsHeader`; each line after it is split into its dimensions and its
label; the dimensions become one array.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
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
    Time,
    UnreadableInputError,
    Whole,
    shorten,
)
from padless.beam_jobs.readers.forms import InputFacts, InputForm
from padless.beam_jobs.readers.numbered_keys import number_key, split_of_archive
from padless.beam_jobs.readers.values import (
    check_sequence,
    pack_times,
    parse_label,
    parse_numbers,
    parse_time,
)
from padless.pipeline.wording import list_names, sort_naturally

_MISSING = "?"
_COUNT = re.compile(r"0*[1-9]\d{0,17}", re.ASCII)
# A date has colons of its own, so dimensions with times are parted by the colons outside brackets.
_TIMED_DIMENSION = re.compile(r":|(?:[^:(]+|\([^)]*\)?)+")
_BETWEEN_PAIRS = re.compile(r"\)\s*,\s*\(")


@dataclasses.dataclass(frozen=True, slots=True)
class TsHeader:
    """What the header of a `.ts` file says of its cases.

    Attributes:
        has_times: whether values are written as `(time,value)`.
        has_label: whether a case ends with its class or target.
        classes: the classes that a label may have, or None for any label.
        num_dimensions: dimensions per case, or None where it is not said.
        series_length: timesteps of every case, or None where it is not said or they differ.
    """

    has_times: bool
    has_label: bool
    classes: frozenset[str] | None
    num_dimensions: int | None
    series_length: int | None

    @classmethod
    def from_tags(cls, path: str, tags: dict[str, list[str]]) -> TsHeader:
        """Interprets the tags of a header, lower case with the `@` -> the words after it.

        Raises:
            UnreadableInputError: if one lacks the words that it needs, or none says whether there
                are labels.
        """
        words = _Tags(path, tags)
        has_class, has_target = words.flag("@classlabel"), words.flag("@targetlabel")
        if has_class is has_target is None:
            raise UnreadableInputError(
                f"{path}: the header must say by @classLabel or @targetLabel whether a case ends "
                f"with a label, it has neither; without labels write '@classLabel false'."
            )
        dimensions = words.count("@dimension") or words.count("@dimensions")
        return cls(
            has_times=bool(words.flag("@timestamps")),
            has_label=bool(has_class or has_target),
            classes=words.classes() if has_class and not has_target else None,
            num_dimensions=dimensions or (1 if words.flag("@univariate") else None),
            series_length=words.count("@serieslength") if words.flag("@equallength") else None,
        )

    def split_case(self, line: str) -> tuple[list[str], str | None]:
        """Splits a line into its dimensions and its label, None where it has none."""
        label = None
        if self.has_label:
            line, colon, label = line.rpartition(":")
            if not colon:
                raise RejectionError(
                    "bad_shape",
                    f"a case must be its dimensions, ':' and its label, got {shorten(label)}.",
                )
        dimensions = _split_timed(line) if self.has_times else line.split(":")
        if self.num_dimensions not in (None, len(dimensions)):
            raise RejectionError(
                "wrong_num_features",
                f"a case must have {self.num_dimensions} dimensions as the header says, "
                f"got {len(dimensions)}.",
            )
        return dimensions, label

    def parse_label(self, label: str | None) -> bytes:
        """Reads a label, which must be one of the classes where the header lists them."""
        label = (label or "").strip()
        encoded = parse_label("" if label == _MISSING else label)
        if self.classes is not None and label not in self.classes:
            raise RejectionError(
                "unknown_label",
                "the label must be one of @classLabel's, "
                f"{list_names(sort_naturally(self.classes))}, got {shorten(label)}.",
            )
        return encoded

    def parse_dimensions(self, dimensions: list[str]) -> tuple[np.ndarray, list[Time] | None]:
        """Reads the values `(timesteps, dimensions)` and, where the file has them, their times."""
        times = None
        if self.has_times:
            pairs = [_split_pairs(text, i) for i, text in enumerate(dimensions)]
            times = _parse_common_times([times for times, _ in pairs])
            cells = [cells for _, cells in pairs]
        else:
            cells = [text.split(",") if text.strip() else [] for text in dimensions]
        values = _stack([_parse_cells(part, i) for i, part in enumerate(cells)])
        if self.series_length not in (None, len(values)):
            raise RejectionError(
                "bad_shape",
                f"a case must have {self.series_length} timesteps as @seriesLength says, "
                f"got {len(values)}.",
            )
        return check_sequence(values), times


class _Tags:
    """The tags of a header, read with the rule that each must keep to."""

    def __init__(self, path: str, tags: dict[str, list[str]]):
        self._path, self._tags = path, tags

    def flag(self, tag: str) -> bool | None:
        """Reads a truth value, None without the tag."""
        if tag not in self._tags:
            return None
        word = " ".join(self._tags[tag][:1]).lower()
        if word not in ("true", "false"):
            raise self._error(tag, "be followed by true or false")
        return word == "true"

    def count(self, tag: str) -> int | None:
        """Reads a number above 0, None without the tag."""
        words = self._tags.get(tag)
        if words is None:
            return None
        if len(words) != 1 or not _COUNT.fullmatch(words[0]):
            raise self._error(tag, "be followed by one number, at least 1")
        return int(words[0])

    def classes(self) -> frozenset[str]:
        """Reads the classes, of which there must be one."""
        classes = self._tags["@classlabel"][1:]
        if not classes:
            raise self._error("@classlabel", "list the classes after true")
        return frozenset(classes)

    def _error(self, tag: str, rule: str) -> UnreadableInputError:
        got = shorten(" ".join(self._tags[tag]))
        return UnreadableInputError(f"{self._path}: {tag} must {rule}, got {got}.")


def read_header(path: str, lines: Iterable[tuple[int, str]]) -> TsHeader:
    """Reads numbered lines up to `@data`; tags are recognized in any case, unknown ones skipped.

    Raises:
        UnreadableInputError: if it is no header of a `.ts` file.
    """
    tags: dict[str, list[str]] = {}
    for number, line in _without_comments(lines):
        tag, *words = line.split()
        if not tag.startswith("@") or (tag.lower() == "@data" and words):
            raise UnreadableInputError(
                f"{path}, line {number} must be a comment (#) or a tag such as '@classLabel false' "
                f"as long as no line is '@data', got {shorten(line)}."
            )
        if tag.lower() == "@data":
            return TsHeader.from_tags(path, tags)
        tags[tag.lower()] = words
    raise UnreadableInputError(f"{path}: must have a line '@data' before its cases, it has none.")


def read_ts(lines: Iterable[str], source: Source, columns: Columns) -> Iterator[Item]:
    """Reads the text of a `.ts` file, one whole sequence per case.

    The format has no keys: a case's is the file's name without its extension, and the case's number
    from 0, as in `JapaneseVowels_TRAIN/0`; rejected cases are counted as well, blank lines not.

    Args:
        lines: the lines; undecodable bytes as surrogate escapes.
        source: the file.
        columns: `label` decides whether labels are kept.

    Yields:
        `(key, fragment)`, or a reject where the file's name is not UTF-8.

    Raises:
        UnreadableInputError: if the header is not that of a `.ts` file.

    Example:
        >>> lines = ["@classLabel true up down", "@data", "1,2,3:4,5,6:up"]
        >>> key, whole = next(read_ts(lines, Source(0, "x.ts"), Columns(label="class")))
        >>> key, whole.values.shape, whole.label
        (b'x/0', (3, 2), b'up')
    """
    numbered = enumerate(lines, 1)
    header = read_header(source.path, numbered)
    for case, (number, line) in enumerate(_without_comments(numbered)):
        place = source.place(number)
        try:
            key = number_key(source.path, case)
        except RejectionError as rejection:
            yield rejection.reject(place)
        else:
            yield key, _parse_case(line, place, header, columns, has_order=source.has_order)


def _parse_case(
    line: str, place: Place, header: TsHeader, columns: Columns, *, has_order: bool
) -> Whole | RejectedPart:
    try:
        dimensions, label = header.split_case(line)
        values, times = header.parse_dimensions(dimensions)
        return Whole(
            place,
            values,
            None if columns.label is None else header.parse_label(label),
            None if times is None or has_order else pack_times(times),
        )
    except RejectionError as rejection:
        return rejection.reject_part(place, whole=True)


def _without_comments(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Strips the lines, and leaves out comments and blank ones."""
    for number, line in lines:
        line = line.strip()
        if line and not line.startswith("#"):
            yield number, line


def _split_timed(line: str) -> list[str]:
    """Splits at the colons outside brackets; like `str.split`, also where nothing is between."""
    dimensions = [""]
    for token in _TIMED_DIMENSION.findall(line):
        if token == ":":
            dimensions.append("")
        else:
            dimensions[-1] = token
    return dimensions


def _split_pairs(text: str, dimension: int) -> tuple[list[str], list[str]]:
    """Splits `(time,value),(time,value)` into times and values."""
    text = text.strip()
    if not text:
        return [], []
    pairs = [pair.split(",") for pair in _BETWEEN_PAIRS.split(text[1:-1])]
    if text[0] != "(" or text[-1] != ")" or set(map(len, pairs)) != {2}:
        raise RejectionError(
            "bad_shape",
            f"dimension {dimension} must be (time,value) pairs with ',' between them, as "
            f"@timeStamps says, got {shorten(text)}.",
        )
    times, cells = zip(*pairs, strict=True)
    return list(times), list(cells)


def _parse_common_times(times: list[list[str]]) -> list[Time]:
    first = [parse_time(text) for text in times[0]]
    for dimension, words in enumerate(times):
        # The strings are compared first: they nearly always agree, and parsing takes longer.
        if words != times[0] and [parse_time(word) for word in words] != first:
            raise RejectionError(
                "bad_time",
                f"the dimensions of a case must have the same times, dimension {dimension} has "
                f"others than dimension 0.",
            )
    return first


def _parse_cells(cells: list[str], dimension: int) -> list[float]:
    if any(_MISSING in cell for cell in cells):
        cells = ["" if cell.strip() == _MISSING else cell for cell in cells]
    return parse_numbers(cells, [f"dimension {dimension}"] * len(cells))


def _stack(dimensions: list[list[float]]) -> np.ndarray:
    lengths = list(map(len, dimensions))
    if len(set(lengths)) > 1:
        raise RejectionError(
            "bad_shape",
            f"the dimensions of a case must have one length, got {shorten(lengths)}.",
        )
    return np.array(dimensions, np.float64).T


def _read(source: Source, columns: Columns) -> Iterator[Item]:
    encoding = source.text.encoding
    with open_text(source.location, newline="", encoding=encoding, name=source.path) as lines:
        yield from read_ts(lines, source, columns)


def _check(source: Source, stream: BinaryIO, columns: Columns) -> InputFacts:
    path = source.path
    with decode_text(path, stream, newline="", encoding=source.text.encoding) as lines:
        header = read_header(path, enumerate(lines, 1))
    if columns.label is not None and not header.has_label:
        raise ValueError(
            f"{path}: `label` must be None, as the header says that its cases have none, "
            f"got {columns.label!r}."
        )
    if source.needs_times and not header.has_times:
        raise ValueError(
            f"{path}: `time_order` must be 'sort', as the header says by no '@timestamps true' "
            f"that its cases have times, got {source.time_order!r}."
        )
    return InputFacts(text=source.text)


FORM = InputForm(
    name="ts",
    extensions=(".ts",),
    unit="line",
    read=_read,
    check=_check,
    split_of=split_of_archive,
)
