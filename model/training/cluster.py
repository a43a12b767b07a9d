"""Several machines that share every batch, named by `TF_CONFIG`.

Each machine runs the same command, with its own task in `TF_CONFIG`; see
https://www.tensorflow.org/guide/distributed_training#TF_CONFIG. All read the same dataset and run
directory, as from a network file system; the chief alone writes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

import tensorflow as tf

_JOBS = {"chief", "worker"}


def cluster_size() -> int:
    """Counts the machines that `TF_CONFIG` names; 1 without it.

    Raises:
        ValueError: if it is not a cluster of workers, or has no place for this machine.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return 1
    try:
        config = json.loads(text)
        cluster = {job: len(tasks) for job, tasks in config.get("cluster", {}).items()}
        task = config.get("task", {})
        is_in_cluster = not cluster or 0 <= int(task["index"]) < cluster.get(task["type"], 0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"TF_CONFIG must be JSON with `cluster` and `task`, got {text!r}: {error!r}."
        ) from error
    if not cluster.keys() <= _JOBS or not is_in_cluster:
        raise ValueError(
            "TF_CONFIG must name jobs among 'chief' and 'worker' and one of their tasks as that of "
            f"this machine, got {text!r}."
        )
    return max(1, sum(cluster.values()))


def cluster_strategy(replicas: int | None = None) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Makes a strategy over the machines of `TF_CONFIG`; waits until all have come.

    Args:
        replicas: how many there must be: one per GPU, or one per machine without GPUs.

    Raises:
        ValueError: if there are not as many.
    """
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    found = strategy.num_replicas_in_sync
    if replicas is not None and replicas != found:
        raise ValueError(
            f"`replicas` must be the {found} of the {cluster_size()} machines of TF_CONFIG (or "
            f"not given), got {replicas}."
        )
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Checks whether this is the machine that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_id == 0 and resolver.task_type == ("chief" if has_chief else "worker")


def check_same_number(strategy: tf.distribute.Strategy, number: int, name: str) -> None:
    """Checks that a number is the same on all machines; none continues before all have come here.

    Raises:
        ValueError: if it is not.
    """
    numbers = _gather(strategy, number)
    if len(set(numbers)) > 1:
        raise ValueError(
            f"All machines must read the same files, but {name}, is {numbers} on them: put the run "
            "directory where all of them see it."
        )


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Waits until all machines have come here."""
    _gather(strategy, 0)


def _gather(strategy: tf.distribute.Strategy, number: int) -> list[int]:
    if cluster_size() == 1:
        return [number]

    @tf.function(autograph=False)
    def gather() -> tf.Tensor:
        numbers = strategy.run(lambda: tf.constant([number], tf.int64))
        return strategy.gather(numbers, axis=0)

    return gather().numpy().tolist()


@contextlib.contextmanager
def lost_machines_explained() -> Iterator[None]:
    """Answers that another machine has stopped.

    TensorFlow notices when its connection breaks, or after 10 s without a heartbeat.

    Raises:
        ConnectionError: in place of `tf.errors.UnavailableError`.
    """
    try:
        yield
    except tf.errors.UnavailableError as error:
        reason = error.message.partition("Collective ops is aborted by: ")[2] or error.message
        raise ConnectionError(
            "Another machine of TF_CONFIG has stopped, see what it printed. Start the training "
            f"again on all machines, with --resume. (TensorFlow: {reason.splitlines()[0]})"
        ) from error
