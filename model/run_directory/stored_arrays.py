"""Archives that padless writes, read again without trust."""

from __future__ import annotations

import contextlib
import struct
import tokenize
import zipfile
from collections.abc import Iterator

import numpy as np
from etils import epath

# What a damaged archive is answered with: by the file system, the archive, the header of an array,
# which NumPy has parsed as Python, or what was made of its content. No MemoryError: that a file is
# too large for the memory is no damage.
DAMAGES = (
    *(OSError, EOFError, zipfile.BadZipFile, struct.error, NotImplementedError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, OverflowError, RecursionError),
    *(AttributeError, KeyError, TypeError, ValueError),
)


@contextlib.contextmanager
def open_stored(path: epath.PathLike) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens an `.npz` file whose arrays are not compressed, without pickle.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: if it is not one; what `DAMAGES` names where it is
            damaged, and where what is read of it is.
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
