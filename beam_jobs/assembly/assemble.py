"""From the fragments of one key to sequences, or to the reasons why there are none.

Stages, for each sequence of the input: its parts are joined in the order of time; padding at its
end is left out; missing values are dealt with; what is too long is cut. The first rule that is
broken rejects it.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from typing import NamedTuple, NoReturn, cast

import numpy as np

from padless.beam_jobs.assembly.split_draw import SplitDraw
from padless.beam_jobs.assembly.time_order import find_disorder, join_times, sort_by_time
from padless.beam_jobs.fragments import (
    Place,
    Reject,
    RejectedPart,
    RejectionError,
    Rows,
    Sequence,
    Times,
    Whole,
    first_where,
    shorten,
)
from padless.beam_jobs.options import Rules
from padless.pipeline.dataset.keys import is_piece_key, piece_key, piece_spans
from padless.pipeline.dataset.static_columns import read_static
from padless.pipeline.wording import list_names, plural

Tally = collections.Counter[str]
Unit = list[Rows] | list[Whole]  # the parts of one sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Assembler:
    """Assembles the fragments of one key after another.

    Attributes:
        rules: what is accepted.
        seed: of the hash of the key that draws the split.
        splits: share of the sequences per split, for those that do not come with one.
        feature_names: names of the features for messages, or None.
        hold_out: splits that are taken from the training split, and their shares of it.
        meta_columns: names of the columns that are carried into outputs.
        static_columns: those of them that hold a number.
    """

    rules: Rules
    seed: int
    splits: Seq[tuple[str, float]]
    feature_names: Seq[str] | None = None
    hold_out: Seq[tuple[str, float]] = ()
    meta_columns: Seq[str] = ()
    static_columns: Seq[str] = ()

    @property
    def split_draw(self) -> SplitDraw:
        """How the split of a sequence is found."""
        return SplitDraw(self.seed, self.splits, self.hold_out, self.rules.train_labels)

    def assemble(self, key: bytes, fragments: Iterable[Rows | Whole | RejectedPart]) -> Assembled:
        """Assembles the fragments of one key, in whatever order they arrived.

        All rows of a key, from all files, are one sequence; each `Whole` is one. There must be only
        one of them: otherwise each is rejected, as none is more right than the others.
        """
        units = _list_units(fragments)
        tally = collections.Counter(read=len(units))
        if len(units) > 1:
            return Assembled(list(_reject_duplicates(key, units)), tally)
        mended: Tally = collections.Counter()
        results = self._assemble_unit(key, units[0], mended, tally)
        if any(isinstance(result, Sequence) for result in results):
            tally += mended  # what was done to a sequence that is rejected shows nowhere
        return Assembled(results, tally)

    def _assemble_unit(
        self, key: bytes, unit: Unit, mended: Tally, seen: Tally
    ) -> list[Sequence | Reject]:
        if rejected := _first_rejected(key, unit):
            return [rejected]
        try:
            self._check_key(key)
            joined = self._join(unit)
            joined = _without_padding(joined, mended)
            values = self._deal_with_missing(joined, mended)
            first = joined.unit[0]  # not an empty row, which has no label
            self._check_label(first.label)
            split = self.split_draw.split_of(key, first, seen)
            if split is None:
                return []
            pieces = list(self._cut(key, values, mended))
        except RejectionError as rejection:
            return [rejection.reject(unit[0].place, key)]
        return [self._accept(*piece, first, split) for piece in pieces]

    def _accept(
        self, key: bytes, values: np.ndarray, part: Rows | Whole, split: str
    ) -> Sequence | Reject:
        if self.rules.missing == "mask" and np.isnan(values).all():
            return Reject(part.place, key, "missing_value", "all values are missing.")
        if len(values) >= self.rules.min_length:
            meta = dict(zip(self.meta_columns, part.meta, strict=True))
            return Sequence(part.place, values, part.label, key, split, meta)
        rule = f"a sequence must have at least {self.rules.min_length} timesteps, "
        return Reject(part.place, key, "too_short", f"{rule}got {len(values)}.")

    def _check_key(self, key: bytes) -> None:
        if self.rules.too_long == "split" and is_piece_key(key):
            raise RejectionError(
                "bad_key",
                "the key must not end as those of pieces do, in [from:to], where long sequences "
                f"are split, got {shorten(key.decode())}.",
            )

    def _join(self, unit: Unit) -> _Joined:
        """Joins the parts of one sequence in the order of time."""
        unit, padding = _split_empty(unit)
        for what in ("label", "split", "group"):
            _check_same(what, {part.place: getattr(part, what) for part in unit})
        for number, column in enumerate(self.meta_columns):
            # Rows that hold nothing at all have none; if no row has more, the padding is rejected.
            found = {part.place: part.meta[number] for part in unit if part.meta}
            if not found:
                continue
            if column in self.static_columns:
                _check_static(found, column)
            else:
                _check_same("meta", found, f"column {column!r}")
        if len({part.values.shape[1] for part in unit}) > 1:
            raise RejectionError(
                "wrong_num_features",
                "all timesteps must hold as many values as the first, "
                f"{unit[0].values.shape[1]}, got {unit[-1].values.shape[1]} at {unit[-1].place}.",
            )
        values = np.concatenate([part.values for part in unit]) if unit[1:] else unit[0].values
        if unit[0].times is None:
            return _Joined(unit, values, None, padding)
        times = cast("list[Times]", [part.times for part in unit])  # all parts have some, or none
        order = _order(unit, join_times(times), self.rules)
        return _Joined(unit, values if order is None else values[order], order, padding)

    def _reject_missing(self, joined: _Joined, timestep: int, feature: int) -> NoReturn:
        unit = joined.unit
        row = timestep if joined.order is None else int(joined.order[timestep])
        name = self._name(feature, unit[0].values.shape[1])
        where = f"{_where(unit, row)}, " if isinstance(unit[0], Whole) else ""
        rule = f"{where}{name} must hold a number, it is missing."
        raise RejectionError("missing_value", rule, _place_of(unit, row))

    def _name(self, feature: int, num_features: int) -> str:
        """Returns what messages call a feature."""
        if self.feature_names and len(self.feature_names) == num_features:
            return f"column {self.feature_names[feature]!r}"
        return f"feature {feature}"

    def _deal_with_missing(self, joined: _Joined, tally: Tally) -> np.ndarray:
        values = joined.values
        missing = np.isnan(values)
        if not missing.any():
            return values
        if self.rules.missing == "mask":
            tally["masked_values"] += int(missing.sum())
            return values
        if self.rules.missing == "reject":
            self._reject_missing(joined, *cast("tuple[int, int]", first_where(missing)))
        if self.rules.missing == "drop_timestep":
            kept = ~missing.any(axis=1)
            tally["dropped_timesteps"] += int((~kept).sum())
            if not kept.any():
                raise RejectionError("zero_timesteps", "every timestep has a missing value.")
            return values[kept]
        if missing[0].any():
            name = self._name(int(np.argmax(missing[0])), missing.shape[1])
            raise RejectionError(
                "missing_value",
                f"{name} must hold a number in the first timestep, to fill the later ones from; it "
                "is missing.",
            )
        tally["filled_values"] += int(missing.sum())
        return _fill_forward(values, missing)

    def _check_label(self, label: bytes | None) -> None:
        labels, name = self.rules.labels, None if label is None else label.decode()
        if labels is not None and name not in labels:
            raise RejectionError(
                "unknown_label",
                f"the label must be one of {list_names(labels)}, got {shorten(name)}.",
            )

    def _cut(
        self, key: bytes, values: np.ndarray, tally: Tally
    ) -> Iterator[tuple[bytes, np.ndarray]]:
        """Cuts a sequence that is too long as the rule says; yields `(key, values)` pairs."""
        longest, length = self.rules.max_length, len(values)
        if longest is None or length <= longest:
            yield key, values
        elif self.rules.too_long == "truncate":
            tally["truncated_sequences"] += 1
            tally["truncated_timesteps"] += length - longest
            yield key, values[:longest]
        elif self.rules.too_long == "split":
            spans = list(piece_spans(length, longest, self.rules.stride))
            tally["split_sequences"] += 1
            tally["pieces"] += len(spans)
            for start, stop in spans:
                yield piece_key(key, start, stop), values[start:stop]
        else:
            raise RejectionError(
                "too_long", f"a sequence must have at most {longest} timesteps, got {length}."
            )


class _Joined(NamedTuple):
    """The timesteps of one sequence in their order.

    Attributes:
        unit: the parts that they come from.
        values: float32 `(timesteps, features)`, NaN where one is missing.
        order: position of each timestep among the parts', or None where they were in order.
        padding: number of timesteps after these that had neither a value nor a time.
    """

    unit: Unit
    values: np.ndarray
    order: np.ndarray | None
    padding: int


class Assembled(NamedTuple):
    """What came of one key.

    Attributes:
        results: one sequence or reject per sequence of the input, in its order, or
            one per piece of a sequence that was split; none for one that was left out.
        tally: `read`, the number of sequences in the input, what was done to them, and what
            `SplitDraw` has counted.
    """

    results: list[Sequence | Reject]
    tally: collections.Counter


def _list_units(fragments: Iterable[Rows | Whole | RejectedPart]) -> list[list]:
    """Lists the sequences of the input: each whole, and all rows together as one."""
    fragments = sorted(fragments, key=lambda fragment: fragment.place)
    rows = [fragment for fragment in fragments if not fragment.whole]
    units = [[fragment] for fragment in fragments if fragment.whole] + ([rows] if rows else [])
    return sorted(units, key=lambda unit: unit[0].place)


def _first_rejected(key: bytes, unit: list) -> Reject | None:
    for part in unit:
        if isinstance(part, RejectedPart):
            return Reject(part.place, key, part.reason, part.rule)
    return None


def _reject_duplicates(key: bytes, units: list[list]) -> Iterator[Reject]:
    first, second = units[0][0].place, units[1][0].place
    for index, unit in enumerate(units):
        other = first if index else second
        yield _first_rejected(key, unit) or Reject(
            unit[0].place,
            key,
            "duplicate_key",
            f"the key must name one sequence, it names {len(units)}, also at {other}.",
        )


def _split_empty(unit: Unit) -> tuple[Unit, int]:
    """Sets rows without a time and a value aside, among others that have a time; counts them."""
    if isinstance(unit[0], Whole):
        return unit, unit[0].padding
    timed = [part for part in unit if part.times is not None]
    if not timed or len(timed) == len(unit):
        return unit, 0
    return timed, sum(len(part.values) for part in unit if part.times is None)


def _without_padding(joined: _Joined, tally: Tally) -> _Joined:
    """Leaves out timesteps at the end in which every value is missing, and counts them."""
    some = ~np.isnan(joined.values).all(axis=1)
    length = len(some) - int(np.argmax(some[::-1])) if some.any() else 0
    padding = joined.padding + len(some) - length
    if not length:
        raise RejectionError(
            "only_padding",
            f"a sequence must have a value, got none in {plural(padding, 'timestep')}.",
        )
    if padding:
        tally["padded_sequences"] += 1
        tally["padding_timesteps"] += padding
    return joined._replace(values=joined.values[:length], padding=0)


def _check_same(what: str, found: Mapping[Place, bytes | None], shown: str = "") -> None:
    first, *others = found.items()
    for place, value in others:
        if value != first[1]:
            raise RejectionError(
                f"conflicting_{what}",
                f"the {shown or what} must be the same in all rows, got {_show(first[1])} and, "
                f"at {place}, {_show(value)}.",
            )


def _check_static(found: Mapping[Place, bytes], column: str) -> None:
    """Checks that a column holds one number in all rows, however it is written."""
    numbers = {}
    for place, text in found.items():
        try:
            numbers[place] = read_static(text)
        except ValueError as error:
            rule = f"the column {column!r} {error}"
            raise RejectionError("bad_static", rule, place) from error
    first, *others = numbers.items()
    for place, number in others:
        if number != first[1]:
            raise RejectionError(
                "conflicting_static",
                f"the column {column!r} must hold one number in all rows, got {first[1]} and, at "
                f"{place}, {number}.",
            )


def _show(value: bytes | None) -> str:
    return repr(value and value.decode())


def _order(unit: list, times: np.ndarray, rules: Rules) -> np.ndarray | None:
    """Returns the order of the timesteps by time, or None where they are already sorted.

    Raises:
        RejectionError: if a time occurs twice or, where the rules forbid it, comes too late.
    """
    late = find_disorder(times)
    if late is None:
        return None
    order, same = sort_by_time(times)
    if same is not None:
        places = " and ".join(_where(unit, row) for row in sorted(same))
        raise RejectionError(
            "duplicate_time",
            f"a time must occur once in a key, got {times[same[0]]} at {places}.",
        )
    if rules.time_order == "reject":
        raise RejectionError(
            "time_not_increasing",
            f"the times of a key must increase, got {times[late]} after {times[late - 1]}.",
            _place_of(unit, late),
        )
    return order


def _place_of(unit: Unit, row: int) -> Place:
    """Finds the place of a timestep from its position among all parts'."""
    for part in unit:
        if isinstance(part, Whole):
            return part.place
        if row < len(part.lines):
            return dataclasses.replace(part.place, position=int(part.lines[row]))
        row -= len(part.lines)
    raise IndexError(row)


def _where(unit: Unit, row: int) -> str:
    return f"timestep {row}" if isinstance(unit[0], Whole) else str(_place_of(unit, row))


def _fill_forward(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    rows = np.where(missing, 0, np.arange(len(values))[:, None])
    return values[np.maximum.accumulate(rows, axis=0), np.arange(values.shape[1])]
