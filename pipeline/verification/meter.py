"""How much of the files of a long reading is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from etils import epath

MEBIBYTE = 1 << 20


class Meter:
    """Shows how much of the files is read, in MiB.

    A file that is shorter or missing when its turn comes leaves a gap, which `finish` closes.
    """

    def __init__(self, paths: Iterable[epath.Path], progress: Callable[[int, int], None] | None):
        """Adds up the files that are there, if anyone wants to know.

        Args:
            paths: the files to read.
            progress: called with the MiB read and the MiB to read, or None.
        """
        sizes = [path.stat().length for path in paths if path.exists()] if progress else []
        self._total = max(1, sum(sizes) // MEBIBYTE)
        self._progress, self._before, self._shown = progress, 0, 0

    def advance(self, num_bytes: int) -> None:
        """Takes the bytes read so far of the file that is being read."""
        done = min((self._before + num_bytes) // MEBIBYTE, self._total)
        if self._progress is not None and done != self._shown:
            self._shown = done
            self._progress(done, self._total)

    def end_file(self, num_bytes: int) -> None:
        """Takes the bytes of a file that is read to its end."""
        self.advance(num_bytes)
        self._before += num_bytes

    def finish(self) -> None:
        """Shows that all is read."""
        self.advance(self._total * MEBIBYTE)
