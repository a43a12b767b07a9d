"""The staging directory: a dataset is written next to its place and appears whole or not at all.

On a local file system one rename makes it appear. On an object store, which cannot rename a
directory, its files are moved one by one, and the one last without which nothing opens it.

A process claims the names that it uses beside the output, see `padless.pipeline.claims`:

- `OUTPUT.incomplete-TOKEN`: what is written, until it is renamed to the output
- `OUTPUT.replaced-TOKEN`: the dataset that the output replaces, from just before that rename until
  just after it; then it is renamed once more, so that what is left of it is no dataset any more
"""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import logging
import os
import pathlib
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.files import open_bytes
from padless.beam_jobs.options import Output
from padless.beam_jobs.output.writer import TEMPORARY_DIRECTORY
from padless.pipeline.claims import claimed, is_claimed, remove_at_once, sweep
from padless.pipeline.dataset.names import INFO_FILE, PROVENANCE_FILE, REJECTS_FILE
from padless.pipeline.dataset.provenance import is_provenance
from padless.pipeline.paths import is_local
from padless.pipeline.protected import check_unprotected

_LOGGER = logging.getLogger(__name__)

_INCOMPLETE, _REPLACED = ".incomplete-", ".replaced-"
_TOKEN_DIGITS = 8  # hexadecimal, after those
_RESERVE_FILE = "reserve"
_RESERVE_BYTES = 64 * 1024
_REJECTS_DIRECTORY = REJECTS_FILE.partition("/")[0]
_LAST_FILE = INFO_FILE  # neither TFDS nor padless opens a directory without it


def check_output(output: Output) -> None:
    """Checks that the output may be written.

    Raises:
        FileExistsError: if it exists and may not be replaced, or is not what padless wrote.
        ValueError: if it is inside another dataset or a training run.
    """
    check_unprotected(output.directory)
    if not _exists(output.directory):
        return
    if is_local(output.directory) and os.path.islink(output.directory.rstrip("/")):
        raise FileExistsError(
            f"{output.directory}: the output must not be a link; name the directory that it leads "
            "to, or another one."
        )
    if not output.overwrite:
        raise FileExistsError(
            f"{output.directory}: the output must not exist; "
            "`overwrite` replaces a dataset that padless wrote."
        )
    if not _is_dataset(output.directory):
        raise FileExistsError(
            f"{output.directory}: `overwrite` must replace a dataset that padless wrote, "
            f"this directory has no {PROVENANCE_FILE} of its."
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Staging:
    """A directory next to the output.

    Attributes:
        output: where the dataset shall appear.
        directory: where it is written.
    """

    output: Output
    directory: str

    @classmethod
    def make(cls, output: Output) -> Staging:
        """Makes one under a name of its own, and removes what jobs left that were killed.

        It is not claimed: who makes it for others, as for workers that outlive this process, has to
        remove it.

        Raises:
            FileExistsError: if the output may not be written, be it that a dataset is back in its
                place where a job was killed that had put it aside.
            OSError: if there is no room for it.
        """
        staging = cls._choose(output)
        staging._fill((_REJECTS_DIRECTORY,))
        return staging

    @classmethod
    @contextlib.contextmanager
    def held(
        cls, output: Output, *, folders: Sequence[str] = (_REJECTS_DIRECTORY,)
    ) -> Iterator[Staging]:
        """Makes one that is this process's as long as it lives, and removes it at the end.

        If it has been committed by then, there is nothing left to remove. Raises what `make` does.

        Args:
            output: where it shall appear.
            folders: those that it has from the start, besides that for temporary files.
        """
        staging = cls._choose(output)
        with staging.claimed():
            staging._fill(folders)
            try:
                yield staging
            finally:
                staging.remove()

    @classmethod
    def _choose(cls, output: Output) -> Staging:
        check_output(output)  # before the sweep, as a job that is rejected must remove nothing
        place = output.directory.rstrip("/")
        if is_local(place):
            place = os.path.abspath(place)
            _sweep(pathlib.Path(place))
            check_output(output)  # again, as a dataset may be back in its place
        return cls(output, f"{place}{_INCOMPLETE}{_draw_token()}")

    def claimed(self) -> AbstractContextManager[None]:
        """Claims its name, so that the next job removes it if this process is killed."""
        if is_local(self.directory):
            os.makedirs(os.path.dirname(self.directory), exist_ok=True)
            return claimed(pathlib.Path(self.directory))
        return contextlib.nullcontext()

    def _fill(self, folders: Sequence[str]) -> None:
        try:
            for name in (TEMPORARY_DIRECTORY, *folders):
                FileSystems.mkdirs(FileSystems.join(self.directory, name))
            with FileSystems.create(FileSystems.join(self.temporary, _RESERVE_FILE)) as file:
                file.write(bytes(_RESERVE_BYTES))
        except BaseException:
            self.remove()
            raise

    @property
    def temporary(self) -> str:
        """Its part that the dataset does not keep."""
        return FileSystems.join(self.directory, TEMPORARY_DIRECTORY)

    def remove(self) -> None:
        """Removes the directory, if it is there."""
        if is_local(self.directory):
            remove_at_once(pathlib.Path(self.directory))
        else:
            _delete_tree(self.directory)

    def commit(self) -> None:
        """Makes the dataset appear, in place of the one that it may replace. It must be claimed.

        Raises:
            FileExistsError: if the output has come to exist in the meantime.
        """
        check_output(self.output)
        if is_local(self.directory):
            shutil.rmtree(self.temporary)
            _replace(self.directory, os.path.abspath(self.output.directory))
        else:
            _delete_tree(self.temporary)
            _move_files(self.directory, self.output.directory)
            _delete_tree(self.directory)


def free_reserve(temporary: str) -> None:
    """Frees the space that a job keeps for saying that there is none."""
    _delete(FileSystems.join(temporary, _RESERVE_FILE))


def _draw_token() -> str:
    return secrets.token_hex(_TOKEN_DIGITS // 2)


def _replace(staging: str, output: str) -> None:
    if not os.path.lexists(output):
        return os.rename(staging, output)
    old = _replaced_by(staging)
    os.rename(output, old)
    try:
        os.rename(staging, output)
    except OSError:
        os.rename(old, output)
        raise
    os.rename(old, staging)  # from here on it is rubbish, however much of it is left
    return remove_at_once(pathlib.Path(staging))


def _replaced_by(staging: str) -> str:
    """Returns the name of the dataset that a staging directory replaces."""
    output, _, token = staging.rpartition(_INCOMPLETE)
    return f"{output}{_REPLACED}{token}"


def _move_files(staging: str, output: str) -> None:
    if _exists(output):
        _delete(FileSystems.join(output, _LAST_FILE))
        _delete_tree(output)
    for directory in (output, FileSystems.join(output, _REJECTS_DIRECTORY)):
        with contextlib.suppress(OSError):  # that it is there
            FileSystems.mkdirs(directory)  # HDFS renames no file into no directory
    paths = _list_tree(staging)
    for path in sorted(paths, key=lambda path: (path.endswith(f"/{_LAST_FILE}"), path)):
        relative = path.removeprefix(staging).lstrip("/")
        FileSystems.rename([path], [FileSystems.join(output, *relative.split("/"))])


def _list_tree(path: str) -> list[str]:
    (found,) = FileSystems.match([FileSystems.join(path, "**")])
    return [metadata.path for metadata in found.metadata_list]


def _delete_tree(path: str) -> None:
    """Deletes what is below a path, by file: an object store has no directory to delete."""
    for file in _list_tree(path):
        _delete(file)
    _delete(path)


def _delete(path: str) -> None:
    with contextlib.suppress(BeamIOError):
        FileSystems.delete([path])


def _exists(path: str) -> bool:
    if is_local(path):
        return os.path.lexists(path)
    (found,) = FileSystems.match([FileSystems.join(path, "*")], limits=[1])
    return FileSystems.exists(path) or bool(found.metadata_list)


def _is_dataset(directory: str) -> bool:
    path = FileSystems.join(directory, PROVENANCE_FILE)
    if not FileSystems.exists(path):
        return False
    with open_bytes(path) as file:
        return is_provenance(file.read())


def _sweep(output: pathlib.Path) -> None:
    """Removes what killed jobs have left, and ends a replacement that was cut short."""
    pattern = re.compile(f"{re.escape(output.name + _INCOMPLETE)}[0-9a-f]{{{_TOKEN_DIGITS}}}")

    def is_staging(name: str) -> bool:
        return pattern.fullmatch(name) is not None

    sweep(output.parent, is_staging, lambda staging: _end_replacement(staging, output))
    for path in output.parent.glob(f"{glob.escape(output.name + _INCOMPLETE)}*"):
        if is_staging(path.name) and not is_claimed(path):
            _LOGGER.warning(
                "%s was left, it seems, by a job that no process holds (`WriteDataset`): delete it "
                "unless the job still runs.",
                path,
            )


def _end_replacement(staging: pathlib.Path, output: pathlib.Path) -> bool:
    """Puts a dataset back that was to be replaced, or removes it if that is done.

    Returns:
        Whether the staging directory may be removed.
    """
    old = pathlib.Path(_replaced_by(str(staging)))
    if not os.path.lexists(old):
        return True
    if not os.path.lexists(staging):  # it is the output, or was
        old.rename(staging)
    elif os.path.lexists(output):
        _LOGGER.warning(
            "%s is the dataset that a killed job was about to replace by %s, but %s has come to "
            "exist meanwhile: delete or rename the first one, then the second one.",
            *(old, staging, output),
        )
        return False
    else:
        old.rename(output)
    return True
