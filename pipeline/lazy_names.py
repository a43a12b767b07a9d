"""Names of a package that are imported when first used, where importing them takes seconds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def lazy_names(
    package: str,
    *,
    light: Mapping[str, str],
    heavy: Mapping[str, str],
    start: Callable[[], object],
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Returns the functions `__getattr__` and `__dir__` of a package (PEP 562).

    A package assigns them under `if not TYPE_CHECKING`, so that a type checker, too, finds an error
    where a name is unknown. For type checkers, it imports the same names under `if TYPE_CHECKING`.

    Args:
        package: name of the package, whose `__all__` lists its names.
        light: name -> module that it is imported from.
        heavy: the same for the names that need `start`.
        start: called before one of these is imported, as the first import decides what is printed.
    """
    namespace = vars(sys.modules[package])

    def get_name(name: str) -> object:
        if name in heavy:
            start()
        elif name not in light:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = heavy[name] if name in heavy else light[name]
        value = namespace[name] = getattr(importlib.import_module(home), name)
        return value

    def list_names() -> list[str]:
        return sorted({*namespace, *namespace["__all__"]})

    return get_name, list_names
