"""Where a dataset is written before it appears, and what becomes of what others left there."""

import dataclasses
import itertools
import os
import pathlib
import shutil

import pytest

from padless.beam_jobs import Output, preprocess
from padless.beam_jobs.assembly.blocks import write_blocks
from padless.beam_jobs.engine.progress import WorkerCounts
from padless.beam_jobs.output.staging import Staging, check_output


@pytest.fixture
def output(tmp_path):
    return Output(str(tmp_path / "out"))


@pytest.fixture
def write_dataset(make_options, write_csv):
    def write(value, **options):
        preprocess(make_options(write_csv("x.csv", [("a", 1, value, 1)]), **options))

    return write


def names_of(staging):
    return {staging.directory, f"{staging.directory}.lock"}


def read_mean(directory):
    return (directory / "statistics.json").read_text().split('"mean": [')[1].split(",")[0].strip()


def test_a_directory_appears_when_it_is_committed(output, tmp_path):
    with Staging.held(output) as staging:
        assert not (tmp_path / "out").exists()
        staging.commit()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["rejects"]


def test_a_directory_that_is_not_committed_is_removed(output, tmp_path):
    with pytest.raises(KeyError), Staging.held(output):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_an_output_that_comes_to_exist_meanwhile_is_kept(output, tmp_path):
    def commit_late():
        with Staging.held(output) as staging:
            (tmp_path / "out").mkdir()
            staging.commit()

    with pytest.raises(FileExistsError, match="out: the output must not exist"):
        commit_late()
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_running_job_writes_is_left_alone(output, tmp_path):
    with Staging.held(output) as staging:
        Staging.make(output).remove()
        assert {str(path) for path in tmp_path.iterdir()} == names_of(staging)


def test_what_a_dead_job_left_is_removed_by_the_next(output, tmp_path):
    child = os.fork()
    if not child:
        with Staging.held(output):
            os._exit(0)  # as a kill: nothing is cleaned up
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 2
    with Staging.held(output) as staging:
        assert {str(path) for path in tmp_path.iterdir()} == names_of(staging)
    assert os.listdir(tmp_path) == []


def test_a_directory_of_a_like_name_is_left_alone(output, tmp_path):
    (tmp_path / "out.incomplete-mine").mkdir()
    Staging.make(output).remove()
    assert os.listdir(tmp_path) == ["out.incomplete-mine"]


def test_overwrite_replaces_a_dataset(write_dataset, tmp_path):
    write_dataset(1, splits={"train": 1})
    write_dataset(2, splits={"train": 1}, overwrite=True)
    assert read_mean(tmp_path / "out") == "2.0"
    assert sorted(os.listdir(tmp_path)) == ["out", "x.csv"]


def test_a_job_that_fails_keeps_what_it_would_replace(write_dataset, tmp_path):
    write_dataset(1, splits={"train": 1})
    with pytest.raises(ValueError, match="No sequence was accepted"):
        write_dataset("?", overwrite=True)
    assert read_mean(tmp_path / "out") == "1.0"


@pytest.mark.parametrize("content", [None, "{", "[1]", "{}", '{"format_version": 1}'])
def test_overwrite_replaces_nothing_else(output, write_dataset, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    if content is not None:
        (tmp_path / "out" / "provenance.json").write_text(content)
    with pytest.raises(FileExistsError, match="`overwrite` must replace a dataset that padless"):
        write_dataset(2, overwrite=True)
    assert (tmp_path / "out" / "precious").exists()


KILLS = [
    *[(os, name) for name in ("rename", "open", "close", "write", "mkdir")],
    *[(shutil, "rmtree"), (os, "rmdir"), (os, "unlink")],
]


def killed_at(count, job):
    """Runs a job in a process that dies at its call number `count` of those that write or delete.

    Returns whether it got that far.
    """
    child = os.fork()
    if not child:
        left = [count]

        def dying(function):
            def call(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return function(*args, **options)

            return call

        for module, name in KILLS:
            setattr(module, name, dying(getattr(module, name)))
        job()
        os._exit(0)
    return os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 9


def write_value(output, value):
    """Writes what counts as a dataset, of many files with one value."""
    with Staging.held(output) as staging:
        directory = pathlib.Path(staging.directory)
        for number in range(3):
            (directory / f"{number}").write_text(value)
        (directory / "provenance.json").write_text('{"format_version": 1, "made": {}}')
        staging.commit()


def read_values(directory):
    assert len(list(directory.iterdir())) == 5
    return {(directory / f"{number}").read_text() for number in range(3)}


def test_a_job_killed_at_any_call_loses_nothing_and_leaves_nothing(output, tmp_path):
    overwrite = dataclasses.replace(output, overwrite=True)
    write_value(overwrite, "0")
    seen, count = "0", 0
    while killed_at(count, lambda: write_value(overwrite, "next")):
        if (tmp_path / "out").exists():
            assert read_values(tmp_path / "out") in ({seen}, {"next"})
        else:
            with pytest.raises(FileExistsError, match="the output must not exist"):
                Staging.make(output)
            assert read_values(tmp_path / "out") == {seen}
        write_value(overwrite, seen := f"after {count}")
        assert os.listdir(tmp_path) == ["out"]
        count += 1
    assert count > 15


def test_what_is_left_of_a_replaced_dataset_does_not_come_back(output, tmp_path):
    overwrite = dataclasses.replace(output, overwrite=True)
    write_value(overwrite, "old")
    count = 0
    while killed_at(count, lambda: write_value(overwrite, "new")):
        if (tmp_path / "out").exists() and read_values(tmp_path / "out") == {"new"}:
            os.rename(tmp_path / "out", tmp_path / "kept")  # as a user may
            write_value(output, "another")
            assert read_values(tmp_path / "out") == {"another"}
            shutil.rmtree(tmp_path / "kept")
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        write_value(overwrite, "old")
        count += 1


@pytest.fixture
def put_aside(output, tmp_path):
    """Kills a job between its two renames, and returns where the dataset is that it put aside."""
    overwrite = dataclasses.replace(output, overwrite=True)
    for count in itertools.count():
        write_value(overwrite, "old")
        assert killed_at(count, lambda: write_value(overwrite, "new"))
        if not (tmp_path / "out").exists():
            break
    (old,) = tmp_path.glob("out.replaced-????????")
    return old


def test_a_replacement_that_was_cut_short_is_undone_by_the_next_job(put_aside, output, tmp_path):
    check_output(output)
    with pytest.raises(FileExistsError, match="the output must not exist"):
        Staging.make(output)
    assert read_values(tmp_path / "out") == {"old"}
    assert os.listdir(tmp_path) == ["out"]


def test_a_replacement_that_was_cut_short_stays_if_another_dataset_has_come(
    put_aside, output, tmp_path, caplog
):
    shutil.copytree(put_aside, tmp_path / "out")
    Staging.make(dataclasses.replace(output, overwrite=True)).remove()
    assert f"{put_aside} is the dataset that a killed job was about to replace" in caplog.text
    assert read_values(put_aside) == {"old"}


@pytest.mark.parametrize("name", ["out.replaced-01234567", "out.incomplete-01234567"])
def test_a_dataset_of_a_name_like_those_is_left_alone(output, tmp_path, name, caplog):
    write_value(dataclasses.replace(output, directory=str(tmp_path / name)), "mine")
    (tmp_path / f"{name}.lock").write_text("mine too")
    write_value(output, "1")
    write_value(dataclasses.replace(output, overwrite=True), "2")
    assert read_values(tmp_path / name) == {"mine"}
    assert (tmp_path / f"{name}.lock").read_text() == "mine too"
    (tmp_path / f"{name}.lock").unlink()
    write_value(dataclasses.replace(output, overwrite=True), "3")
    assert read_values(tmp_path / name) == {"mine"}
    assert ("delete it unless the job still runs" in caplog.text) == ("incomplete" in name)


def test_overwrite_does_not_follow_a_link(output, tmp_path):
    write_value(dataclasses.replace(output, directory=str(tmp_path / "data")), "mine")
    os.symlink(tmp_path / "data", tmp_path / "out")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="the output must not be a link"):
            check_output(dataclasses.replace(output, overwrite=overwrite))
    assert read_values(tmp_path / "data") == {"mine"}


def test_an_output_that_is_rejected_removes_nothing_beside_it(write_dataset, output, tmp_path):
    write_dataset(1, splits={"train": 1})
    os.rename(tmp_path / "out", tmp_path / "out.replaced-01234567")
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="the output must not exist"):
        Staging.make(output)
    assert read_mean(tmp_path / "out.replaced-01234567") == "1.0"


def test_a_directory_that_is_like_a_replaced_one_is_left_alone(write_dataset, tmp_path):
    (tmp_path / "out.replaced-01234567").mkdir()
    write_dataset(1)
    assert (tmp_path / "out.replaced-01234567").exists()


def test_a_worker_that_outlives_its_job_does_not_make_its_directory_again(output, tmp_path):
    staging = Staging.make(output)
    counts = WorkerCounts(staging.temporary)
    staging.remove()
    counts.add(read=1)
    with pytest.raises(FileNotFoundError):
        write_blocks(staging.temporary, [bytes(5000)])
    assert os.listdir(tmp_path) == []
