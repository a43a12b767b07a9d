"""Strategies over the eight logical CPU devices of the tests."""

import pytest
import tensorflow as tf

from padless.model import mirrored_strategy


@pytest.mark.parametrize(("replicas", "expected"), [(None, 1), (1, 1), (2, 2), (4, 4), (8, 8)])
def test_mirrored_strategy_has_that_many_replicas(replicas, expected):
    strategy = mirrored_strategy(replicas)
    assert strategy.num_replicas_in_sync == expected
    assert len(set(strategy.extended.worker_devices)) == expected


def test_mirrored_strategies_of_one_process_do_not_meet():
    def add_ones(replicas, size):
        strategy = mirrored_strategy(replicas)

        @tf.function
        def add():
            return strategy.run(
                lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.ones(size))
            )

        return strategy.experimental_local_results(add())[0].numpy().tolist()

    # Other numbers of replicas, and other shapes for as many.
    for replicas, size in [(2, 3), (3, 3), (2, 5), (4, 1)]:
        assert add_ones(replicas, size) == [replicas] * size


@pytest.mark.parametrize("replicas", [0, -1])
def test_mirrored_strategy_rejects_less_than_one(replicas):
    with pytest.raises(ValueError, match=f"`replicas` must be at least 1, got {replicas}"):
        mirrored_strategy(replicas)


def test_mirrored_strategy_rejects_more_cpus_once_tensorflow_runs():
    tf.zeros(())
    message = "`replicas` = 9 needs as many logical CPU devices.*already runs with 8: make the str"
    with pytest.raises(RuntimeError, match=message):
        mirrored_strategy(9)
