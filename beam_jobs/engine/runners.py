"""What a job needs besides its stages on any of Beam's runners."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import grpc
from apache_beam.options.pipeline_options import (
    JobServerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
)

# What a worker process imports before its threads start. They unpickle side by side, and where two
# of them are the first to import modules of one package, Python breaks the deadlock of their locks
# by handing out half a module.
_IMPORTED_FIRST = __package__.rpartition(".")[0]  # padless.beam_jobs
# How Prism, and Beam's Java code in Flink and Spark, say that a worker is gone.
_DEATHS = ("SDK worker disconnected", "Process died with exit code")
_ANSWER_SECONDS = 20.0  # Beam's own default waits for a job server for five minutes, and in silence


def prepare_options(
    beam_options: PipelineOptions | None, imported_first: str | None = None
) -> PipelineOptions:
    """Copies Beam's options and has every worker process import this package first.

    Args:
        beam_options: for Beam, or None.
        imported_first: a further module to import.
    """
    options = copy.deepcopy(beam_options or PipelineOptions([]))
    setup = options.view_as(SetupOptions)
    modules = [_IMPORTED_FIRST] if imported_first is None else [_IMPORTED_FIRST, imported_first]
    setup.beam_plugins = [*(setup.beam_plugins or ()), *modules]
    return options


def check_job_server(options: PipelineOptions) -> None:
    """Waits until the job server that the options name answers.

    Raises:
        ConnectionError: if it does not answer in time.
    """
    portable = options.view_as(PortableOptions)
    if portable.job_endpoint in (None, "embed"):
        return
    seconds = min(portable.job_server_timeout, _ANSWER_SECONDS)
    with grpc.insecure_channel(portable.job_endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=seconds)
        except grpc.FutureTimeoutError:
            raise ConnectionError(
                f"`--job_endpoint` must name a job server that is running, got "
                f"{portable.job_endpoint!r}, which did not answer within {seconds:g} s."
            ) from None


@contextlib.contextmanager
def runner_errors_explained(options: PipelineOptions) -> Iterator[None]:
    """Explains what is wrong with the engine where the job's own error does not.

    Raises:
        ConnectionError: if the connection to the job server is lost.
        FileNotFoundError: if there is no Java to start it.
        RuntimeError: if workers lack padless, or one has died.
    """
    launcher = options.view_as(JobServerOptions).job_server_java_launcher
    try:
        yield
    except grpc.RpcError as error:
        raise ConnectionError(f"The job server broke off: {_describe(error)}.") from error
    except RuntimeError as error:
        if (explanation := _explain(str(error))) is None:
            raise
        raise RuntimeError(explanation) from error
    except FileNotFoundError as error:
        if error.filename != launcher:
            raise
        raise FileNotFoundError(
            f"`--job_server_java_launcher` must be a program, got {launcher!r}, which is not "
            "there: the job servers of Flink and Spark need Java."
        ) from error


def _explain(message: str) -> str | None:
    """Returns what is wrong with the workers, where an error of the job comes from that."""
    if "No module named 'padless" in message:
        return (
            "The workers have no padless: name its package by `--extra_package` or its checkout's "
            "`pyproject.toml` by `--setup_file`, or an image that holds it."
        )
    lines = (line.strip() for line in message.splitlines())
    death = next((line for line in lines if any(sign in line for sign in _DEATHS)), None)
    if death is None:
        return None
    return (
        f"A worker of the engine died: {death}. Its own log says why; the system kills one that "
        "takes too much memory."
    )


def _describe(error: grpc.RpcError) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.details()} ({error.code().name})"
    return str(error)
