"""A job that runs elsewhere, by a job server that is no more than the protocol: Beam's own stub."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2 as api
from apache_beam.portability.api import beam_job_api_pb2_grpc

from padless.beam_jobs import preprocess
from padless.beam_jobs.engine import remote_job
from padless.cli.main import main

State = api.JobState


class JobServer(beam_job_api_pb2_grpc.JobServiceServicer):
    """Accepts one job, which runs until it is cancelled.

    Args:
        error: what the job fails with, or None.
        options: names of the options that it knows.
        cancels: whether it can cancel a job.
        hangs: whether it does not answer that a job has begun.
    """

    def __init__(self, *, error=None, options=(), cancels=True, hangs=False):
        self.error, self.options, self.cancels, self.hangs = error, options, cancels, hangs
        self.received, self.running, self.cancelled = {}, threading.Event(), threading.Event()

    # The names are the protocol's.
    # ruff: noqa: N802

    def DescribePipelineOptions(self, request, context):
        options = [api.PipelineOptionDescriptor(name=name) for name in self.options]
        return api.DescribePipelineOptionsResponse(options=options)

    def Prepare(self, request, context):
        self.received.update(request.pipeline_options)
        return api.PrepareJobResponse(preparation_id="job-7")

    def Run(self, request, context):
        if self.hangs:
            self.running.set()
            self.cancelled.wait(30)
        return api.RunJobResponse(job_id="job-7")

    def GetState(self, request, context):
        return api.JobStateEvent(
            state=State.CANCELLED if self.cancelled.is_set() else State.RUNNING
        )

    def GetStateStream(self, request, context):
        yield api.JobStateEvent(state=State.RUNNING)
        if not self.hangs:
            # Beam asks for it before `Run`, and goes on once it has got the first one.
            yield api.JobStateEvent(state=State.RUNNING)
            self.running.set()
        if self.error is None:
            self.cancelled.wait(30)
        yield api.JobStateEvent(state=State.FAILED if self.error else State.CANCELLED)

    def GetMessageStream(self, request, context):
        if self.error:
            message = api.JobMessage(
                importance=api.JobMessage.JOB_MESSAGE_ERROR, message_text=self.error
            )
            yield api.JobMessagesResponse(message_response=message)

    def Cancel(self, request, context):
        if not self.cancels:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "jobs end when they end")
        assert request.job_id == "job-7"
        self.cancelled.set()
        return api.CancelJobResponse(state=State.CANCELLING)


@contextlib.contextmanager
def serving(job_server, port=0):
    """Serves it; yields the options that name it."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(job_server, server)
    port = server.add_insecure_port(f"localhost:{port}")
    server.start()
    try:
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}"]
    finally:
        job_server.cancelled.set()
        server.stop(None).wait(10)


def interrupt(job_server, options):
    """Interrupts a job that runs; returns whether it was cancelled by then."""

    def interrupt_running():
        if job_server.running.wait(20):
            time.sleep(0.5)  # what the server has answered must arrive
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_running)
    with serving(job_server) as arguments:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            preprocess(options, PipelineOptions(arguments))
        is_cancelled = job_server.cancelled.is_set()
    thread.join()
    return is_cancelled


@pytest.fixture
def options(make_options, write_csv, long_rows):
    return make_options(write_csv("x.csv", long_rows))


@pytest.mark.parametrize("hangs", [False, True])
def test_an_interrupt_cancels_the_job_and_waits_for_its_end(options, caplog, tmp_path, hangs):
    job_server = JobServer(hangs=hangs)
    assert interrupt(job_server, options)
    assert not caplog.records
    assert not list(tmp_path.glob("out*"))


def test_a_job_that_cannot_be_cancelled_is_named(options, caplog):
    job_server = JobServer(cancels=False)
    interrupt(job_server, options)
    (message,) = caplog.messages
    assert message == (
        "The job job-7 could not be cancelled and may still run: jobs end when they end. "
        "Cancel it at the engine."
    )


def test_a_job_that_does_not_end_is_named(options, caplog, monkeypatch):
    monkeypatch.setattr(remote_job, "_CANCEL_SECONDS", 0.2)
    job_server = JobServer()
    monkeypatch.setattr(
        job_server, "GetState", lambda *args: api.JobStateEvent(state=State.CANCELLING)
    )
    interrupt(job_server, options)
    assert "The job job-7 could not be cancelled and may still run." in caplog.text


def run_command(job_server, path, output, *options):
    with serving(job_server) as arguments:
        return main(["preprocess", path, "--output", str(output), *arguments, *options])


def test_an_option_of_the_job_server_reaches_it(write_csv, long_rows, tmp_path, capsys):
    job_server = JobServer(error="stopped here", options=["environment_cache_millis"])
    path = write_csv("x.csv", long_rows)
    assert run_command(job_server, path, tmp_path / "out", "--environment_cache_millis=60000") == 1
    assert job_server.received["beam:option:environment_cache_millis:v1"] == "60000"
    assert "stopped here" in capsys.readouterr().err


def test_an_option_that_the_job_server_does_not_know_is_named_alone(
    write_csv, long_rows, tmp_path, capsys
):
    job_server = JobServer(options=["environment_cache_millis"])
    path = write_csv("x.csv", long_rows)
    arguments = ["--environment_cache_millis=60000", "--bogus=1"]
    assert run_command(job_server, path, tmp_path / "out", *arguments) == 1
    assert capsys.readouterr().err == (
        "padless preprocess: error: unrecognized arguments, by padless, by Beam and by its job "
        "server: --bogus=1\n"
    )
    assert not job_server.received


LAUNCHER = """#!{python}
import os, pathlib, sys, threading, time
sys.path.insert(0, {folder!r})
import test_remote_job
time.sleep(6)  # as Java may take; Beam warns of it after 5
job_server, folder = test_remote_job.JobServer(), pathlib.Path({output!r})
port = sys.argv[sys.argv.index("--job-port") + 1]
with test_remote_job.serving(job_server, port):
    job_server.running.wait()
    (folder / "running").touch()
    job_server.cancelled.wait()
    (folder / "cancelled").touch()
    time.sleep(60)
"""


def test_a_job_server_that_beam_starts_is_there_to_cancel_the_job(write_csv, long_rows, tmp_path):
    folder = str(pathlib.Path(__file__).parent)
    launcher, jar = tmp_path / "java", tmp_path / "server.jar"
    launcher.write_text(LAUNCHER.format(python=sys.executable, folder=folder, output=str(tmp_path)))
    launcher.chmod(0o755)
    jar.touch()
    path = write_csv("x.csv", long_rows)
    flink = ["--runner=FlinkRunner", "--flink_master=host:1", f"--flink_job_server_jar={jar}"]
    flink += ["--environment_type=EXTERNAL", "--environment_config=localhost:1"]
    command = [sys.executable, "-m", "padless.cli.main", "preprocess", path, *flink]
    process = subprocess.Popen(
        [*command, "--output", tmp_path / "out", f"--job_server_java_launcher={launcher}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "running").exists() and process.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "padless preprocess: interrupted\n")
    assert (tmp_path / "cancelled").exists()
    assert not list(tmp_path.glob("out*"))
