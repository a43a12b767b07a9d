"""Where the parts of a sequence are in raw files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from padless.pipeline.dataset.names import OUTPUT_COLUMNS
from padless.pipeline.wording import list_names

_ROLES = ("key", "time", "label", "split", "group")


class Default(str):
    """A name or choice that nobody has asked for: it acts where it can, and is never an error."""

    __slots__ = ()


def is_given(value: object) -> bool:
    """Checks whether someone has asked for a name or choice, so that it must act."""
    return value is not None and not isinstance(value, Default)


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """Where the parts of a sequence are: columns of tables, fields of records.

    Attributes:
        key: holds the sequence's key.
        time: orders the timesteps of a key.
        sequence: holds the timesteps, where one record is one sequence.
        length: holds the number of timesteps, where a record's values are one flat list.
        label: holds the sequence's label, or None for no labels.
        split: holds the name of the sequence's split, or None.
        group: holds what the sequence belongs to, such as a person or a machine, for
            `Output.hold_out` to hold out whole groups; None to hold out single sequences.
        features: the features, in order; by default all columns but the above, those of `drop`, and
            an index without a name.
        drop: columns that are no features, or None.
        wide: whether a row of a table is a sequence and each column without another part a timestep
            of its one feature, in order; otherwise a row is a timestep, or has lists.
        meta: columns, the same in all rows of a key, that are carried into the dataset and into
            what a model writes of it, or None.
        static: columns, the same in all rows of a key, that hold a number, such as an age: they are
            carried as those of `meta`, and join the embedding; None for none.
        center: features of which an offset is subtracted before they become float32, each by its
            name, or by its position where features have no names: with the offset, in raw units, or
            with None for the first value in the input; kept as pairs. None for none.

    Raises:
        ValueError: if a name is empty or names two parts, `drop`, `meta` or `static` holds one of
            another part, the last two one that outputs have already or with a slash, an offset is
            not finite, or a part is named that wide tables do not have.
    """

    key: str = Default("key")
    time: str = Default("time")
    sequence: str = Default("sequence")
    length: str = Default("length")
    label: str | None = None
    split: str | None = None
    group: str | None = None
    features: Sequence[str] | None = None
    drop: Sequence[str] | None = None
    meta: Sequence[str] | None = None
    static: Sequence[str] | None = None
    center: Mapping[str, float | None] | Sequence[tuple[str, float | None]] | None = None
    wide: bool = False

    def __post_init__(self) -> None:
        for argument in ("features", "drop", "meta", "static"):
            if (names := getattr(self, argument)) is not None:
                object.__setattr__(self, argument, as_names(argument, names))
        if self.center is not None:
            object.__setattr__(self, "center", _as_offsets(self.center))
        record = {"sequence": self.sequence, "length": self.length}
        for role, name in {**self.roles(), **record}.items():
            if not name:
                raise ValueError(f"`{role}` must name a column, got {name!r}.")
        self._check_roles_differ()
        if self.wide:
            self._check_wide()
        for role in ("meta", "static"):
            for name in getattr(self, role) or ():
                self._check_carried(role, name)

    @property
    def centered(self) -> tuple[tuple[str, float | None], ...]:
        """What is centered, as pairs."""
        return cast("tuple[tuple[str, float | None], ...]", self.center or ())

    @property
    def meta_columns(self) -> tuple[str, ...]:
        """The columns that are carried, those of numbers last; none if there are none."""
        return (*(self.meta or ()), *self.static_columns)

    @property
    def static_columns(self) -> tuple[str, ...]:
        """Those of them that hold numbers and join the embedding."""
        return tuple(self.static or ())

    @property
    def not_features(self) -> tuple[str, ...]:
        """The columns of a long or wide table that have another part than that of a feature."""
        return (*self.roles().values(), *(self.drop or ()), *self.meta_columns)

    def is_given(self, role: str) -> bool:
        """Checks whether someone has named a part, so that it must be in the data."""
        value = getattr(self, role)
        return value is not False and is_given(value)

    def naming_remedy(self, name: str) -> str:
        """Returns what names the column that `name` was looked for, if nobody has named it.

        Example:
            >>> Columns().naming_remedy("key")
            '; another one is named by `key`'
            >>> Columns(key="machine").naming_remedy("machine")
            ''
        """
        roles = (role for role in ("key", "time") if getattr(self, role) == name)
        role = next((role for role in roles if not self.is_given(role)), None)
        return "" if role is None else f"; another one is named by `{role}`"

    def roles(self) -> dict[str, str]:
        """Returns the columns of a long or wide table that are not features, role -> name."""
        names = {role: getattr(self, role) for role in _ROLES if not (self.wide and role == "time")}
        return {role: name for role, name in names.items() if name is not None}

    def _check_roles_differ(self) -> None:
        roles = self.roles()
        if len(set(roles.values())) < len(roles):
            given = ", ".join(f"{role}={name!r}" for role, name in roles.items())
            raise ValueError(f"{', '.join(f'`{r}`' for r in roles)} must differ, got {given}.")
        for role in roles.keys() - {"time"}:
            if roles[role] in (self.features or ()):
                raise ValueError(
                    f"`features` must not hold the `{role}` {roles[role]!r}, got "
                    f"{list_names(self.features or ())}."
                )
        for name in self.drop or ():
            for role, column in roles.items():
                if name == column:
                    raise ValueError(f"`drop` must not hold the `{role}` {name!r}.")
            if name in (self.features or ()):
                raise ValueError(f"`drop` must not hold {name!r}, which `features` holds.")

    def _check_wide(self) -> None:
        for role in ("time", "sequence", "length", "features"):
            if self.is_given(role):
                default = "None" if role == "features" else "left out"
                raise ValueError(
                    f"`{role}` must be {default} with `wide`, by which each column without another "
                    f"part is a timestep, got {getattr(self, role)!r}; `drop` leaves columns out."
                )

    def _check_carried(self, option: str, name: str) -> None:
        parts = {role: [column] for role, column in self.roles().items()}
        others = {"features", "drop"} | ({"meta"} if option == "static" else set())
        parts |= {role: [*(getattr(self, role) or ())] for role in sorted(others)}
        for role, columns in parts.items():
            if name in columns:
                raise ValueError(f"`{option}` must not hold {name!r}, which is `{role}`.")
        if not name or "/" in name:
            raise ValueError(f"`{option}` must hold names without a slash, got {name!r}.")
        if name in OUTPUT_COLUMNS:
            raise ValueError(
                f"`{option}` must not hold {name!r}, as what a model writes has a column of that "
                "name; rename it in the input."
            )


def as_names(argument: str, names: Iterable[str]) -> tuple[str, ...]:
    """Returns names as a tuple, checked; `argument` names them in messages.

    Raises:
        ValueError: if there is none, or one occurs twice.
    """
    if isinstance(names, str):
        raise ValueError(f"`{argument}` must be a sequence of names, got the string {names!r}.")
    names = tuple(names)
    if not names:
        raise ValueError(f"`{argument}` must hold at least one name, got none.")
    if len(set(names)) < len(names):
        raise ValueError(f"`{argument}` must hold each name once, got {list_names(names)}.")
    return names


def _as_offsets(
    center: Mapping[str, float | None] | Sequence[tuple[str, float | None]],
) -> tuple[tuple[str, float | None], ...]:
    pairs = tuple(center.items() if isinstance(center, Mapping) else center)
    names = as_names("center", [name for name, _ in pairs])
    offsets = [None if offset is None else float(offset) for _, offset in pairs]
    for name, offset in zip(names, offsets, strict=True):
        if offset is not None and not math.isfinite(offset):
            raise ValueError(f"`center` must subtract a finite number, got {name}={offset}.")
    return tuple(zip(names, offsets, strict=True))
