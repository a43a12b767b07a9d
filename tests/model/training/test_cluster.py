"""Several machines: here, real processes that talk over the loopback."""

import contextlib
import functools
import json
import pathlib
import re
import signal
import socket
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from padless.model import load_model, mirrored_strategy, train
from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.training.cluster import cluster_size, is_chief, lost_machines_explained

sys.path.append(str(pathlib.Path(__file__).parent))
import killed_training


@pytest.fixture(scope="module")
def folder(make_dataset):
    lengths = {"train": [3, 4, 5, 6, 7] * 20 + [9], "validation": [3, 5, 6]}
    return make_dataset(lengths).split("train").files[0].parent


def start_machines(folder, run, count, deaths=None, **options):
    """Starts machines that share a run; some die as `killed_training` says, by number."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        ports = [one.getsockname()[1] for one in sockets]
    return [
        killed_training.start(
            folder, run, task=(index, ports), **(deaths or {}).get(index, {}), **options
        )
        for index in range(count)
    ]


def wait_for_steps(run, steps):
    deadline = time.monotonic() + killed_training.PATIENCE
    while killed_training.steps_done(run) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def history(run):
    rows = (run / "history.csv").read_text().splitlines()[1:]
    return np.array([[float(value) for value in row.split(",")] for row in rows])


def assert_trained_the_same(run, expected):
    np.testing.assert_allclose(history(run), history(expected), rtol=1e-5)
    for received, weights in zip(
        load_model(run).get_weights(), load_model(expected).get_weights(), strict=True
    ):
        scale = np.abs(weights).max()
        np.testing.assert_allclose(received, weights, rtol=1e-5, atol=1e-5 * scale)


@pytest.fixture(scope="module")
def train_alone(folder, tmp_path_factory):
    """Trains the same on one machine, on so many replicas, once."""

    @functools.cache
    def train_on(replicas):
        run = tmp_path_factory.mktemp("alone") / "run"
        killed_training.run_to_the_end(folder, run, replicas=replicas)
        return run

    return train_on


@pytest.mark.slow  # those that are killed and resumed, below, train the same weights
@pytest.mark.parametrize("machines", [2, 3])
def test_machines_train_the_weights_of_as_many_replicas(folder, train_alone, tmp_path, machines):
    processes = start_machines(folder, tmp_path / "run", machines)
    for process in processes:
        process.join(killed_training.PATIENCE)
    assert [process.exitcode for process in processes] == [0] * machines
    assert_trained_the_same(tmp_path / "run", train_alone(machines))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["replicas"] == machines


@pytest.mark.parametrize("killed", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_machine_stops_the_others_and_all_can_resume(
    folder, train_alone, tmp_path, killed
):
    run, options = tmp_path / "run", {"checkpoint_steps": 10}
    deaths = {killed: {"killed_after": (30, 0.0)}}
    processes = start_machines(folder, run, 2, deaths, **options)
    processes[killed].join(killed_training.PATIENCE)
    other = processes[1 - killed]
    # TensorFlow misses heartbeats for 10 s.
    other.join(killed_training.PATIENCE)
    assert (processes[killed].exitcode, other.exitcode) == (-signal.SIGKILL, 1)
    message = pathlib.Path(f"{run}.error{1 - killed}").read_text()
    assert message.startswith("ConnectionError: Another machine of TF_CONFIG has stopped")
    assert 0 < Checkpoints(run / "checkpoints").steps()[-1] < 4 * 17

    for process in (resumed := start_machines(folder, run, 2, **options)):
        process.join(killed_training.PATIENCE)
    assert [process.exitcode for process in resumed] == [0, 0]
    assert_trained_the_same(run, train_alone(2))


@pytest.mark.slow
@pytest.mark.parametrize("asked", [0, 1])
def test_a_machine_that_is_asked_to_stop_stops_all_after_the_same_step(folder, tmp_path, asked):
    run = tmp_path / "run"
    processes = start_machines(folder, run, 2, epochs=400)
    wait_for_steps(run, 30)
    processes[asked].terminate()
    for process in processes:
        process.join(killed_training.PATIENCE)
    assert [process.exitcode for process in processes] == [1, 1]
    messages = [pathlib.Path(f"{run}.error{i}").read_text() for i in range(2)]
    place = re.compile("TrainingStopped: (stopped after step .* of epoch [0-9]+)")
    assert place.match(messages[0])[1] == place.match(messages[1])[1]
    assert Checkpoints(run / "checkpoints").steps() == [killed_training.steps_done(run)]


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (None, 1),
        ("", 1),
        ("{}", 1),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}', 1),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', 2),
        (
            '{"cluster": {"chief": ["c"], "worker": ["a"]}, "task": {"type": "chief", "index": 0}}',
            2,
        ),
    ],
)
def test_cluster_size_counts_the_machines(monkeypatch, config, size):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    assert cluster_size() == size


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "TF_CONFIG must be JSON with `cluster` and `task`, got '{'"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "TF_CONFIG must be JSON with .*'index'"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "one of their tasks",
        ),
        (
            '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
            "jobs among 'chief' and 'worker'",
        ),
    ],
)
def test_train_rejects_a_tf_config_that_is_no_cluster(
    monkeypatch, folder, tmp_path, config, message
):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=message):
        train(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_single_machine_is_chief():
    assert is_chief(mirrored_strategy(2))


def test_other_errors_of_a_machine_stay_what_they_are():
    with pytest.raises(tf.errors.AbortedError), lost_machines_explained():
        raise tf.errors.AbortedError(None, None, "other")
