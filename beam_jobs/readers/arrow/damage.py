"""What PyArrow raises where a file is damaged, as one error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa

from padless.beam_jobs.fragments import UnreadableInputError


@contextlib.contextmanager
def naming_damage(path: str, kind: str) -> Iterator[None]:
    """Turns whatever PyArrow raises where a file is damaged into one error.

    Args:
        path: of the file.
        kind: what it must be, such as `"a Parquet file"`.

    Raises:
        UnreadableInputError: in the `with`, where the bytes are not those of such a file.
    """
    try:
        yield
    except UnreadableInputError:
        raise
    except (pa.ArrowException, OSError, MemoryError, OverflowError, UnicodeDecodeError) as error:
        # Arrow has no errno for damaged bytes; what has one is of the file system.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnreadableInputError(
            f"{path}: must be {kind} that can be read to its end, it is not: "
            f"{' '.join(str(error).split())}"
        ) from error
