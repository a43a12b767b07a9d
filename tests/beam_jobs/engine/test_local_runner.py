"""Which of the local runner's modes a job gets."""

import os
import subprocess
import sys

import pytest
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from padless.beam_jobs.engine.local_runner import choose_runner

LARGE = 10**9


def choose(num_bytes, *flags):
    options = PipelineOptions(list(flags))
    runner = choose_runner(options, num_bytes)
    return runner, options.view_as(DirectOptions).direct_num_workers


def test_a_runner_that_is_named_is_taken():
    runner, num_workers = choose(LARGE, "--runner=PrismRunner")
    assert (type(runner), num_workers) == (PrismRunner, 1)


@pytest.mark.parametrize("name", ["DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"])
def test_dask_is_rejected_with_the_reason(name):
    with pytest.raises(ValueError, match="`--runner` must be one that keeps the outputs of a step"):
        choose(LARGE, f"--runner={name}")


@pytest.mark.parametrize(
    ("num_bytes", "flags"),
    [
        (0, []),
        (LARGE, ["--direct_num_workers=3", "--direct_running_mode=multi_threading"]),
    ],
)
def test_small_inputs_and_modes_that_are_chosen_get_no_workers_of_ours(num_bytes, flags):
    runner, num_workers = choose(num_bytes, *flags)
    assert not isinstance(runner._default_environment, SubprocessSDKEnvironment)
    assert num_workers == (3 if "--direct_num_workers=3" in flags else 1)


@pytest.mark.parametrize("runner", [[], ["--runner=FnApiRunner"]])
@pytest.mark.parametrize("num_workers", [1, 4])
def test_worker_processes_that_are_asked_for_are_ours_and_end_with_the_job(runner, num_workers):
    flags = ["--direct_running_mode=multi_processing", f"--direct_num_workers={num_workers}"]
    chosen, count = choose(0, *flags, *runner)
    command = chosen._default_environment.to_runner_api(None).payload
    assert f"padless.beam_jobs.engine.local_worker {os.getpid()}".encode() in command
    assert count == num_workers


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="There is one core.")
def test_large_inputs_get_a_worker_process_per_core():
    runner, num_workers = choose(LARGE)
    assert (
        b"padless.beam_jobs.engine.local_worker"
        in runner._default_environment.to_runner_api(None).payload
    )
    assert num_workers == len(os.sched_getaffinity(0))


def test_where_processes_cannot_connect_one_does_the_work():
    code = (
        "from padless.beam_jobs.engine.local_runner import choose_runner; "
        "from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions; "
        f"options = PipelineOptions([]); choose_runner(options, {LARGE}); "
        "print(options.view_as(DirectOptions).direct_num_workers)"
    )
    command = ["unshare", "--net", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"A network cannot be taken away here: {done.stderr.strip()}")
    assert done.stdout == "1\n", done.stderr
