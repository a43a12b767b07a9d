"""What a job needs beside its stages to run on any of Beam's runners."""

import signal

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from padless.beam_jobs.engine.interrupts import interrupts_unwrapped
from padless.beam_jobs.engine.runners import (
    check_job_server,
    prepare_options,
    runner_errors_explained,
)
from padless.cli.main import main


def test_every_worker_imports_the_package_before_its_threads_start():
    given = PipelineOptions(["--beam_plugin=mine"])
    plugins = prepare_options(given).view_as(SetupOptions).beam_plugins
    assert plugins == ["mine", "padless.beam_jobs"]
    assert given.view_as(SetupOptions).beam_plugins == ["mine"]
    plugins = prepare_options(given, "other").view_as(SetupOptions).beam_plugins
    assert plugins == ["mine", "padless.beam_jobs", "other"]


def test_a_job_server_that_is_not_there_is_named():
    options = PipelineOptions(["--job_endpoint=localhost:1", "--job_server_timeout=1"])
    with pytest.raises(
        ConnectionError, match=r"got 'localhost:1', which did not answer within 1 s"
    ):
        check_job_server(options)


@pytest.mark.parametrize("arguments", [[], ["--job_endpoint=embed"]])
def test_no_job_server_named_none_is_waited_for(arguments):
    check_job_server(PipelineOptions(arguments))


def test_a_lost_job_server_is_told_from_a_fault_of_the_job():
    with (
        pytest.raises(ConnectionError, match=r"The job server broke off: gone\."),
        runner_errors_explained(PipelineOptions([])),
    ):
        raise grpc.RpcError("gone")


def test_workers_without_padless_are_told_from_a_fault_of_the_job():
    with (
        pytest.raises(RuntimeError, match=r"The workers have no padless: name its package by"),
        runner_errors_explained(PipelineOptions([])),
    ):
        raise RuntimeError("Pipeline failed: ModuleNotFoundError: No module named 'padless'")


@pytest.mark.parametrize(
    "death", ["bundle x failed: SDK worker disconnected: w", "Process died with exit code 137"]
)
def test_a_dead_worker_is_told_from_a_fault_of_the_job(death):
    with (
        pytest.raises(RuntimeError, match=f"A worker of the engine died: .*{death}"),
        runner_errors_explained(PipelineOptions([])),
    ):
        raise RuntimeError(f"Pipeline failed:\n  java.lang.IllegalStateException: {death}\n  at x")


def test_no_java_is_told_as_what_is_missing(write_csv, long_rows, tmp_path, capsys):
    path, jar = write_csv("x.csv", long_rows), tmp_path / "server.jar"
    jar.touch()
    options = f"--runner=FlinkRunner --flink_master=[local] --flink_job_server_jar={jar}"
    java = "--job_server_java_launcher=nojava"
    code = main(["preprocess", path, "--output", f"{tmp_path}/out", *options.split(), java])
    assert code == 1
    assert "must be a program, got 'nojava', which is not there" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_the_handler_of_interrupts_is_left_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with interrupts_unwrapped():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGINT) is before
