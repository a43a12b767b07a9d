"""The staging directory: a dataset is written next to its place and appears whole or not at all.

On a local file system one rename makes it appear. On an object store, which cannot rename a
directory, its files are moved one by one, and the one last without which nothing opens it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Iterator

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs.files import is_local, open_bytes
from padless.beam_jobs.options import Output
from padless.beam_jobs.output.writer import TEMPORARY_DIRECTORY
from padless.pipeline.dataset.names import INFO_FILE, PROVENANCE_FILE, REJECTS_FILE
from padless.pipeline.dataset.provenance import is_provenance
from padless.pipeline.protected import check_unprotected

_INCOMPLETE, _REPLACED = ".incomplete-", ".replaced-"
_TOKEN_DIGITS = 8  # hexadecimal, after those
_LOCK_FILE = "lock"
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

        Raises:
            FileExistsError: if the output may not be written, be it that a dataset is back in its
                place where a job was killed that had put it aside.
            OSError: if there is no room for it.
        """
        check_output(output)  # before the sweep, as a job that is rejected must remove nothing
        place = output.directory.rstrip("/")
        if is_local(place):
            place = os.path.abspath(place)
            _sweep(place)
            check_output(output)  # again, as a dataset may be back in its place
        staging = cls(output, f"{place}{_INCOMPLETE}{_draw_token()}")
        try:
            staging._fill()
        except BaseException:
            staging.remove()
            raise
        return staging

    def _fill(self) -> None:
        for name in (TEMPORARY_DIRECTORY, _REJECTS_DIRECTORY):
            FileSystems.mkdirs(FileSystems.join(self.directory, name))
        with FileSystems.create(FileSystems.join(self.temporary, _RESERVE_FILE)) as file:
            file.write(bytes(_RESERVE_BYTES))

    @property
    def temporary(self) -> str:
        """Its part that the dataset does not keep."""
        return FileSystems.join(self.directory, TEMPORARY_DIRECTORY)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Marks the directory as in use for as long as this process lives; removes it at the end.

        If it has been committed by then, there is nothing left to remove.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.remove)
            if is_local(self.directory):
                lock = os.open(os.path.join(self.temporary, _LOCK_FILE), os.O_RDWR | os.O_CREAT)
                stack.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def remove(self) -> None:
        """Removes the directory, if it is there."""
        if is_local(self.directory):
            _remove_at_once(self.directory)
        else:
            _delete_tree(self.directory)

    def commit(self) -> None:
        """Makes the dataset appear, in place of the one that it may replace.

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
    old = f"{output}{_REPLACED}{_draw_token()}"
    os.rename(output, old)
    try:
        os.rename(staging, output)
    except OSError:
        os.rename(old, output)
        raise
    return shutil.rmtree(old, ignore_errors=True)


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


def _sweep(output: str) -> None:
    """Removes staging directories of killed jobs, and ends a replacement that was cut short."""
    for directory in glob.glob(f"{glob.escape(output)}{_INCOMPLETE}*"):
        if _is_abandoned(directory):
            _remove_at_once(directory)
    for directory in glob.glob(f"{glob.escape(output)}{_REPLACED}{'[0-9a-f]' * _TOKEN_DIGITS}"):
        if not _is_dataset(directory):  # but a user's own, whatever its name
            continue
        if os.path.lexists(output):
            shutil.rmtree(directory, ignore_errors=True)
        else:
            os.rename(directory, output)


def _remove_at_once(directory: str) -> None:
    """Removes a directory under another name, as workers may still write where they know it."""
    doomed = f"{directory.partition(_INCOMPLETE)[0]}{_INCOMPLETE}{_draw_token()}"
    try:
        os.rename(directory, doomed)
    except OSError:  # it is gone, or there is no room for another name
        doomed = directory
    shutil.rmtree(doomed, ignore_errors=True)


def _is_abandoned(directory: str) -> bool:
    """Checks whether a job has held the directory and its process is gone."""
    try:
        lock = os.open(os.path.join(directory, TEMPORARY_DIRECTORY, _LOCK_FILE), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
