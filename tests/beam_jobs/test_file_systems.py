"""The job on file systems that are not this machine's: all its files go through Beam's."""

import os
import pathlib
import shutil

import pytest
from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem
from apache_beam.io.localfilesystem import LocalFileSystem

from padless.beam_jobs import preprocess
from padless.pipeline import open_dataset


class ShelfFileSystem(FileSystem):
    """An object store: `shelf://` names files of a folder, and directories cannot be renamed."""

    root = None

    def __init__(self, pipeline_options):
        super().__init__(pipeline_options)
        self._local = LocalFileSystem(pipeline_options)

    @classmethod
    def scheme(cls):
        return "shelf"

    def _path(self, path):
        assert self.root is not None
        return os.path.join(self.root, path.removeprefix("shelf://"))

    def join(self, base, *paths):
        return "/".join([base.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        """Does nothing, as an object store has no directories."""

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        base = self._path(dir_or_prefix)
        folder = base if os.path.isdir(base) else os.path.dirname(base)
        for path in pathlib.Path(folder).rglob("*"):
            if path.is_file():
                name = f"shelf://{path.relative_to(self.root)}"
                yield FileMetadata(name, path.stat().st_size)

    def create(self, path, mime_type="", compression_type="auto"):
        os.makedirs(os.path.dirname(self._path(path)), exist_ok=True)
        return open(self._path(path), "wb")

    def open(self, path, mime_type="", compression_type="auto"):
        return open(self._path(path), "rb")

    def copy(self, sources, destinations):
        for source, destination in zip(sources, destinations, strict=True):
            os.makedirs(os.path.dirname(self._path(destination)), exist_ok=True)
            shutil.copyfile(self._path(source), self._path(destination))

    def rename(self, sources, destinations):
        for source in sources:
            assert not os.path.isdir(self._path(source)), source
        self.copy(sources, destinations)
        self.delete(sources)

    def exists(self, path):
        return os.path.isfile(self._path(path))

    def size(self, path):
        return os.path.getsize(self._path(path))

    def last_updated(self, path):
        return os.path.getmtime(self._path(path))

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path))

    def delete(self, paths):
        for path in paths:
            for found in [m.path for m in self._list(path)] or [path]:
                if found == path or found.startswith(f"{path.rstrip('/')}/"):
                    try:
                        os.remove(self._path(found))
                    except OSError as error:
                        raise BeamIOError("delete", {path: error}) from error


@pytest.fixture
def shelf(tmp_path):
    ShelfFileSystem.root = str(tmp_path / "shelf")
    (tmp_path / "shelf").mkdir()
    yield tmp_path / "shelf"
    ShelfFileSystem.root = None


def list_files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def shelved(shelf, write_csv, write_npz, sequences, long_rows):
    """Moves inputs of two forms to the shelf."""
    shutil.move(write_csv("x.csv", [*long_rows, ("bad", 1, "?", 1)]), shelf / "x.csv")
    return "shelf://*.csv"


def test_a_dataset_is_written_where_directories_cannot_be_renamed(shelved, shelf, make_options):
    options = make_options(shelved, directory="shelf://data/out", shard_bytes=700)
    report = preprocess(options)
    assert report.rejected == {"not_a_number": 1}
    assert {path.name for path in shelf.iterdir() if list_files(path) or path.is_file()} == {
        "data",
        "x.csv",
    }
    dataset = open_dataset(shelf / "data/out")
    assert sum(split.num_sequences for split in dataset.splits.values()) == report.accepted
    local = make_options(str(shelf / "x.csv"), shard_bytes=700)
    preprocess(local)
    remote, here = list_files(shelf / "data/out"), list_files(pathlib.Path(local.output.directory))
    assert remote.keys() == here.keys()
    differing = {name for name in here if here[name] != remote[name]}
    assert differing == {"rejects/rejects-00000-of-00001.jsonl"}  # which names the input


def test_an_output_there_is_kept_or_replaced(shelved, shelf, make_options):
    preprocess(make_options(shelved, directory="shelf://out", seed=1))
    before = list_files(shelf / "out")
    with pytest.raises(FileExistsError, match="shelf://out: the output must not exist"):
        preprocess(make_options(shelved, directory="shelf://out"))
    assert list_files(shelf / "out") == before
    preprocess(make_options(shelved, directory="shelf://out", overwrite=True, seed=2))
    assert list_files(shelf / "out") != before
    assert open_dataset(shelf / "out").splits


def test_a_job_that_fails_there_leaves_nothing(shelved, shelf, make_options):
    with pytest.raises(ValueError, match="No sequence was accepted"):
        preprocess(make_options(shelved, directory="shelf://out", min_length=99))
    assert list(list_files(shelf)) == ["x.csv"]
