"""What passes between the steps of the job: fragments, whole sequences and refusals.

A reader yields `(key, fragment)` pairs, where a fragment is `Rows`, `Whole` or `Fault`, and a
`Reject` where no key could be read. `assemble` turns the fragments of a key into a `Sequence` or a
`Reject`.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import json
from typing import ClassVar, NamedTuple

import numpy as np

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


Time = int | float | decimal.Decimal | Instant


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the input, ordered as the input is.

    Attributes:
        file_index: position of the file among the inputs.
        position: line (of text) or array (of an npz file), counted from 1.
        file: path of the file.
        unit: what `position` counts, `"line"` or `"array"`.
    """

    file_index: int
    position: int
    file: str
    unit: str

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.position}"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """An input file.

    Attributes:
        index: position of the file among the inputs.
        path: its path.
        unit: what its places count, see `Place`.
    """

    index: int
    path: str
    unit: str = "line"

    def place(self, position: int) -> Place:
        """Makes the place at that position of the file."""
        return Place(self.index, position, self.path, self.unit)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Consecutive rows of one key in long format, each one timestep.

    Attributes:
        place: the first row.
        values: float32 `(rows, features)`, finite.
        label: label of all of these rows, UTF-8, or None.
        lines: line of each row.
        times: time of each row.
    """

    whole: ClassVar[bool] = False

    place: Place
    values: np.ndarray
    label: bytes | None
    lines: list[int]
    times: list[Time]

    def __reduce__(self):
        return _restore, (Rows, *_pack(self), self.label, self.lines, self.times)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A sequence that stood in the input as one piece.

    Attributes:
        place: where.
        values: float32 `(timesteps, features)`, finite, with at least one timestep.
        label: UTF-8, or None.
    """

    whole: ClassVar[bool] = True

    place: Place
    values: np.ndarray
    label: bytes | None

    def __reduce__(self):
        return _restore, (Whole, *_pack(self), self.label)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """Why a key cannot be accepted.

    Attributes:
        place: where.
        reason: code of the rule that was broken.
        rule: the rule and the value received, a sentence.
        whole: whether a whole sequence stood there, or one row.
    """

    place: Place
    reason: str
    rule: str
    whole: bool


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One accepted sequence.

    Attributes:
        place: where its first part stands in the input.
        values: float32 `(timesteps, features)`, finite, with at least one timestep.
        label: UTF-8, or None.
        key: its name, UTF-8.
    """

    place: Place
    values: np.ndarray
    label: bytes | None
    key: bytes

    def __reduce__(self):
        return _restore, (Sequence, *_pack(self), self.label, self.key)

    def reject(self, reason: str, rule: str) -> Reject:
        """Makes the reject that stands for this sequence."""
        return Reject(self.place, self.key, reason, rule)


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """One refused input.

    Attributes:
        place: where the fault is.
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
            self.place.unit: self.place.position,
            "key": None if self.key is None else self.key.decode(),
            "message": self.message,
        }
        return json.dumps(fields)


class RefusalError(ValueError):
    """Raised where a value breaks a rule; the reader adds file, line and key.

    Attributes:
        reason: code of the rule.
        rule: the rule and the value received, a sentence.
    """

    def __init__(self, reason: str, rule: str):
        super().__init__(reason, rule)
        self.reason = reason
        self.rule = rule

    def reject(self, place: Place, key: bytes | None = None) -> Reject:
        """Makes the reject of an input whose key could not be read."""
        return Reject(place, key, self.reason, self.rule)

    def fault(self, place: Place, *, whole: bool) -> Fault:
        """Makes the fault that stands for the row or the whole sequence at that place."""
        return Fault(place, self.reason, self.rule, whole)


class UnreadableInputError(ValueError):
    """Raised where the rest of a file cannot be read; the message names the file and the place."""


def shorten(value: object) -> str:
    """Shows a received value in a message, at most about 80 characters of it."""
    shown = repr(value)
    if len(shown) <= _SHOWN_CHARACTERS:
        return shown
    return f"{shown[:_SHOWN_CHARACTERS]}... ({len(shown)} characters)"


def _pack(part: Rows | Whole | Sequence) -> tuple:
    """Takes place and values apart: pickling them as objects was 40 % of the time of a job."""
    place = part.place
    fields = (place.file_index, place.position, place.file, place.unit)
    return fields, part.values.shape[1], part.values.tobytes()


def _restore(kind: type, place: tuple, num_features: int, data: bytes, *fields):
    values = np.frombuffer(data, np.float32).reshape(-1, num_features)
    return kind(Place(*place), values, *fields)
