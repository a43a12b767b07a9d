"""Outputs must not be inside a dataset or a training run: they would change what others rely on."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator

from etils import epath

from padless.pipeline.dataset.json_content import is_object_with
from padless.pipeline.dataset.names import PROVENANCE_FILE
from padless.pipeline.dataset.provenance import is_provenance
from padless.pipeline.paths import is_local

_MOST_BYTES = 1 << 26


def _is_configuration(data: bytes) -> bool:
    """Checks whether the bytes of a file are the configuration of a training run."""
    return is_object_with(data, {"architecture", "fingerprint", "training"})


# What marks a directory that padless wrote: the name of a file, and what tells that it is its own.
_MARKS: dict[str, tuple[str, Callable[[bytes], bool]]] = {
    "dataset": (PROVENANCE_FILE, is_provenance),
    "training run": ("config.json", _is_configuration),
}


def check_unprotected(output: str | os.PathLike, option: str = "output") -> None:
    """Checks that a file or directory to write is not inside a dataset or a training run.

    Links are followed, and a link itself counts as well. An output that is a dataset or a run
    itself, as one to replace, is not inside one.

    Args:
        output: the path, on this machine; others are not looked at.
        option: how messages name it.

    Raises:
        ValueError: if it is; names the path and the directory.
    """
    if not is_local(output):
        return
    place = os.path.abspath(output)
    for path in {place, os.path.realpath(place), _behind_directory(place)}:
        for directory, kind in _list_protected(pathlib.Path(path)):
            raise ValueError(
                f"`{option}` must not be inside a {kind}, got {output} in {directory}: it would "
                "change what others rely on. Name another place."
            )


def check_output_file(path: str | os.PathLike, option: str = "output") -> None:
    """Checks that a file can be written there, before any work is done for it.

    Args:
        path: the file; it may be there.
        option: how messages name it.

    Raises:
        FileNotFoundError: if its folder is missing.
        IsADirectoryError: if it is a folder itself.
        ValueError: if it is inside a dataset or a training run.
    """
    output = epath.Path(path)
    if output.is_dir():
        raise IsADirectoryError(f"{path}: `{option}` must be a file, it is a directory.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {output.parent} does not exist.")
    check_unprotected(path, option)


def _behind_directory(place: str) -> str:
    directory, name = os.path.split(place)
    return os.path.join(os.path.realpath(directory), name)


def _list_protected(path: pathlib.Path) -> Iterator[tuple[pathlib.Path, str]]:
    """Yields each directory above a path that padless wrote, and what it is."""
    for directory in path.parents:
        for kind, (name, is_mark) in _MARKS.items():
            if is_mark(_read_file(directory / name)):
                yield directory, kind


def _read_file(path: pathlib.Path) -> bytes:
    """Returns the bytes of a file, none where there is none that can be read or it is too large."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return b""
        return path.read_bytes()
    except OSError:
        return b""
