"""From the schema of an Arrow table to the `Table` that reads its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import pyarrow as pa

from padless.beam_jobs.columns import Columns, is_given
from padless.beam_jobs.readers.arrow.columns import is_key, is_label, is_list, is_number, is_time
from padless.beam_jobs.readers.arrow.sequences import ListTable, NestedTable
from padless.beam_jobs.readers.arrow.tables import LongTable, Table
from padless.beam_jobs.readers.arrow.wide import WideTable
from padless.beam_jobs.readers.feature_columns import check_listed, choose_features
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names


def locate_table(
    path: str, schema: pa.Schema, columns: Columns, *, time_order: str = "sort"
) -> Table:
    """Finds the columns that the options name, and the shape of the table by their types.

    Raises:
        ValueError: if a column is missing, there more than once or of an unsuitable type.
    """
    types = _ColumnTypes(path, schema, columns)
    check_listed(path, schema.names, columns)
    if columns.wide:
        has_key = columns.is_given("key") or columns.key in types
        timesteps = types.find_features(columns)
        types.check_constants(columns, has_key=has_key)
        types.check_features(timesteps, is_number, "numbers", remedy="`drop`")
        return WideTable(columns, None, has_times=False, timesteps=timesteps, has_key=has_key)
    if columns.is_given("sequence") or types.is_nested(columns.sequence):
        if columns.drop is not None:
            raise ValueError(
                f"{path}: `drop` must be None where the column {columns.sequence!r} holds all "
                f"features, got {columns.drop}."
            )
        types.check(columns.sequence, _is_nested_number, "lists of lists of numbers")
        types.check_constants(columns)
        names = None if columns.features is None else tuple(columns.features)
        return NestedTable(columns, names, has_times=types.has_time_lists(columns, time_order))
    features = types.find_features(columns)
    if types.has_lists(features):
        types.check_constants(columns)
        types.check_features(features, _is_number_list, "lists of numbers")
        return ListTable(columns, features, has_times=types.has_time_lists(columns, time_order))
    if columns.features is not None:
        types.check_features(features, is_number, "numbers")
    types.check_constants(columns)
    has_order = time_order == "file"
    if columns.is_given("time") or not has_order:
        rule = "numbers, strings or dates"
        types.check(columns.time, is_time, rule, remedy=columns.naming_remedy(columns.time))
    # Where nobody names the features, a key of another name would be one of them.
    types.check_features(features, is_number, "numbers")
    return LongTable(columns, features, has_times=not has_order)


class _ColumnTypes:
    """The types of a table's columns, by name."""

    def __init__(self, path: str, schema: pa.Schema, columns: Columns):
        self._path = path
        self._columns = columns
        self._types: dict[str, pa.DataType] = {}
        for field in schema:
            if field.name in self._types:
                raise ValueError(
                    f"{path}: column names must differ, got {field.name!r} more than once."
                )
            self._types[field.name] = field.type

    def __contains__(self, name: str) -> bool:
        return name in self._types

    def is_nested(self, name: str) -> bool:
        """Checks whether a column holds lists of lists."""
        return self.has_lists([name]) and is_list(self._types[name].value_type)

    def has_lists(self, names: Iterable[str]) -> bool:
        """Checks whether one of these columns is there and holds lists."""
        return any(name in self._types and is_list(self._types[name]) for name in names)

    def has_time_lists(self, columns: Columns, time_order: str) -> bool:
        """Checks whether whole sequences have times that are looked at, and if so their type.

        A time that is not a list is not what orders the timesteps, unless someone has named it.
        """
        is_rejecting = time_order == "reject" and is_given(time_order)
        is_needed = columns.is_given("time") or is_rejecting
        if not is_needed and not self.has_lists([columns.time]):
            return False
        self.check(columns.time, _is_time_list, "lists of numbers, strings or dates")
        return time_order != "file"

    def _list_numbers(self) -> str:
        """Lists the columns that may be features."""
        others = dataclasses.replace(self._columns, features=None)
        names = choose_features(list(self._types), others)
        kinds = {name: self._types[name] for name in names}
        numbers = [n for n, kind in kinds.items() if is_number(kind) or _is_number_list(kind)]
        return f"; columns with numbers: {list_names(numbers)}"

    def check(
        self,
        name: str,
        is_right: Callable[[pa.DataType], bool],
        rule: str,
        *,
        explain: Callable[[], str] = str,
        remedy: str = "",
    ) -> None:
        """Checks that a column is there and of a type.

        Args:
            name: of the column.
            is_right: checks whether its type is.
            rule: that such a type keeps.
            explain: returns more about other types.
            remedy: what helps where there is no such column.

        Raises:
            ValueError: if it is missing or of another type.
        """
        if name not in self._types:
            raise ValueError(
                f"{self._path}: must have a column {name!r}, it has {list_names(self._types)}"
                f"{remedy}."
                f"{did_you_mean(name, self._types)}"
            )
        if not is_right(self._types[name]):
            raise ValueError(
                f"{self._path}: column {name!r} must hold {rule}, it holds {self._types[name]}"
                f"{explain()}."
            )

    def check_constants(self, columns: Columns, *, has_key: bool = True) -> None:
        """Checks the columns of key, if there is one, label, split, group and what is carried."""
        if has_key:
            rule = "strings or integers, also as floats"
            self.check(columns.key, is_key, rule, remedy=columns.naming_remedy(columns.key))
        if columns.label is not None:
            self.check(columns.label, is_label, "strings, numbers or truth values")
        if columns.split is not None:
            self.check(columns.split, is_key, "strings")
        if columns.group is not None:
            self.check(columns.group, is_label, "strings, numbers or truth values")
        for name in columns.meta_columns:
            self.check(name, is_label, "strings, numbers or truth values")

    def check_features(
        self,
        names: Iterable[str],
        is_right: Callable[[pa.DataType], bool],
        rule: str,
        *,
        remedy: str = "`features`",
    ) -> None:
        """Checks that all features are there and of a type; `remedy` can leave others out."""
        for name in names:
            rule_or_not = f"{rule}, or {remedy} must leave it out"
            self.check(name, is_right, rule_or_not, explain=self._list_numbers)

    def find_features(self, columns: Columns) -> tuple[str, ...]:
        """Returns the names of the features, by default all columns without another part."""
        if not (features := choose_features(list(self._types), columns)):
            remedy = "" if columns.wide else "; choose them with `features`"
            raise ValueError(
                f"{self._path}: must have feature columns besides "
                f"{list_names(columns.not_features)}, "
                f"it has {list_names(self._types)}{remedy}."
            )
        return features


def _is_time_list(kind: pa.DataType) -> bool:
    return is_list(kind) and is_time(kind.value_type)


def _is_number_list(kind: pa.DataType) -> bool:
    return is_list(kind) and is_number(kind.value_type)


def _is_nested_number(kind: pa.DataType) -> bool:
    return is_list(kind) and _is_number_list(kind.value_type)
