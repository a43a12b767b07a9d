"""How much of the files of a long reading is read."""

from __future__ import annotations

from collections.abc import Iterable

from etils import epath

from padless.pipeline.progress import Progress, ShowProgress

MEBIBYTE = 1 << 20


class Meter:
    """Reports how much of the files is read, in MiB.

    A file that is shorter or missing when its turn comes leaves a gap, which `finish` closes.
    """

    def __init__(self, paths: Iterable[epath.Path], progress: ShowProgress):
        """Adds up the files that are there.

        Args:
            paths: the files to read.
            progress: called with the MiB read and the MiB to read.
        """
        sizes = [path.stat().length for path in paths if path.exists()]
        self._total = max(1, sum(sizes) // MEBIBYTE)
        self._progress, self._before, self._shown = progress, 0, 0

    def advance(self, num_bytes: int) -> None:
        """Counts the bytes read so far of the file that is being read."""
        done = min((self._before + num_bytes) // MEBIBYTE, self._total)
        if done != self._shown:
            self._shown = done
            self._progress(Progress("verify", done, self._total, "MiB"))

    def end_file(self, num_bytes: int) -> None:
        """Counts the bytes of a file that is read to its end."""
        self.advance(num_bytes)
        self._before += num_bytes

    def finish(self) -> None:
        """Reports that everything is read."""
        self.advance(self._total * MEBIBYTE)
