"""The job through Beam's file systems alone: one like an object store, one with directories."""

import contextlib
import io
import json

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.io import filesystem, localfilesystem
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs import Output, PreprocessOptions, Rules, WriteDataset, preprocess
from padless.pipeline import open_dataset

ROWS = "key,time,x\n" + "".join(f"k{i // 30},{i},{i % 7}\n" for i in range(9000)) + "bad,0,one\n"
SPLITS = {"train": 0.7, "test": 0.3}


class _NewObject(io.BytesIO):
    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            ObjectStore.objects[self._path] = self.getvalue()
        super().close()


class ObjectStore(filesystem.FileSystem):
    """`mem://...`, objects by name: no directory is, and to delete a name is to delete no other."""

    objects = {}  # noqa: RUF012

    @classmethod
    def scheme(cls):
        return "mem"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        return path.rpartition("/")[::2]

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in sorted(self.objects):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type="", compression_type="auto"):
        return _NewObject(path)

    def open(self, path, mime_type="", compression_type="auto"):
        if path not in self.objects:
            raise filesystem.BeamIOError(f"{path} does not exist.")
        return io.BytesIO(self.objects[path])

    def copy(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names, strict=True):
            self.objects[destination] = self.objects[source]

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path):
        return path in self.objects

    def size(self, path):
        return len(self.objects[path])

    def last_updated(self, path):
        return 0.0

    def checksum(self, path):
        return str(hash(self.objects[path]))

    def metadata(self, path):
        return filesystem.FileMetadata(path, self.size(path))

    def delete(self, paths):
        for path in paths:
            self.objects.pop(path, None)


class Folder(localfilesystem.LocalFileSystem):
    """`dir://...` below a folder of this machine, where nothing is renamed into no directory."""

    root = ""

    @classmethod
    def scheme(cls):
        return "dir"

    def __init__(self, pipeline_options):
        super().__init__(pipeline_options)
        self._local = localfilesystem.LocalFileSystem(pipeline_options)

    def _path(self, path):
        return self.root + path.removeprefix("dir:/")

    def mkdirs(self, path):
        self._local.mkdirs(self._path(path))

    def _list(self, dir_or_prefix):
        for found in self._local._list(self._path(dir_or_prefix)):
            path = "dir:/" + found.path.removeprefix(self.root)
            yield filesystem.FileMetadata(path, found.size_in_bytes)

    def create(self, path, mime_type="", compression_type="auto"):
        return self._local.create(self._path(path), mime_type, compression_type)

    def open(self, path, mime_type="", compression_type="auto"):
        return self._local.open(self._path(path), mime_type, compression_type)

    def rename(self, source_file_names, destination_file_names):
        names = source_file_names, destination_file_names
        self._local.rename(*(list(map(self._path, paths)) for paths in names))

    def exists(self, path):
        return self._local.exists(self._path(path))

    def metadata(self, path):
        size = self._local.metadata(self._path(path)).size_in_bytes
        return filesystem.FileMetadata(path, size)

    def delete(self, paths):
        self._local.delete(list(map(self._path, paths)))


@pytest.fixture(params=["mem://bucket", "mem:/", "dir://bucket"], ids=["bucket", "root", "folder"])
def bucket(request, tmp_path, monkeypatch):
    """A place with one file of input, be it all of a file system."""
    monkeypatch.setattr(ObjectStore, "objects", {})
    monkeypatch.setattr(Folder, "root", str(tmp_path / "remote"))
    with FileSystems.create(f"{request.param}/in/x.csv") as file:
        file.write(ROWS.encode())
    return request.param


def read_files(directory):
    """Reads all that is below a remote directory: name -> bytes."""
    (found,) = FileSystems.match([f"{directory}/**"])
    content = {}
    for path in sorted(metadata.path for metadata in found.metadata_list):
        with FileSystems.open(path) as file:
            content[path.removeprefix(directory).lstrip("/")] = file.read()
    return content


def list_files(directory):
    return list(read_files(directory))


def copy_out(directory, target):
    """Copies a remote directory to this machine."""
    for name, data in read_files(directory).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return target


def options_of(bucket, rules=None, **output):
    output = Output(f"{bucket}/out", **{"splits": SPLITS} | output)
    return PreprocessOptions([f"{bucket}/in/*.csv"], output, rules=rules or Rules())


def test_a_job_reads_and_writes_there_alone(bucket, tmp_path, read_all):
    report = preprocess(options_of(bucket, shard_bytes=20_000))
    assert (report.accepted, report.rejected) == (300, {"not_a_number": 1})
    dataset = open_dataset(copy_out(f"{bucket}/out", tmp_path / "copy"))
    assert dataset.feature_names == ("x",)
    assert len(dataset.split("train").files) > 1
    assert sum(split.num_sequences for split in dataset.splits.values()) == report.accepted
    content = read_all(tmp_path / "copy")
    assert content.keys() == {f"k{i}" for i in range(300)}
    np.testing.assert_array_equal(content["k1"][0].ravel(), np.arange(30, 60) % 7)
    # `remote` is the folder of the one, and the other stands nowhere.
    assert {path.name for path in tmp_path.iterdir()} <= {"copy", "remote"}


def test_a_job_leaves_the_dataset_and_nothing_else(bucket):
    preprocess(options_of(bucket))
    assert list_files(bucket) == [
        "in/x.csv",
        *(f"out/{name}" for name in ("dataset_info.json", "features.json", "lengths.json")),
        "out/out-test.tfrecord-00000-of-00001",
        "out/out-train.tfrecord-00000-of-00001",
        "out/provenance.json",
        "out/rejects/rejects-00000-of-00001.jsonl",
        "out/statistics.json",
    ]


def test_the_shards_are_those_of_this_machine(bucket, tmp_path, digest):
    preprocess(options_of(bucket, shard_bytes=20_000))
    (tmp_path / "x.csv").write_text(ROWS)
    output = Output(tmp_path / "out", splits=SPLITS, shard_bytes=20_000)
    preprocess(PreprocessOptions([tmp_path / "x.csv"], output))
    there, here = digest(copy_out(f"{bucket}/out", tmp_path / "copy")), digest(tmp_path / "out")
    # The rejects name the input, and the provenance holds their checksum.
    for file in ("rejects/rejects-00000-of-00001.jsonl", "provenance.json"):
        assert there.pop(file) != here.pop(file)
    assert there == here
    written = [json.loads((tmp_path / d / "provenance.json").read_bytes()) for d in ("copy", "out")]
    assert written[0]["shards"] == written[1]["shards"]


def test_a_job_replaces_all_of_a_dataset(bucket, tmp_path):
    preprocess(options_of(bucket, shard_bytes=20_000))
    before = read_files(bucket)
    with pytest.raises(FileExistsError, match=f"{bucket}/out: the output must not exist"):
        preprocess(options_of(bucket))
    assert read_files(bucket) == before
    preprocess(options_of(bucket, overwrite=True, seed=2))
    assert read_files(bucket) != before
    assert sum("tfrecord" in path for path in list_files(bucket)) == 2
    assert open_dataset(copy_out(f"{bucket}/out", tmp_path / "copy")).splits


def test_a_job_replaces_nothing_else(bucket):
    with FileSystems.create(f"{bucket}/out/thesis.txt") as file:
        file.write(b"mine")
    with pytest.raises(FileExistsError, match="must replace a dataset that padless wrote"):
        preprocess(options_of(bucket, overwrite=True))
    assert list_files(bucket) == ["in/x.csv", "out/thesis.txt"]


def test_a_pipeline_of_ones_own_is_rejected_there_before_it_runs(bucket):
    with FileSystems.create(f"{bucket}/out/thesis.txt") as file:
        file.write(b"mine")
    with pytest.raises(FileExistsError, match="out: the output must not exist"):
        beam.Pipeline("FnApiRunner") | beam.Create([]) | WriteDataset(options_of(bucket).output)
    assert list_files(bucket) == ["in/x.csv", "out/thesis.txt"]


def test_a_job_that_fails_leaves_nothing(bucket):
    with FileSystems.create(f"{bucket}/in/y.csv") as file:
        file.write(b'key,time,x\n"a,1,1\n')
    with pytest.raises(ValueError, match=r"y\.csv, the row that begins at line 2 must be CSV"):
        preprocess(options_of(bucket))
    assert list_files(bucket) == ["in/x.csv", "in/y.csv"]


def test_a_job_that_accepts_nothing_leaves_nothing(bucket):
    with pytest.raises(ValueError, match="No sequence was accepted"):
        preprocess(options_of(bucket, Rules(min_length=99)))
    assert list_files(bucket) == ["in/x.csv"]


def test_a_pipeline_of_ones_own_writes_there(bucket, tmp_path):
    with beam.Pipeline("FnApiRunner") as pipeline:
        sequences = [(f"k{i}", np.ones((i + 1, 2))) for i in range(9)]
        _ = pipeline | beam.Create(sequences) | WriteDataset(options_of(bucket).output)
    assert not [path for path in list_files(bucket) if not path.startswith(("in/", "out/"))]
    dataset = open_dataset(copy_out(f"{bucket}/out", tmp_path / "copy"))
    assert sum(split.num_sequences for split in dataset.splits.values()) == 9
    with contextlib.suppress(FileNotFoundError):
        assert {path.name for path in (tmp_path / "remote/bucket").iterdir()} == {"in", "out"}
