"""Archives of arrays that padless writes, read again without trust."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator

import numpy as np
from etils import epath


@contextlib.contextmanager
def open_stored(path: epath.PathLike) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an `.npz` file whose arrays are not compressed, without pickle.

    padless compresses none. What is not takes no more memory than the file is large.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: if it is not one, and others where it is damaged.
    """
    # Opened here: NumPy leaves a file open that turns out to be no archive.
    with epath.Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
        for member in archive.zip.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{member.filename} must not be compressed, as padless writes it.")
        yield archive
