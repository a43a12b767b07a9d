"""The metrics of a run as CSV files, which a resumed run continues where its checkpoint was."""

from __future__ import annotations

import csv
import os
import pathlib
from collections.abc import Mapping

from etils import epath

from padless.pipeline.full_disk import full_disk_named
from padless.pipeline.written_whole import written_whole

STEPS_FILE = "steps.csv"
HISTORY_FILE = "history.csv"
TIMING_FILE = "timing.csv"
_FILES = (STEPS_FILE, HISTORY_FILE, TIMING_FILE)


class MetricsFiles:
    """Writes a row per step, and one of metrics and one of times per epoch; all count from 1.

    Args:
        run: the run directory.
    """

    def __init__(self, run: os.PathLike):
        self._run = pathlib.Path(run)

    def write_step(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a step; both numbers count from 0."""
        self._append(STEPS_FILE, {"epoch": epoch + 1, "step": step + 1, **metrics})

    def write_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of an epoch."""
        self._append(HISTORY_FILE, {"epoch": epoch + 1, **metrics})

    def write_times(self, epoch: int, seconds: Mapping[str, float]) -> None:
        """Writes what the time of an epoch was spent on."""
        row = {f"{name}_seconds": f"{value:.3f}" for name, value in seconds.items()}
        self._append(TIMING_FILE, {"epoch": epoch + 1, **row})

    def sizes(self) -> dict[str, int]:
        """Returns the sizes of the files in bytes."""
        paths = [self._run / name for name in _FILES]
        return {path.name: path.stat().st_size for path in paths if path.exists()}

    def sync(self) -> None:
        """Brings the files to the disk."""
        for name in _FILES:
            if (path := self._run / name).exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())

    def cut(self, sizes: Mapping[str, int]) -> None:
        """Cuts the files back to what they were when `sizes` returned this.

        Raises:
            ValueError: if a file is shorter, or missing.
        """
        for name in _FILES:
            path, size = self._run / name, sizes.get(name, 0)
            found = path.stat().st_size if path.exists() else 0
            if found < size:
                raise ValueError(
                    f"{path} must have at least the {size} bytes that it had when the checkpoint "
                    f"was written, got {found}: bring the file back, or train anew."
                )
            if size:
                with path.open("rb") as file, written_whole(path) as beside:
                    # A new file: another name of this one, as of a copy by hard links, keeps all.
                    beside.write_bytes(file.read(size))
            else:
                path.unlink(missing_ok=True)

    def _append(self, name: str, row: Mapping) -> None:
        """Appends a row, after a header if it is the first. The file is whole after every row."""
        path = self._run / name
        is_new = not path.exists()
        with full_disk_named(path), path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if is_new:
                writer.writeheader()
            writer.writerow(row)


def read_history(run: epath.PathLike) -> dict[str, list[float]]:
    """Reads the metrics of the epochs of a run: name -> value in each epoch.

    Raises:
        ValueError: if there is none.
    """
    path = epath.Path(run) / HISTORY_FILE
    with path.open() as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"{path} must have a row per epoch, got none.")
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "epoch"}
