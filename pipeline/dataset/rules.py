"""The rules that the sequences of a dataset were read by, for raw files that a model is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from etils import epath

from padless.pipeline.dataset.metadata import PROVENANCE

_KINDS = {
    "missing": str,
    "time_order": str,
    "min_length": int,
    "max_length": int,
    "too_long": str,
    "stride": int,
}
_OPTIONAL = ("max_length", "stride")

_Parsed = TypeVar("_Parsed")


@dataclasses.dataclass(frozen=True, slots=True)
class SequenceRules:
    """What became of missing values, of the order of time and of lengths; see `Rules`."""

    missing: str = "reject"
    time_order: str = "sort"
    min_length: int = 1
    max_length: int | None = None
    too_long: str = "reject"
    stride: int | None = None


def read_rules(directory: epath.PathLike) -> SequenceRules | None:
    """Reads the rules that a dataset was made by, None where no job of padless made it.

    Raises:
        ValueError: if its provenance does not hold what it should.
    """
    return _read(epath.Path(directory), parse_rules)


def read_train_labels(directory: epath.PathLike) -> tuple[str, ...] | None:
    """Reads the labels that a dataset's training split was limited to, None where it was not.

    Raises:
        ValueError: if its provenance does not hold what it should.
    """
    return _read(epath.Path(directory), _parse_train_labels)


def _read(directory: epath.Path, parse: Callable[[Mapping[str, Any]], _Parsed]) -> _Parsed | None:
    """Parses the rules of a job; None where no job of padless made the dataset."""
    if not (directory / PROVENANCE.name).exists():
        return None
    try:
        rules = PROVENANCE.read(directory).rules
        return None if rules is None else parse(rules)
    except ValueError as error:
        raise ValueError(f"{directory / PROVENANCE.name}: {error}") from error


def _parse_train_labels(rules: Mapping[str, Any]) -> tuple[str, ...] | None:
    labels = rules.get("train_labels")
    if labels is None:
        return None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"the rule `train_labels` must be a list of strings, got {labels!r}.")
    return tuple(labels)


def parse_rules(rules: Mapping[str, Any]) -> SequenceRules:
    """Picks the rules of sequences out of those of a job.

    Raises:
        ValueError: if one is of another type.

    Example:
        >>> parse_rules({"missing": "drop_timestep", "max_length": 6, "labels": ["a"]}).max_length
        6
    """
    found = {name: rules[name] for name in _KINDS if name in rules}
    for name, value in found.items():
        if type(value) is not _KINDS[name] and not (name in _OPTIONAL and value is None):
            raise ValueError(f"the rule `{name}` must be {_KINDS[name].__name__}, got {value!r}.")
    return SequenceRules(**found)
