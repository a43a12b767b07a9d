"""The file of a fitted estimator: a zip archive of JSON and of its model's files, nothing pickled.

No member is compressed, so that none takes more memory than the file is large.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import padless
from padless.estimators.trained import FILES
from padless.model.run_directory.stored_arrays import DAMAGES, check_stored
from padless.pipeline.protected import check_output_file
from padless.pipeline.written_whole import written_whole

_ESTIMATOR_FILE = "estimator.json"
_KEYS = ("class", "padless", "parameters", "learned")


@dataclasses.dataclass(frozen=True, slots=True)
class Saved:
    """What the file of an estimator holds.

    Attributes:
        parameters: name -> value.
        learned: name -> what the fit has learned besides the model.
        files: name -> content of each file of the model.
    """

    parameters: Mapping[str, Any]
    learned: Mapping[str, float]
    files: Mapping[str, bytes]


def write_archive(path: str | os.PathLike[str], kind: str, saved: Saved) -> None:
    """Writes the file of an estimator, whole or not at all.

    Args:
        path: the file; one that exists is replaced.
        kind: name of the estimator's class.
        saved: what to write.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: if it cannot be written there, see
            `padless.pipeline.protected.check_output_file`.
    """
    check_output_file(path, "path")
    parameters = {name: _plain(value) for name, value in saved.parameters.items()}
    values = (kind, padless.__version__, parameters, dict(saved.learned))
    described = json.dumps(dict(zip(_KEYS, values, strict=True)), indent=2)
    contents = {_ESTIMATOR_FILE: described.encode(), **saved.files}
    with (
        written_whole(pathlib.Path(path), shared=True) as beside,
        zipfile.ZipFile(beside, "w") as archive,
    ):
        for name, data in contents.items():
            archive.writestr(name, data)


def read_archive(path: str | os.PathLike[str], kind: str) -> Saved:
    """Reads the file of an estimator of a class.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, was edited, or holds an estimator of another class.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"{path}: the file does not exist.")
    with naming_damage(path), zipfile.ZipFile(path) as archive:
        check_stored(archive)
        if sorted(archive.namelist()) != sorted((_ESTIMATOR_FILE, *FILES)):
            raise ValueError(f"it must hold {[_ESTIMATOR_FILE, *FILES]}, got {archive.namelist()}.")
        described = json.loads(archive.read(_ESTIMATOR_FILE))
        if not isinstance(described, dict) or described.keys() != set(_KEYS):
            raise ValueError(f"{_ESTIMATOR_FILE} must hold an object with the keys {_KEYS}.")
        if described["class"] != kind:
            raise ValueError(f"it must be a {kind}, got a {described['class']}.")
        files = {name: archive.read(name) for name in FILES}
        return Saved(dict(described["parameters"]), dict(described["learned"]), files)


@contextlib.contextmanager
def naming_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns what a damaged file is answered with into a ValueError that names it."""
    try:
        yield
    except DAMAGES as error:
        raise ValueError(
            f"{path} must be a file that the method `save` of an estimator has written: {error}"
        ) from error


def _plain(value: Any) -> Any:
    """Returns a parameter as JSON has it, without NumPy's types."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
