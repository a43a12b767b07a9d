"""`padless score --output-directory` on Prism: the scores of one process; run by `make engines`."""

import pathlib
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "beam_jobs" / "engine"))
import engines

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("are_processes", [False, True], ids=["here", "processes"])
def test_prism_writes_the_same_scores(call, trained, tmp_path, are_processes):
    try:
        options = engines.prism_options()
        options += engines.worker_options(tmp_path / "workers") if are_processes else []
    except engines.EngineUnavailableError as error:
        pytest.skip(str(error))
    output, directory = tmp_path / "s.parquet", tmp_path / "scores"
    assert call("score", trained.run, trained.data, "--output", output).code == 0
    # Relative paths, which are the launcher's, and a process of its own, as Prism needs a free one.
    command = [sys.executable, "-m", "padless.cli.main", "score", "run", "data"]
    done = subprocess.run(
        [*command, "--output-directory", directory, *options],
        cwd=trained.run.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    single, job = (pq.read_table(path).sort_by("key") for path in (output, directory))
    assert len([*directory.iterdir()]) == 2
    assert job.schema == single.schema
    assert job["key"].equals(single["key"])
    for name in ("score", "p_value", "error"):
        np.testing.assert_allclose(job[name].to_numpy(), single[name].to_numpy(), rtol=1e-4)
    embeddings = [np.stack(table["embedding"].to_pylist()) for table in (job, single)]
    np.testing.assert_allclose(*embeddings, rtol=1e-3, atol=1e-5)
