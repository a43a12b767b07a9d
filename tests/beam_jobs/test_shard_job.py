"""A job that works on each shard: its files, its failures, and what it leaves."""

import dataclasses
import errno
import json
import os
import pathlib

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs import (
    Columns,
    PreprocessOptions,
    RawFiles,
    preprocess,
    shard_job,
    write_parts,
)
from padless.pipeline import Progress, open_dataset

ROWS = [(f"k{i}", t, i, t) for i in range(40) for t in range(1 + i % 3)]


@dataclasses.dataclass(frozen=True)
class ListLengths:
    """Writes the lengths of a shard as JSON; logs what happens into a folder."""

    log: str
    fault: str = ""
    work = "list"
    suffix = ".json"

    def open(self):
        self.note("opened")
        return Lister(self)

    def note(self, what):
        with open(os.path.join(self.log, what), "a") as file:
            file.write("x")


class Lister:
    def __init__(self, work):
        self.work = work

    def check(self, dataset):
        if dataset.record_format.num_features != 2:
            raise ValueError("two features are needed")

    def begin(self, dataset, splits):
        self.work.note("begun")

    def write(self, shard, output, progress):
        self.work.note("written")
        if self.work.fault == "data":
            raise ValueError(f"{os.path.basename(shard.file)}: bad data")
        if self.work.fault == "disk":
            raise OSError(errno.ENOSPC, "full", output)
        if self.work.fault == "import":
            raise ModuleNotFoundError("No module named 'tensorflow'")
        if self.work.fault == "unknown":
            raise ZeroDivisionError("a bug")
        split = shard.open().split(shard.split)
        pathlib.Path(output).write_text(json.dumps([shard.split, split.lengths]))
        pathlib.Path(output).with_name(f"other-{os.getpid()}").write_text("left by another worker")
        progress(Progress("list", split.num_sequences, split.num_sequences, "sequences"))
        lost = 1 if self.work.fault == "lost" else 0
        return {"sequences": split.num_sequences - lost, "others": 2}

    def report(self, output, counts):
        self.work.note("reported")


@pytest.fixture
def make_work(tmp_path_factory):
    """Makes the work, and what returns how often each thing has happened."""

    def make(fault=""):
        log = tmp_path_factory.mktemp("log")
        work = ListLengths(str(log), fault)
        return work, lambda: {path.name: len(path.read_text()) for path in log.iterdir()}

    return make


@pytest.fixture
def raw(write_csv, monkeypatch):
    monkeypatch.setattr(shard_job, "_SHARD_BYTES", 400)
    return RawFiles([write_csv("x.csv", ROWS)], columns=Columns(key="key", time="time"))


def read_parts(directory):
    return {path.name: json.loads(path.read_text()) for path in sorted(directory.iterdir())}


def count_sequences(parts):
    return sum(count for _, lengths in parts.values() for count in lengths.values())


def test_each_shard_of_raw_files_becomes_one_file(make_work, raw, tmp_path):
    (work, happened), shown = make_work(), []
    report = write_parts(work, raw, tmp_path / "out", progress=shown.append)
    parts = read_parts(tmp_path / "out")
    count = report.num_parts
    assert count > 3
    assert [*parts] == [f"part-{n:05d}-of-{count:05d}.json" for n in range(count)]
    assert count_sequences(parts) == report.counts["sequences"] == 40
    assert report.counts["others"] == 2 * count
    assert (report.raw.accepted, report.raw.num_rejected) == (40, 0)
    assert happened() == {"opened": 1, "begun": 1, "written": count, "reported": 1}
    assert sorted(os.listdir(tmp_path)) == ["out", "x.csv"]
    assert (shown[-1].work, shown[-1].done, shown[-1].total) == ("list", 40, 40)


def test_splits_of_a_dataset_follow_each_other(make_work, raw, tmp_path):
    data = tmp_path / "data"
    preprocess(PreprocessOptions(raw.inputs, str(data)))
    write_parts(make_work()[0], data, tmp_path / "out")
    parts = read_parts(tmp_path / "out")
    assert [split for split, _ in parts.values()] == ["train", "validation", "test"]
    report = write_parts(make_work()[0], data, tmp_path / "some", splits=["test"])
    assert report.counts["sequences"] == open_dataset(data).split("test").num_sequences
    assert report.raw is None


def test_threads_open_the_work_once(make_work, raw, tmp_path):
    work, happened = make_work()
    options = PipelineOptions(["--direct_num_workers=3"])
    write_parts(work, raw, tmp_path / "out", beam_options=options)
    assert happened()["opened"] == 1
    assert count_sequences(read_parts(tmp_path / "out")) == 40


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("data", ValueError, r"^raw-raw\.tfrecord-00000-of-0.*: bad data\nraw-raw.*: bad data"),
        ("disk", ValueError, r"^/.*/part-00000-of-.*json: the output cannot be written: No space"),
        ("import", ValueError, "workers must have all that padless requires, got: No module named"),
        ("lost", RuntimeError, "Each shard must be written once and whole"),
        ("unknown", ZeroDivisionError, "a bug"),
    ],
)
def test_a_failure_is_named_and_nothing_is_left(make_work, raw, tmp_path, fault, error, message):
    work, happened = make_work(fault)
    with pytest.raises(error, match=message):
        write_parts(work, raw, tmp_path / "out")
    assert "reported" not in happened()
    assert os.listdir(tmp_path) == ["x.csv"]


def test_an_input_that_does_not_fit_is_not_worked_on(make_work, write_npz, tmp_path):
    import numpy as np

    work, happened = make_work()
    with pytest.raises(ValueError, match="two features are needed"):
        write_parts(work, RawFiles([write_npz("x.npz", {"a": np.ones((2, 3))})]), tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="dataset directory does not exist"):
        write_parts(work, tmp_path / "none", tmp_path / "out")
    assert "written" not in happened()
    assert os.listdir(tmp_path) == ["x.npz"]


def test_a_dataset_that_is_replaced_meanwhile_is_found(make_work, raw, tmp_path, monkeypatch):
    data = tmp_path / "data"
    preprocess(PreprocessOptions(raw.inputs, str(data)))
    write = Lister.write

    def replace(lister, shard, output, progress):
        with open(shard.file, "r+b") as file:
            content = file.read()
            file.seek(0)
            file.write(content[::-1])
        (pathlib.Path(output)).write_text("[]")
        return {"sequences": shard.num_records}

    monkeypatch.setattr(Lister, "write", replace)
    with pytest.raises(RuntimeError, match="must stay what it was when it was opened"):
        write_parts(make_work()[0], data, tmp_path / "out")
    monkeypatch.setattr(Lister, "write", write)
    assert sorted(os.listdir(tmp_path)) == ["data", "x.csv"]


def test_what_a_killed_job_has_left_is_removed(make_work, raw, tmp_path):
    left = tmp_path / "out.incomplete-0123abcd"
    left.mkdir()
    mark = b"Claimed by padless: the name before .lock is its own, to be removed if nobody holds "
    (tmp_path / f"{left.name}.lock").write_bytes(mark + b"this.\n")
    write_parts(make_work()[0], raw, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "x.csv"]
