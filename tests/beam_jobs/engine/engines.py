"""Distributed engines: fetched by name, once, and the options by which Beam starts them.

    python tests/beam_jobs/engine/engines.py prism    # or flink: prints options for Beam

What is fetched goes into `build/engines`, or the folder that `PADLESS_ENGINES` names:

- Prism and `boot`, the starter of SDK workers in every Beam container: built from Beam's Go module.
- Flink: Beam's job server with a Flink of its own in it, from Maven Central, or the jar that
  `PADLESS_FLINK_JOB_SERVER_JAR` names; needs Java.
- An environment as workers elsewhere have it: what the job imports, but not padless.
"""

import argparse
import configparser
import contextlib
import fcntl
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from apache_beam.options.pipeline_options import FlinkRunnerOptions
from apache_beam.utils.subprocess_server import pick_port

ROOT = pathlib.Path(__file__).resolve().parents[3]
BEAM = importlib.metadata.version("apache-beam")
FLINK = FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS[-1]
GO_MODULE = "github.com/apache/beam/sdks/v2"
MAVEN_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
FLINK_JAR = "PADLESS_FLINK_JOB_SERVER_JAR"
FETCH_SECONDS = 600
SERVER_SECONDS = 30
# Of padless' requirements; nothing that the job imports needs them.
NOT_FOR_WORKERS = ("keras", "tensorboard", "tensorflow")


class EngineUnavailableError(RuntimeError):
    """An engine cannot be had here; the message says why and what would help."""


def fetch_prism() -> pathlib.Path:
    """Builds Prism, a portable runner in one binary."""
    return _install_go("go/cmd/prism", "prism")


def fetch_boot() -> pathlib.Path:
    """Builds the starter of SDK workers: it installs what was staged and runs the Python worker."""
    return _install_go("python/container", "container")


def fetch_flink() -> pathlib.Path:
    """Fetches Beam's Flink job server, or takes the one that the environment names."""
    _need("java", "Flink runs on Java", "a Java 17 runtime")
    if named := os.environ.get(FLINK_JAR):
        return pathlib.Path(named).resolve(strict=True)
    _need("mvn", "the job server is fetched from Maven Central", "Maven")
    artifact = f"beam-runners-flink-{FLINK}-job-server"
    with _locked_folder() as folder:
        jar = folder / f"{artifact}-{BEAM}.jar"
        if not jar.exists():
            coordinates = f"org.apache.beam:{artifact}:{BEAM}"
            command = ["mvn", "-B", MAVEN_COPY, f"-Dartifact={coordinates}"]
            _run([*command, f"-DoutputDirectory={folder}"], coordinates)
    return jar


def make_clean_environment() -> pathlib.Path:
    """Makes an environment with what a worker needs but padless; returns its `site-packages`."""
    with _locked_folder() as folder:
        environment = folder / "clean"
        made = environment / "made"
        if not made.exists():
            shutil.rmtree(environment, ignore_errors=True)
            _run([sys.executable, "-m", "venv", environment], "an environment for workers")
            pip = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check"]
            requirements = ["install", "--quiet", *_worker_requirements()]
            _run([*pip, *requirements], "the requirements of workers")
            made.touch()
    (packages,) = environment.glob("lib/python*/site-packages")
    return packages


def make_worker_environment(folder: pathlib.Path) -> pathlib.Path:
    """Makes an environment on top of the clean one, for one worker to install into."""
    _run([sys.executable, "-m", "venv", "--without-pip", folder], "an environment for one worker")
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "clean.pth").write_text(f"{make_clean_environment()}\n")
    return folder / "bin"


def prism_options() -> list[str]:
    """Says how to run on Prism, by default with workers in the launching process."""
    return ["--runner=PrismRunner", f"--prism_location={fetch_prism()}"]


def flink_options() -> list[str]:
    """Says how to run on a Flink cluster inside the job server."""
    jar = f"--flink_job_server_jar={fetch_flink()}"
    return ["--runner=FlinkRunner", "--flink_master=[local]", jar, "--parallelism=2"]


def worker_options(
    folder: pathlib.Path, programs: pathlib.Path | None = None, **environ: str
) -> list[str]:
    """Says how to start SDK workers as processes of their own, as in a container.

    Args:
        folder: where a worker runs and keeps what was staged for it.
        programs: the folder of the workers' `python`, by default the running one's.
        environ: variables of their environment.
    """
    command = write_worker_command(folder)
    environ |= _worker_environ(programs)
    config = json.dumps({"command": str(command), "env": environ})
    return ["--environment_type=PROCESS", f"--environment_config={config}"]


@contextlib.contextmanager
def standing_cluster(folder: pathlib.Path) -> Iterator[list[str]]:
    """Runs a job server, Prism's, and a pool of workers on this machine; gives the options."""
    prism, command = fetch_prism(), write_worker_command(folder)
    job_port, pool_port = pick_port(None, None)
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main"]
    pool += [f"--service_port={pool_port}", f"--container_executable={command}"]
    environ = {**os.environ, **_worker_environ()}
    with (
        _server([prism, f"--job_port={job_port}", "--serve_http=false"], os.environ, job_port),
        _server(pool, environ, pool_port),
    ):
        server = ["--runner=PortableRunner", f"--job_endpoint=localhost:{job_port}"]
        workers = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool_port}"]
        yield [*server, *workers]


def write_worker_command(folder: pathlib.Path) -> pathlib.Path:
    """Writes the program that starts one worker, which runs and keeps its files in the folder."""
    folder.mkdir()
    command = folder / "boot.sh"
    # Prism quotes the worker's id for a shell that there is none of; `boot` writes where it stands.
    command.write_text(
        f"""#!/bin/sh
for argument; do
  shift
  set -- "$@" "$(printf %s "$argument" | tr -d "'")"
done
cd '{folder}'
exec '{fetch_boot()}' --semi_persist_dir='{folder}' "$@"
"""
    )
    command.chmod(0o755)
    return command


def had(get: Callable, *args: Any, **kwargs: Any) -> Any:
    """Gets something from here, or skips the test that asks for it."""
    import pytest  # the script needs none

    try:
        return get(*args, **kwargs)
    except EngineUnavailableError as error:
        pytest.skip(str(error))


ENGINES = {"prism": prism_options, "flink": flink_options}


def _worker_environ(programs: pathlib.Path | None = None) -> dict[str, str]:
    programs = programs or pathlib.Path(sys.executable).parent
    return {
        # Without that, `boot` makes an environment of its own below /opt.
        "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


@contextlib.contextmanager
def _server(command: list, environ: Mapping[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        list(map(str, command)), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        # Prism ends where a pool of workers does not answer at once.
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=SERVER_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait(timeout=SERVER_SECONDS)


@contextlib.contextmanager
def _locked_folder() -> Iterator[pathlib.Path]:
    """Gives the folder of what is fetched to one process at a time."""
    folder = pathlib.Path(os.environ.get("PADLESS_ENGINES", ROOT / "build" / "engines")) / BEAM
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder.absolute()


def _install_go(package: str, name: str) -> pathlib.Path:
    with _locked_folder() as folder:
        binary = folder / name
        if not binary.exists():
            _need("go", f"{name} is built from Beam's Go module", "Go 1.26 or newer")
            package = f"{GO_MODULE}/{package}@v{BEAM}"
            _run(["go", "install", package], package, GOBIN=str(folder))
    return binary


def _worker_requirements() -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    required = config["options"]["install_requires"].split()
    wanted = [line for line in required if re.split(r"\W*[<>=]", line)[0] not in NOT_FOR_WORKERS]
    # The SDK must be the one that submits; Beam's images hold setuptools and wheel as well.
    return [*wanted, f"apache-beam=={BEAM}", "setuptools>=77", "wheel"]


def _need(program: str, reason: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise EngineUnavailableError(f"{reason}, and there is no `{program}`: install {remedy}.")


def _run(command: list, what: str, **environ: str) -> None:
    command = list(map(str, command))
    try:
        subprocess.run(
            command,
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FETCH_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise EngineUnavailableError(
            f"{what}: `{command[0]}` did not end within {FETCH_SECONDS} s."
        ) from None
    except subprocess.CalledProcessError as error:
        raise EngineUnavailableError(
            f"{what}: `{command[0]}` failed: {_last_words(error.stdout)}"
        ) from None


def _last_words(output: str) -> str:
    """Picks the line that tells most: Maven's first error, otherwise the last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "[ERROR]" in line]
    line = (errors[:1] or lines[-1:] or ["it said nothing"])[0]
    return line.rpartition("standalone-pom: ")[2]


def main() -> None:
    """Prints the options of an engine, a word each line, for `$(...)` in a shell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    try:
        print(*ENGINES[parser.parse_args().engine](), sep="\n")
    except EngineUnavailableError as error:
        sys.exit(f"engines: error: {error}")


if __name__ == "__main__":
    main()
