"""Imports the dataset that a user names by the path of its Python module."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any, cast

from padless.pipeline.suggestions import did_you_mean

_FORM = "MODULE:NAME or FILE.py:NAME"


def load_dataset(path: str) -> Any:
    """Imports a `tf.data.Dataset`, or calls a function without arguments that returns one.

    The module is imported as Python does it, so that its code runs; the current directory comes
    first on the path, and a file's own directory while it is imported.

    Args:
        path: `package.module:name` or `file.py:name`; a name may have dots, as `Data.train` has.

    Returns:
        The dataset.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the path has another form, there is no such module or name, the module or
            the function raises an error, the function needs arguments, or what comes of it is no
            `tf.data.Dataset`.
    """
    module_name, colon, name = path.rpartition(":")
    if not colon or not module_name or not name:
        raise ValueError(f"`python` must be {_FORM}, got {path!r}.")
    is_file = module_name.endswith(".py")
    if is_file and not pathlib.Path(module_name).is_file():
        raise FileNotFoundError(f"{module_name}: the Python file does not exist.")
    with _found_first(os.path.dirname(os.path.abspath(module_name)) if is_file else os.getcwd()):
        return _as_dataset(_find(_import_module(module_name), module_name, name), path)


@contextlib.contextmanager
def _found_first(folder: str) -> Iterator[None]:
    """Lets modules be found in a folder first, as where `python` is started there."""
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path[:] = before


def _find(module: types.ModuleType, module_name: str, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [one for one in dir(found) if not one.startswith("_")]
            hint = did_you_mean(part, public)
            raise ValueError(f"`python` must name what is in {module_name}, got {name!r}.{hint}")
        found = getattr(found, part)
    return found


def _as_dataset(found: Any, path: str) -> Any:
    import tensorflow as tf

    if isinstance(found, tf.data.Dataset):
        return found
    if not callable(found):
        raise ValueError(_describe_wrong(found, path))
    if needed := _list_needed(found):
        raise ValueError(
            f"`python` must name a dataset or a function without arguments, "
            f"{path} needs {', '.join(needed)}. A function of your own can pass them."
        )
    try:
        dataset = found()
    except Exception as error:
        raise ValueError(f"{path}() raised {type(error).__name__}: {error}") from error
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(_describe_wrong(dataset, f"{path}()"))
    return dataset


def _describe_wrong(found: Any, path: str) -> str:
    kind = type(found)
    text = (
        f"`python` must name a tf.data.Dataset, {path} is a {kind.__module__}.{kind.__qualname__}."
    )
    if "Distributed" in kind.__qualname__:
        text += " Name the dataset before it is distributed."
    elif isinstance(found, tuple | list | dict):
        text += " Name one of them, or a function that returns one."
    return text


def _list_needed(function: Any) -> list[str]:
    """Names the arguments that a function must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in functions have no signature
        return []
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variable]


def _import_module(name: str) -> types.ModuleType:
    try:
        if name.endswith(".py"):
            return _import_file(pathlib.Path(name))
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not _is_part_of(error.name, name):
            raise ValueError(f"{name}: importing it raised {error!r}.") from error
        raise ValueError(
            f"`python` must name a module that can be imported from here, got {name!r}: {error}. "
            f"A file is named with its ending, as in {name.rpartition('.')[2]}.py:NAME."
        ) from error
    except SystemExit as error:
        raise ValueError(
            f"{name}: importing it ended the program: what runs as a script belongs under "
            'if __name__ == "__main__".'
        ) from error
    except Exception as error:
        raise ValueError(f"{name}: importing it raised {error!r}.") from error


def _is_part_of(missing: str | None, name: str) -> bool:
    """Checks whether the module that is missing is the one asked for, or a package above it."""
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _import_file(file: pathlib.Path) -> types.ModuleType:
    """Imports a file under its own name, where no other module has that, for it may be pickled."""
    name = file.stem if file.stem not in sys.modules else f"_doctor_{file.stem}"
    loader = importlib.machinery.SourceFileLoader(name, os.fspath(file.resolve()))
    # None is only for a loader that knows no file.
    spec = cast(importlib.machinery.ModuleSpec, importlib.util.spec_from_loader(name, loader))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
