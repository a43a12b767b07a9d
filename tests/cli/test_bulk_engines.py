"""`padless score --output-directory` on Prism: the scores of one process; run by `make engines`."""

import pathlib
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[1] / "beam_jobs" / "engine"))
import engines
from engines import had

pytestmark = pytest.mark.engine


def test_prism_writes_the_same_scores(call, trained, tmp_path):
    prism = had(engines.prism_options)
    output = tmp_path / "s.parquet"
    assert call("score", trained.run, trained.data, "--output", output).code == 0
    expected = pq.read_table(output).sort_by("key")
    assert_scores_close(score_by_job(trained, tmp_path / "here", prism), expected)
    workers = had(engines.worker_options, tmp_path / "workers")
    scores = score_by_job(trained, tmp_path / "processes", [*prism, *workers])
    assert_scores_close(scores, expected)


def score_by_job(trained, directory, options):
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
    assert len([*directory.iterdir()]) == 2
    return pq.read_table(directory).sort_by("key")


def assert_scores_close(scores, expected):
    assert scores.schema == expected.schema
    assert scores["key"].equals(expected["key"])
    for name in ("score", "p_value", "error"):
        np.testing.assert_allclose(scores[name].to_numpy(), expected[name].to_numpy(), rtol=1e-4)
    embeddings = [np.stack(table["embedding"].to_pylist()) for table in (scores, expected)]
    np.testing.assert_allclose(*embeddings, rtol=1e-3, atol=1e-5)
