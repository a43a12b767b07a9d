"""Which options of a job act on which form of input; an option that does not act is rejected.

`ACTING` is the table. An option that is not in it is about sequences or about what is written, and
acts on every form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from padless.beam_jobs.columns import Columns, is_given
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.text_format import TextFormat

_RECORDS = frozenset({"jsonl", "tfds", "tfrecord"})
_TYPED = frozenset({"arrow", "parquet"})
_TABLES = _TYPED | {"csv"}
_NAMED = _RECORDS | _TABLES

# Attribute of the options -> names of the forms on which it acts.
ACTING: Mapping[str, frozenset[str]] = {
    "key": _NAMED,
    "time": _NAMED,
    "sequence": _RECORDS | _TYPED,
    "length": frozenset({"tfrecord"}),
    "label": _NAMED | {"ts"},
    "split": _NAMED,
    "group": _NAMED,
    "features": _TABLES | {"tfrecord"},
    "drop": _TABLES,
    "wide": _TABLES,
    "meta": _NAMED,
    "static": _NAMED,
    "time_order": _NAMED | {"ts"},
    "delimiter": frozenset({"csv"}),
    "decimal": frozenset({"csv"}),
    "encoding": frozenset({"csv", "jsonl", "ts"}),
    "comment": frozenset({"csv"}),
    "has_header": frozenset({"csv"}),
}
# What one form needs and another has no use for: it must act on one input of a job.
_FOR_ONE = ("key", "time", "sequence", "length", "features", "wide")
# What all sequences of a dataset have, or none.
_FOR_ALL = ("label", "split", "group", "drop", "meta", "static")
_TEXT = {field.name: field.default for field in dataclasses.fields(TextFormat)}
_REASONS = {
    ("key", "npy"): "whose keys are the positions of its sequences",
    ("time", "npy"): "whose timesteps are in order",
    ("time_order", "npy"): "whose timesteps have no times",
    ("features", "npy"): "whose features have no names",
    ("key", "npz"): "whose keys are the names of its arrays",
    ("key", "ts"): "whose keys are the numbers of its cases",
    ("time", "npz"): "whose timesteps are in order",
    ("time", "ts"): "whose times, where it has some, are before its values",
    ("time_order", "npz"): "whose timesteps have no times",
    ("length", "csv"): "whose rows are the timesteps",
    ("features", "jsonl"): "whose features have no names",
    ("features", "npz"): "whose features have no names",
    ("features", "tfds"): "whose features have no names",
    ("features", "ts"): "whose features have no names",
}


def check_acting(options: PreprocessOptions, forms: Mapping[str, str]) -> None:
    """Checks that each option that is given acts.

    Args:
        options: of the job.
        forms: path of each input -> name of its form.

    Raises:
        ValueError: if one does not; it names the option, the input and its form.
    """
    columns = options.columns
    for role in _FOR_ONE:
        if columns.is_given(role) and not ACTING[role] & set(forms.values()):
            raise ValueError(_explain(role, *next(iter(forms.items())), getattr(columns, role)))
    for role in _FOR_ALL:
        if columns.is_given(role):
            _check_each(role, forms, getattr(columns, role))
    for field in dataclasses.fields(options.text):
        value = getattr(options.text, field.name)
        if value != field.default and not ACTING[field.name] & set(forms.values()):
            raise ValueError(_explain(field.name, *next(iter(forms.items())), value))
    if options.rules.time_order == "reject" and is_given(options.rules.time_order):
        _check_each("time_order", forms, options.rules.time_order)


def _check_each(option: str, forms: Mapping[str, str], value: object) -> None:
    for path, form in forms.items():
        if form not in ACTING[option]:
            raise ValueError(_explain(option, path, form, value))


def _explain(option: str, path: str, form: str, value: object) -> str:
    other = "which is no table of text" if option in _TEXT else "which has no such column"
    if option == "wide":
        other = "which is no table"
    reason = _REASONS.get((option, form), other)
    return (
        f"{path}: `{option}` must be {_default(option)} with input of the form {form}, {reason}, "
        f"got {value!r}."
    )


def _default(option: str) -> str:
    if option == "time_order":
        return "sort"
    if option in _TEXT:
        return repr(_TEXT[option])
    return "None" if getattr(Columns(), option) is None else "left out"
