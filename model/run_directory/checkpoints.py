"""Checkpoints: everything a run needs to resume, as one file that is whole or not there.

A checkpoint is an uncompressed `.npz` of arrays and one JSON text, read without pickle. It is
written beside its place, brought to the disk and renamed, so that a process killed at any time
leaves the checkpoint before it. The archive's CRCs tell a file that was damaged later.
"""

from __future__ import annotations

import json
import logging
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from padless.model.run_directory.stored_arrays import DAMAGES, open_stored
from padless.pipeline.written_whole import delete_unfinished, written_whole

_LOGGER = logging.getLogger(__name__)

KEPT = 3

_STATE = "state.json"
_NAME = re.compile(r"step-(\d+)\.npz")


class Checkpoints:
    """The checkpoints of a run, by the number of steps after which they were written.

    Args:
        directory: where they are, or will be.
        keep: how many of the newest stay; with two or more there is one to fall back to.

    Raises:
        ValueError: if `keep` is below 1.
    """

    def __init__(self, directory: os.PathLike, *, keep: int = KEPT):
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1, got {keep}.")
        self._directory = pathlib.Path(directory)
        self._keep = keep

    def steps(self) -> list[int]:
        """Lists the steps of which there is a checkpoint, ascending."""
        found = map(_NAME.fullmatch, (path.name for path in self._directory.glob("step-*.npz")))
        return sorted(int(match[1]) for match in found if match)

    def path(self, step: int) -> pathlib.Path:
        """Returns the path of the checkpoint after `step` steps, whether it is there or not."""
        return self._directory / f"step-{step:08d}.npz"

    def save(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping) -> pathlib.Path:
        """Writes a checkpoint and deletes those that are old.

        Args:
            step: number of steps of the whole run.
            arrays: name -> array, of numbers.
            state: what goes into JSON.

        Raises:
            OSError: if it cannot be written, as on a full disk; those before it are still there.
        """
        path = self.path(step)
        text = np.frombuffer(json.dumps(state).encode(), np.uint8)
        parts: dict[str, Any] = {_STATE: text, **arrays}
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with written_whole(path, durable=True) as beside, beside.open("wb") as file:
                np.savez(file, **parts)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the checkpoint after {step} steps could not be written ({error.strerror}); "
                f"{self._say_newest()}. Make room and resume the run",
                str(path),
            ) from error
        for old in self.steps()[: -self._keep]:
            self.path(old).unlink()
        return path

    def restore(self) -> tuple[int, dict[str, np.ndarray], dict] | None:
        """Reads the newest checkpoint that is whole.

        A damaged one is named by a logged warning, and the one before it is read. What a killed
        process left unfinished is deleted.

        Returns:
            Its number of steps, its arrays and its state; or None where there is none at all.

        Raises:
            ValueError: if there are checkpoints but all are damaged.
        """
        delete_unfinished(self._directory)
        for step in reversed(self.steps()):
            try:
                return step, *_read(self.path(step))
            except DAMAGES as error:
                _LOGGER.warning(
                    "%s: the checkpoint is damaged (%s); trying the one before it.",
                    self.path(step),
                    error,
                )
        if self.steps():
            raise ValueError(
                f"{self._directory} must hold a checkpoint that is not damaged, but all "
                f"{len(self.steps())} are. Delete them to start from step 0."
            )
        return None

    def discard_after(self, step: int) -> None:
        """Deletes the checkpoints of more than `step` steps: damaged, or of a way not taken."""
        for later in self.steps():
            if later > step:
                self.path(later).unlink()

    def _say_newest(self) -> str:
        steps = self.steps()
        return f"the newest is of step {steps[-1]}" if steps else "there is none before it"


def _read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict]:
    with open_stored(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads(arrays.pop(_STATE).tobytes())
