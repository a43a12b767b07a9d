"""What a training loop writes so that it can be resumed, and never of data that have changed."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.metrics_files import MetricsFiles
from padless.model.training.state import RunState


class _Captured(NamedTuple):
    """What a checkpoint holds: steps of the whole run, arrays, and the state for JSON."""

    step: int
    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


class StateSaver:
    """Writes the state of a run as checkpoints, on the machine that writes.

    Args:
        state: the state.
        checkpoints: where it is read, and written if `files` are; None keeps nothing.
        files: the metrics that go with it.
    """

    def __init__(
        self, state: RunState, checkpoints: Checkpoints | None, files: MetricsFiles | None
    ):
        self._state, self._checkpoints, self._files = state, checkpoints, files
        self._kept: _Captured | None = None

    def restore(self) -> bool:
        """Restores the newest checkpoint, and discards what was written after it.

        Returns:
            Whether there is one.

        Raises:
            ValueError: if there are checkpoints but all are damaged, or of another model.
        """
        checkpoint = self._checkpoints.restore() if self._checkpoints else None
        step, files = 0, {}
        if checkpoint is not None and self._checkpoints:
            step, arrays, saved = checkpoint
            try:
                self._state.restore(arrays, saved["progress"])
                files = _parse_sizes(saved["files"])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{self._checkpoints.path(step)} must hold a state of this run, as `padless "
                    f"train` of this version writes it: {error}"
                ) from error
        if self._files and self._checkpoints:
            self._files.cut(files)
            self._checkpoints.discard_after(step)
        return checkpoint is not None

    def save(self, step: int) -> pathlib.Path | None:
        """Writes a checkpoint and returns its path, or None where nothing is kept.

        Args:
            step: number of steps of the whole run.

        Raises:
            OSError: if it cannot be written.
        """
        return self._write(self._capture(step))

    def keep(self, step: int) -> None:
        """Keeps the state in memory, for `save_kept`."""
        self._kept = self._capture(step)

    def save_kept(self) -> str:
        """Writes the state that was kept, unless a newer one is written, and says where it is."""
        if self._checkpoints is None or self._kept is None:
            return "Bring it back and resume the run, or train a new one."
        if self._kept.step > max(self._checkpoints.steps(), default=0):
            self._write(self._kept)
        if not (steps := self._checkpoints.steps()):
            return "Nothing was learned of it before that: train a new run."
        return (
            f"{self._checkpoints.path(steps[-1])} holds what was learned before that: bring the "
            "data back and resume the run, or train a new one."
        )

    def _capture(self, step: int) -> _Captured | None:
        if self._checkpoints is None or self._files is None:
            return None
        arrays, progress = self._state.capture()
        return _Captured(step, arrays, {"progress": progress, "files": self._files.sizes()})

    def _write(self, captured: _Captured | None) -> pathlib.Path | None:
        if self._checkpoints is None or self._files is None or captured is None:
            return None
        self._files.sync()
        return self._checkpoints.save(*captured)


def _parse_sizes(content: Any) -> dict[str, int]:
    """Returns the sizes of files; raises ValueError if that is not what the content holds."""
    sizes = content.values() if isinstance(content, dict) else [None]
    if not all(type(size) is int and size >= 0 for size in sizes):
        raise ValueError(f"`files` must hold sizes of files, got {content!r}.")
    return content
