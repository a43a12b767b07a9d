"""Archives that padless writes, read again without trust."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator

import numpy as np
from etils import epath


@contextlib.contextmanager
def open_stored(path: epath.PathLike) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an `.npz` file whose arrays are not compressed, without pickle.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: if it is not one, and others where it is damaged.
    """
    # Opened here: NumPy leaves a file open that turns out to be no archive.
    with epath.Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
        check_stored(archive.zip)
        yield archive


def check_stored(archive: zipfile.ZipFile) -> None:
    """Checks that no member is compressed, so that none takes more memory than the file is large.

    Raises:
        ValueError: if one is.
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member.filename} must not be compressed, as padless writes it.")
