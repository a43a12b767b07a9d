"""The same dataset, byte for byte, from distributed engines: real jobs, real SDK workers.

Run by `make engines`; an engine that cannot be had is skipped, with the reason.
"""

import contextlib
import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import grpc
import numpy as np
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

sys.path.append(str(pathlib.Path(__file__).parent))
import engines
from engines import had

pytestmark = pytest.mark.engine
COLUMNS = ["--key-column", "key", "--time-column", "time", "--label-column", "label"]
JOB_SECONDS = 600  # Flink inside its job server took 150 s for a job of two workers


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Three files whose keys run across them, with rejects of several kinds."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("inputs")
    rows = [
        [f"run/{key}", time, f"label{key % 3}", *rng.normal(size=2).round(4)]
        for key in range(120)
        for time in range(rng.integers(1, 25))
    ]
    rows += [["bad/text", 0, "x", "nope", 1], ["", 0, "x", 1, 2], ["bad/nan", 0, "x", "nan", 1]]
    rows += [["bad/twice", 3, "x", 1, 2], ["bad/twice", 3, "x", 5, 6]]
    for number in range(3):
        with (folder / f"{number}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["key", "time", "label", "a", "b"])
            writer.writerows(rows[i] for i in rng.permutation(len(rows)) if i % 3 == number)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def preprocess(inputs, tmp_path_factory):
    """Runs the command; gives every file of the dataset, and what the command said."""

    def run(*options, named=inputs):
        output = tmp_path_factory.mktemp("job") / "data"
        command = [sys.executable, "-m", "padless.cli.main", "preprocess", *named, *COLUMNS]
        done = subprocess.run(
            [*command, "--shard-bytes", "4000", "--output", output, *options],
            cwd=inputs[0].parent,
            capture_output=True,
            text=True,
            timeout=JOB_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-10_000:]
        assert [path.name for path in output.parent.iterdir()] == ["data"]
        return read_files(output), done

    return run


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A wheel, built in a copy, as setuptools writes where it builds."""
    folder, ignored = tmp_path_factory.mktemp("package"), (".*", "build", "dist", "*.egg-info")
    shutil.copytree(engines.ROOT, folder / "source", ignore=shutil.ignore_patterns(*ignored))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    options = ["--quiet", "--no-index", "--no-build-isolation", "-w", folder]
    subprocess.run([*pip, *options, folder / "source"], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def importable(module, programs, environ, cwd):
    command = [programs / "python", "-c", f"import {module}"]
    done = subprocess.run(
        command, env={**os.environ, **environ}, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or f"No module named {module!r}" in done.stderr, done.stderr
    return done.returncode == 0


def read_files(directory):
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def expected(preprocess):
    files, _ = preprocess()
    assert sum(name.startswith("data-train.tfrecord") for name in files) > 2
    assert files["rejects/rejects-00000-of-00001.jsonl"]
    return files


@pytest.fixture(scope="module", params=sorted(engines.ENGINES))
def engine(request):
    return had(engines.ENGINES[request.param])


def test_a_job_server_that_the_environment_names_is_taken(monkeypatch, tmp_path):
    (tmp_path / "server.jar").touch()
    monkeypatch.setenv(engines.FLINK_JAR, str(tmp_path / "server.jar"))
    assert f"--flink_job_server_jar={tmp_path / 'server.jar'}" in had(engines.flink_options)
    monkeypatch.setenv(engines.FLINK_JAR, str(tmp_path / "missing.jar"))
    with pytest.raises(FileNotFoundError, match=r"missing\.jar"):
        had(engines.flink_options)


def test_an_engine_with_workers_in_the_launching_process(engine, preprocess, expected):
    files, done = preprocess(*engine)
    assert files == expected
    assert done.stderr == ""


def test_an_engine_with_workers_as_processes(engine, preprocess, expected, tmp_path):
    workers = had(engines.worker_options, tmp_path / "workers")
    files, _ = preprocess(*engine, *workers)
    assert files == expected


def test_workers_that_run_elsewhere_find_relative_inputs(engine, preprocess, tmp_path):
    expected, _ = preprocess(named=["*.csv"])
    files, _ = preprocess(*engine, *had(engines.worker_options, tmp_path / "w"), named=["*.csv"])
    assert files == expected
    assert b'"file": "0.csv"' in files["rejects/rejects-00000-of-00001.jsonl"]


def test_a_job_server_and_a_pool_of_workers_that_stand_already(preprocess, expected, tmp_path):
    had(engines.fetch_prism), had(engines.fetch_boot)
    with engines.standing_cluster(tmp_path / "workers") as options:
        first, _ = preprocess(*options)
        second, _ = preprocess(*options)
    assert first == second == expected


def test_an_interrupted_job_leaves_nothing_and_says_so(engine, tmp_path):
    lines = [f"run/{i % 5000},{i // 5000},1.5" for i in range(200_000)]
    (tmp_path / "x.csv").write_text("\n".join(["key,time,a", *lines]))
    command = [sys.executable, "-m", "padless.cli.main", "preprocess", "x.csv", *COLUMNS[:4]]
    process = subprocess.Popen(
        [*command, "--output", "job/data", *engine], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not list(tmp_path.glob("job/data.*")):
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said == "padless preprocess: interrupted\n"
    assert not list(tmp_path.glob("job/*"))


def large_job(folder, *options):
    """Starts the command in a folder on a file that takes some seconds."""
    lines = [f"run/{i % 5000},{i // 5000},1.5" for i in range(400_000)]
    (folder / "x.csv").write_text("\n".join(["key,time,a", *lines]))
    command = [sys.executable, "-m", "padless.cli.main", "preprocess", "x.csv", *COLUMNS[:4]]
    return subprocess.Popen(
        [*command, "--output", "job/data", *options], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def wait_for(found, process):
    """Waits until a function returns something, as long as the process runs, and returns it."""
    while not (result := found()) and process.poll() is None:
        time.sleep(0.05)
    return result


def workers_in(folder):
    """Lists the workers that run in a folder."""
    pids = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_worker = b"sdk_worker_main" in (path / "cmdline").read_bytes()
            if is_worker and os.readlink(path / "cwd") == str(folder):
                pids.append(int(path.name))
    return pids


def test_an_interrupt_cancels_the_job_of_a_standing_cluster(tmp_path):
    had(engines.fetch_prism), had(engines.fetch_boot)
    with engines.standing_cluster(tmp_path / "workers") as options:
        endpoint = options[1].partition("=")[2]
        process = large_job(tmp_path, *options)
        wait_for(lambda: workers_in(tmp_path / "workers"), process)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        with grpc.insecure_channel(endpoint) as channel:
            stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
            jobs = stub.GetJobs(beam_job_api_pb2.GetJobsRequest()).job_info
    assert (process.returncode, said) == (130, "padless preprocess: interrupted\n")
    assert [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in jobs] == ["CANCELLED"]
    assert not list(tmp_path.glob("job/*"))


def test_a_worker_that_dies_is_named(tmp_path):
    options = had(engines.prism_options) + had(engines.worker_options, tmp_path / "workers")
    process = large_job(tmp_path, *options)
    (pid,) = wait_for(lambda: workers_in(tmp_path / "workers"), process)
    time.sleep(3)  # it takes some to connect
    os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "padless preprocess: error: A worker of the engine died: " in said
    assert not list(tmp_path.glob("job/*"))


def test_workers_in_a_clean_environment_get_padless_as_a_package(
    engine, preprocess, expected, package, tmp_path
):
    programs = had(engines.make_worker_environment, tmp_path / "environment")
    # With its dependencies, pip would fetch TensorFlow for the worker, which the job does not need.
    environ = {"PYTHONPATH": "", "PIP_NO_DEPS": "1"}
    workers = had(engines.worker_options, tmp_path / "workers", programs, **environ)
    assert not importable("padless", programs, environ, cwd=tmp_path)
    files, _ = preprocess(*engine, *workers, f"--extra_package={package}")
    assert files == expected
    assert importable("padless.beam_jobs", programs, environ, cwd=tmp_path)
    assert not importable("tensorflow", programs, environ, cwd=tmp_path)
