"""`padless score --output-directory`: the scores of `padless score`, by workers of Beam."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import shard_job
from padless.pipeline import open_dataset
from padless.pipeline.dataset.names import SCORE_PARTS

WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


@pytest.fixture
def many_shards(monkeypatch):
    monkeypatch.setattr(shard_job, "_SHARD_BYTES", 800)


@pytest.fixture
def score_both(call, trained, tmp_path):
    """Scores an input into a file and into a directory; returns both tables and the second call."""

    def score(source, *options, of_job=()):
        file, directory = tmp_path / "s.parquet", tmp_path / "scores"
        single = call("score", trained.run, source, "--output", file, *options)
        assert single.code == 0, single.err
        done = call(
            "score", trained.run, source, "--output-directory", directory, *options, *of_job
        )
        assert done.code == 0, done.err
        assert not [*tmp_path.glob("*incomplete*")]
        return pq.read_table(file), pq.read_table(directory), done

    return score


def parts_of(directory):
    return sorted(path.name for path in directory.iterdir())


def assert_same_scores(single, job):
    """Checks that two tables hold the same rows, in any order, to float32 rounding."""
    assert job.schema == single.schema
    assert job.num_rows == single.num_rows
    single, job = single.sort_by("key"), job.sort_by("key")
    for name in single.column_names:
        expected, received = single[name].to_pylist(), job[name].to_pylist()
        if isinstance(expected[0], float):
            # The square of a surprise near 0 is rounding; the parts of a score are about 1 in all.
            atol = 1e-6 if name in SCORE_PARTS else 0
            np.testing.assert_allclose(received, expected, rtol=1e-4, atol=atol, err_msg=name)
        elif isinstance(expected[0], list):
            for row, other in zip(expected, received, strict=True):
                np.testing.assert_allclose(other, row, rtol=1e-3, atol=1e-5, err_msg=name)
        else:
            assert received == expected, name


@pytest.mark.usefixtures("many_shards")
def test_raw_files_have_the_scores_of_one_process(score_both, trained, tmp_path):
    columns = ("--label-column", "kind")
    single, job, done = score_both(trained.raw, *columns, of_job=("--runner=FnApiRunner",))
    assert_same_scores(single, job)
    assert single.num_rows == 60
    parts = parts_of(tmp_path / "scores")
    count = len(parts)
    assert count > 3
    assert parts == [f"part-{n:05d}-of-{count:05d}.parquet" for n in range(count)]
    assert done.out.startswith("60 sequences in ")
    assert done.out.endswith(f": {tmp_path / 'scores'} ({count} files)\n")
    assert done.err == ""


def test_splits_of_a_dataset_are_scored_and_named(score_both, call, trained, tmp_path):
    single, job, _ = score_both(trained.data, "--level", 0.5, "--timesteps")
    assert_same_scores(single, job)
    assert job["key"].to_pylist() == single["key"].to_pylist()
    assert {"is_anomaly", "timestep_error"} < {*job.column_names}
    assert len(parts_of(tmp_path / "scores")) == 2
    output = ("--output-directory", tmp_path / "train")
    done = call("score", trained.run, trained.data, *output, "--split", "train", "--json")
    found = json.loads(done.out)
    assert found.pop("seconds") > 0
    count = open_dataset(trained.data).split("train").num_sequences
    assert found == {"output": str(tmp_path / "train"), "files": 1, "sequences": count}
    assert {*pq.read_table(tmp_path / "train")["split"].to_pylist()} == {"train"}
    (name,) = parts_of(tmp_path / "train")
    assert name == "part-00000-of-00001.parquet"


@pytest.mark.usefixtures("many_shards")
def test_threads_of_one_process_share_the_model(score_both, trained):
    single, job, _ = score_both(trained.raw, of_job=("--direct_num_workers=3",))
    assert_same_scores(single, job)


@pytest.mark.usefixtures("many_shards")
def test_worker_processes_write_the_same_scores(score_both, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(trained.raw.parent)
    single, job, done = score_both(trained.raw.name, of_job=WORKERS)
    assert_same_scores(single, job)
    assert (len(parts_of(tmp_path / "scores")) > 3, done.err) == (True, "")


def test_rejects_end_the_job_or_are_skipped_and_named(call, trained, tmp_path):
    rows = ["key,time,x,y", "good,0,1,2", "good,1,2,3", "bad,0,1,"]
    (tmp_path / "raw.csv").write_text("\n".join(rows) + "\n")
    argv = ("score", trained.run, tmp_path / "raw.csv", "--output-directory", tmp_path / "scores")
    failed = call(*argv)
    assert failed.code == 1
    assert "or --skip-rejects be set" in failed.err
    assert parts_of(tmp_path) == ["raw.csv"]
    skipped = call(*argv, "--skip-rejects")
    assert skipped.code == 0
    assert "missing_value 1" in skipped.err
    assert pq.read_table(tmp_path / "scores")["key"].to_pylist() == ["good"]
    assert skipped.out.endswith("(1 file)\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "one of the arguments --output --output-directory is required"),
        (["--ouput=o"], "(got --ouput: did you mean --output?)"),
        (["--output=o.parquet", "--output-directory=d"], "not allowed with argument --output"),
        (
            ["--output=o.parquet", "--runner=PrismRunner"],
            "--runner=PrismRunner; those of Apache Beam go with --output-directory",
        ),
        (["--output-directory=d", "--merge"], "--merge goes with --output: the pieces"),
        (["--output-directory=d", "--runnr=X"], "by padless and by Beam: --runnr=X"),
        (["--output-directory=d", "--split=test"], "--split goes with a dataset directory"),
        (["--output-directory=raw.csv"], "--output-directory must not be an INPUT"),
    ],
)
def test_bad_usage(call, argv, message):
    answered = call("score", "run", "raw.csv", *argv)
    assert answered.code == 2
    assert message in answered.err


def test_an_output_that_exists_is_not_replaced(call, trained, tmp_path):
    argv = ("score", trained.run, trained.data, "--output-directory", tmp_path / "scores")
    assert call(*argv).code == 0
    before = parts_of(tmp_path / "scores")
    failed = call(*argv)
    assert failed.code == 1
    assert f"{tmp_path / 'scores'}: the output directory must not exist" in failed.err
    assert parts_of(tmp_path / "scores") == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{data}/scores", "--output-directory must not be inside a dataset"),
        ("{run}/scores", "--output-directory must not be inside a training run"),
        ("{data}/missing/scores", "--output-directory must not be inside a dataset"),
        ("missing/scores", "missing does not exist"),
        ("gs://bucket/scores", "--output-directory must be on a file system of this machine"),
        ("{data}", "the output directory must not exist"),
    ],
)
def test_a_place_where_no_directory_can_be_made_is_named(
    call, trained, tmp_path, monkeypatch, output, message
):
    monkeypatch.chdir(tmp_path)
    before = [*trained.data.rglob("*"), *trained.run.rglob("*")]
    output = output.format(**vars(trained))
    failed = call("score", trained.run, trained.raw, "--output-directory", output)
    assert failed.code == 1
    assert message in failed.err
    assert [*trained.data.rglob("*"), *trained.run.rglob("*")] == before
    assert parts_of(tmp_path) == []


def test_a_run_that_has_not_finished_is_named_before_any_work(call, trained, tmp_path):
    run = shutil.copytree(trained.run, tmp_path / "run")
    (run / "model.keras").unlink()
    failed = call("score", run, trained.raw, "--output-directory", tmp_path / "scores")
    assert failed.code == 1
    assert "the training of this run has not finished" in failed.err
    assert parts_of(tmp_path) == ["run"]


def test_what_does_not_fit_the_run_is_named(call, trained, tmp_path):
    np.savez(tmp_path / "raw.npz", a=np.zeros((4, 3)))
    argv = ("score", trained.run, "--output-directory", tmp_path / "scores")
    failed = call(*argv, tmp_path / "raw.npz")
    assert failed.code == 1
    assert "trained on 2 features per timestep" in failed.err
    failed = call(*argv, trained.data, "--split", "tarin")
    assert failed.code == 1
    assert "Did you mean 'train'?" in failed.err
    failed = call(*argv, tmp_path / "none.csv")
    assert failed.code == 1
    assert "none.csv: the input file does not exist" in failed.err
    failed = call(*argv, trained.raw, "--level", 1e-9)
    assert failed.code == 1
    assert "--level must be from " in failed.err
    assert parts_of(tmp_path) == ["raw.npz"]


def test_damaged_records_are_named_and_nothing_is_left(call, trained, tmp_path):
    data = shutil.copytree(trained.data, tmp_path / "data")
    shard = open_dataset(data).split("train").files[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    failed = call("score", trained.run, data, "--output-directory", tmp_path / "scores")
    assert failed.code == 1
    assert f"{shard}: record 0 at byte 0" in failed.err
    assert failed.err.count("\n") == 1
    assert parts_of(tmp_path) == ["data"]


def start(trained, output, *options):
    command = [sys.executable, "-m", "padless.cli.main", "score", trained.run, trained.data]
    command += ["--output-directory", output, *options]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)


def list_workers(process):
    """Lists the worker processes of a command."""
    workers = []
    for path in pathlib.Path(f"/proc/{process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that a thread is gone
            workers += map(int, path.read_text().split())
    return workers


def wait_for_worker(process):
    deadline = time.monotonic() + 120
    while not (workers := list_workers(process)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return workers[0]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 2, 4])
def test_a_killed_worker_ends_the_job_and_nothing_is_left(trained, tmp_path, seconds):
    process = start(trained, tmp_path / "scores", *WORKERS)
    worker = wait_for_worker(process)
    time.sleep(seconds)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.startswith("padless score: error: A worker process died: ")
    assert errors.count("\n") == 1
    assert parts_of(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("options", [WORKERS, ("--runner=FnApiRunner",)], ids=["workers", "one"])
def test_an_interrupted_job_leaves_nothing(trained, tmp_path, options):
    process = start(trained, tmp_path / "scores", *options)
    while not list(tmp_path.glob("scores.incomplete-*/*/parts")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (130, "padless score: interrupted\n")
    assert parts_of(tmp_path) == []
