"""JSON files that padless writes, read again without trust: someone may have edited them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from padless.pipeline.wording import shorten

_MAX_SHOWN = 200

_Parsed = TypeVar("_Parsed")


def encode_json(content: Any, indent: int = 2, end: str = "\n") -> bytes:
    """Returns the bytes of a file that holds the content."""
    return (json.dumps(content, indent=indent) + end).encode()


def load_json(data: bytes, parse: Callable[[Any], _Parsed]) -> _Parsed:
    """Reads the bytes of a metadata file.

    Args:
        data: its bytes.
        parse: turns what the JSON holds into what is returned.

    Raises:
        ValueError: if it is not as padless wrote it; does not name the file.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the file must hold JSON: {error}") from error
    rule = "the file must be as `padless preprocess` wrote it"
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"{rule}: {error}") from error
    except KeyError as error:
        raise ValueError(f"{rule} in this version, but it has no {error}.") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        raise ValueError(f"{rule}, got {type(error).__name__}: {error}") from error


def is_object_with(data: bytes, keys: set[str]) -> bool:
    """Checks whether the bytes of a file are a JSON object that has at least these keys.

    Example:
        >>> is_object_with(b'{"a": 1, "b": 2}', {"a"}), is_object_with(b"a,b", {"a"})
        (True, False)
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and keys <= content.keys()


def check_string(value: Any) -> str:
    """Returns the value if it is a string.

    Raises:
        TypeError: if not.
    """
    if not isinstance(value, str):
        raise TypeError(f"a name must be a string, got {_show(value)}.")
    return value


def check_same(found: Any, written: Any, place: str = "", *, exact: bool = True) -> None:
    """Checks that content is what padless writes, and names the first place where it is not.

    Args:
        found: what a file holds.
        written: what it must hold.
        place: keys that lead to both, joined by dots.
        exact: whether objects must not have other keys.

    Raises:
        ValueError: if they differ.
    """
    shown = f"`{place}`" if place else "the content"
    if isinstance(written, dict):
        if not isinstance(found, dict):
            raise ValueError(f"{shown} must be an object, got {_show(found)}.")
        _check_same_keys(found, written, place, exact=exact)
    elif _holds_objects(written) and isinstance(found, list) and len(found) == len(written):
        for i, (one, other) in enumerate(zip(found, written, strict=True)):
            check_same(one, other, f"{place}[{i}]", exact=exact)
    elif found != written:
        raise ValueError(f"{shown} must be {_show(written)}, got {_show(found)}.")


def _check_same_keys(found: dict, written: dict, place: str, *, exact: bool) -> None:
    keys = sorted(found.keys() | written.keys() if exact else written.keys())
    # Objects come last, and what must not be there: the name of a class explains them.
    for key in sorted(keys, key=lambda key: isinstance(written.get(key, {}), dict)):
        inner = f"{place}.{key}".lstrip(".")
        if key not in written:
            raise ValueError(f"`{inner}` must not be there, got {_show(found[key])}.")
        if key not in found:
            raise ValueError(f"`{inner}` must be there, it is missing.")
        check_same(found[key], written[key], inner, exact=exact)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _show(value: Any) -> str:
    return shorten(repr(value), _MAX_SHOWN)
