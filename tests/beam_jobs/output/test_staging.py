"""Where a dataset is written before it appears, and what becomes of what others left there."""

import os

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


def read_mean(directory):
    return (directory / "statistics.json").read_text().split('"mean": [')[1].split(",")[0].strip()


def test_a_directory_appears_when_it_is_committed(output, tmp_path):
    staging = Staging.make(output)
    with staging.held():
        assert not (tmp_path / "out").exists()
        staging.commit()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["rejects"]


def test_a_directory_that_is_not_committed_is_removed(output, tmp_path):
    with pytest.raises(KeyError), Staging.make(output).held():
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_an_output_that_comes_to_exist_meanwhile_is_kept(output, tmp_path):
    staging = Staging.make(output)
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out: the output must not exist"), staging.held():
        staging.commit()
    assert os.listdir(tmp_path) == ["out"]


def test_what_a_running_job_writes_is_left_alone(output, tmp_path):
    with Staging.make(output).held():
        Staging.make(output).remove()
        assert len(os.listdir(tmp_path)) == 1


def test_what_a_dead_job_left_is_removed_by_the_next(output, tmp_path):
    child = os.fork()
    if not child:
        with Staging.make(output).held():
            os._exit(0)  # as a kill: nothing is cleaned up
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 1
    with Staging.make(output).held():
        assert len(os.listdir(tmp_path)) == 1
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


@pytest.mark.parametrize("content", [None, "{", "[1]", "{}"])
def test_overwrite_replaces_nothing_else(output, write_dataset, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    if content is not None:
        (tmp_path / "out" / "provenance.json").write_text(content)
    with pytest.raises(FileExistsError, match="`overwrite` must replace a dataset that padless"):
        write_dataset(2, overwrite=True)
    assert (tmp_path / "out" / "precious").exists()


def test_a_replacement_that_was_cut_short_is_undone_by_the_next_job(
    write_dataset, output, tmp_path
):
    write_dataset(1, splits={"train": 1})
    os.rename(tmp_path / "out", tmp_path / "out.replaced-01234567")
    check_output(output)
    with pytest.raises(FileExistsError, match="the output must not exist"):
        Staging.make(output)
    assert read_mean(tmp_path / "out") == "1.0"


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
