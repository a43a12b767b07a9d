"""The results of a command as one JSON object, for programs to read."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def add_json_argument(group: argparse._ActionsContainer) -> None:
    """Adds the choice of JSON."""
    help = "print one JSON object instead, whose keys docs/command_line.md lists"
    group.add_argument("--json", action="store_true", help=help)


def print_json(content: Mapping[str, Any]) -> None:
    """Prints one JSON object, numbers as they are and NaN as null."""
    print(json.dumps(as_json(content), ensure_ascii=False, allow_nan=False))


def as_json(value: Any) -> Any:
    """Returns what JSON can hold: dicts, lists, strings, numbers, booleans and None.

    Args:
        value: also a dataclass or a named tuple, which become dicts, or NumPy's numbers and arrays.

    Example:
        >>> as_json({"a": (1, float("nan")), 2: np.float32(0.5)})
        {'a': [1, None], '2': 0.5}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return as_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
