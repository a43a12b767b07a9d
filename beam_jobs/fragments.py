"""What passes between the steps of the job: fragments, whole sequences and rejections.

A reader yields `(key, fragment)` pairs, where a fragment is `Rows`, `Whole` or `RejectedPart`, and
a `Reject` where no key could be read. `assemble` turns the fragments of a key into `Sequence`s and
`Reject`s. A missing value is NaN until `assemble` has dealt with it.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from padless.beam_jobs.columns import is_given
from padless.beam_jobs.text_format import PLAIN, TextFormat

_SHOWN_CHARACTERS = 80


class Instant(NamedTuple):
    """A date and time, exact to the nanosecond; Python's own end at the microsecond.

    Attributes:
        second: the whole second, in UTC, without a time zone.
        nanoseconds: since then, below 10**9.
    """

    second: datetime.datetime
    nanoseconds: int

    def __str__(self) -> str:
        fraction = f".{self.nanoseconds:09}".rstrip("0") if self.nanoseconds else ""
        return f"{self.second}{fraction}+00:00"


class Elapsed(NamedTuple):
    """A time span since some beginning, exact to the nanosecond.

    Attributes:
        nanoseconds: of all of it.
    """

    nanoseconds: int

    def __str__(self) -> str:
        return f"{decimal.Decimal(self.nanoseconds).scaleb(-9).normalize():f} s"


Time = int | float | decimal.Decimal | Instant | Elapsed
# One time per timestep: an int64 or float64 array where all fit, else a list.
Times = np.ndarray | list[Time]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the input, ordered as the input is.

    Attributes:
        file_index: position of the file among the inputs.
        position: line, row, record or array of the file, counted from 1; 0 where it is not known.
        file: path of the file.
        unit: what `position` counts, such as `"line"`.
    """

    file_index: int
    position: int
    file: str
    unit: str

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.position}" if self.position else self.file


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An input file, or a part of it that can be read on its own.

    Attributes:
        index: position of the file among the inputs.
        path: its path, as it was given.
        unit: what its places count, see `Place`.
        form: name of its form.
        part: which part of the file, in the form's own terms; None for all of it.
        split: the split of its sequences, UTF-8, or None where it is drawn or in the data.
        time_order: see `Rules`.
        text: how its text is written.
        absolute_path: where a relative path leads to, as a worker may run in another directory; ''
            for the path itself.
    """

    index: int
    path: str
    unit: str = "line"
    form: str = ""
    part: tuple | None = None
    split: bytes | None = None
    time_order: str = "sort"
    text: TextFormat = PLAIN
    absolute_path: str = ""

    @property
    def location(self) -> str:
        """The path to open it by; messages and places name it by `path`."""
        return self.absolute_path or self.path

    @property
    def has_order(self) -> bool:
        """Whether the timesteps are in the order of the file, so that no time is read."""
        return self.time_order == "file"

    @property
    def needs_times(self) -> bool:
        """Whether someone has asked for an order that must be seen from times."""
        return self.time_order == "reject" and is_given(self.time_order)

    def place(self, position: int) -> Place:
        """Makes the place at that position of the file."""
        return Place(self.index, position, self.path, self.unit)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one key in long format, each one timestep, in the order of the input.

    Attributes:
        place: the first row.
        values: `(rows, features)`, float32 or, where the input has more digits, float64 until the
            job has rounded it; NaN where one is missing, never infinite.
        label: label of all of these rows, UTF-8, or None.
        lines: position of each row, int64 `(rows,)`.
        times: time of each row, or None where the rows are in order, or hold nothing at all:
            neither a time nor a value.
        split: split of all of these rows, UTF-8, or None.
        group: group of all of these rows, UTF-8, or None.
        meta: of all of these rows, what is carried into outputs, UTF-8.
    """

    whole: ClassVar[bool] = False

    place: Place
    values: np.ndarray
    label: bytes | None
    lines: np.ndarray
    times: Times | None
    split: bytes | None = None
    group: bytes | None = None
    meta: tuple[bytes, ...] = ()

    @property
    def num_records(self) -> int:
        """Number of records of the input that it holds."""
        return len(self.lines)

    def __reduce__(self) -> tuple:
        fields = (self.label, self.lines, self.times, self.split, self.group, self.meta)
        return _restore, (Rows, *_pack(self), *fields)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A sequence that was one piece in the input.

    Attributes:
        place: where.
        values: `(timesteps, features)`, as those of `Rows`.
        label: UTF-8, or None.
        times: time of each timestep, or None where the timesteps are in order.
        split: UTF-8, or None.
        group: UTF-8, or None.
        padding: number of timesteps after these that had neither a value nor a time.
        meta: what is carried into outputs, UTF-8.
    """

    whole: ClassVar[bool] = True
    num_records: ClassVar[int] = 1

    place: Place
    values: np.ndarray
    label: bytes | None
    times: Times | None = None
    split: bytes | None = None
    group: bytes | None = None
    padding: int = 0
    meta: tuple[bytes, ...] = ()

    def __reduce__(self) -> tuple:
        fields = (self.label, self.times, self.split, self.group, self.padding, self.meta)
        return _restore, (Whole, *_pack(self), *fields)


@dataclasses.dataclass(frozen=True, slots=True)
class RejectedPart:
    """Why a key cannot be accepted.

    Attributes:
        place: where.
        reason: code of the rule that was broken.
        rule: the rule and the value received, a sentence.
        whole: whether it is a whole sequence, or one row.
    """

    num_records: ClassVar[int] = 1

    place: Place
    reason: str
    rule: str
    whole: bool


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One accepted sequence.

    Attributes:
        place: where its first part is in the input.
        values: float32 `(timesteps, features)`, finite, with at least one timestep.
        label: UTF-8, or None.
        key: its name, UTF-8.
        split: name of its split.
        meta: column -> value, UTF-8, of what is carried into outputs.
    """

    place: Place
    values: np.ndarray
    label: bytes | None
    key: bytes
    split: str
    meta: Mapping[str, bytes] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """One rejected input.

    Attributes:
        place: where the error is.
        key: name of the sequence, UTF-8, or None where it could not be read.
        reason: code of the rule that was broken.
        rule: the rule and the value received, a sentence.
    """

    place: Place
    key: bytes | None
    reason: str
    rule: str

    @property
    def message(self) -> str:
        """File, line, key, rule and value in one sentence."""
        key = "" if self.key is None else f", key {shorten(self.key.decode())}"
        return f"{self.place}{key}: {self.rule}"

    @property
    def order(self) -> tuple:
        """Sorts rejects as their places, whatever order they arrived in."""
        return self.place, self.key or b"", self.reason, self.rule

    def to_json(self) -> str:
        """Serializes the reject as one line of JSON."""
        fields = {
            "reason": self.reason,
            "file": self.place.file,
            self.place.unit: self.place.position or None,
            "key": None if self.key is None else self.key.decode(),
            "message": self.message,
        }
        return json.dumps(fields)


Item = tuple[bytes, Rows | Whole | RejectedPart] | Reject


class RejectionError(ValueError):
    """Raised where a value breaks a rule; the reader adds file, line and key.

    Attributes:
        reason: code of the rule.
        rule: the rule and the value received, a sentence.
        place: where the value is, if that is known better than where the sequence is.
    """

    def __init__(self, reason: str, rule: str, place: Place | None = None):
        super().__init__(reason, rule)
        self.reason = reason
        self.rule = rule
        self.place = place

    def reject(self, place: Place, key: bytes | None = None) -> Reject:
        """Makes the reject of the sequence at that place, or of an input without readable key."""
        return Reject(self.place or place, key, self.reason, self.rule)

    def reject_part(self, place: Place, *, whole: bool) -> RejectedPart:
        """Makes the part that replaces the row or the whole sequence at that place."""
        return RejectedPart(place, self.reason, self.rule, whole)


class UnreadableInputError(ValueError):
    """Raised where the rest of a file cannot be read; the message names the file and the place."""


def shorten(value: object) -> str:
    """Returns a received value as text for a message, at most about 80 characters of it."""
    shown = repr(value)
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return f"{shown[:_SHOWN_CHARACTERS]}... ({len(shown)} characters)"


def first_where(found: np.ndarray) -> tuple[int, int] | None:
    """Returns the first place `(row, column)` where a bool array is true, or None."""
    if not found.any():
        return None
    row, column = np.argwhere(found)[0]
    return int(row), int(column)


_Part = TypeVar("_Part", Rows, Whole)


def _pack(part: Rows | Whole) -> tuple:
    """Flattens place and values: pickling them as objects was 40 % of the time of a job."""
    if part.values.dtype != np.float32:
        raise ValueError(f"Values must be rounded to float32 first, got {part.values.dtype}.")
    place = part.place
    fields = (place.file_index, place.position, place.file, place.unit)
    return fields, part.values.shape[1], part.values.tobytes()


def _restore(
    kind: type[_Part], place: tuple, num_features: int, data: bytes, *fields: Any
) -> _Part:
    values = np.frombuffer(data, np.float32).reshape(-1, num_features)
    return kind(Place(*place), values, *fields)
