"""The largest batches come first and leave everything as it is."""

import numpy as np
import pytest
import tensorflow as tf

from padless.model.training.warm_up import (
    describe_largest,
    is_out_of_memory,
    largest_batches,
    largest_packed,
    widest_packed,
)
from padless.pipeline import packed_steps, plan_batches


@pytest.mark.parametrize(
    ("lengths", "options", "expected"),
    [
        ({4: 1}, {"batch_size": 8, "group_size": 4}, [4]),
        # A step ends with the group that fills it: 4 more sequences less one.
        ({10: 64, 30: 3}, {"batch_size": 8, "group_size": 4}, [30] * 3 + [10] * 8),
        ({10: 64, 30: 3}, {"batch_timesteps": 70, "group_size": 2}, [30] * 3 + [10] * 3 + [9]),
        ({10: 64, 30: 3}, {"batch_size": 8, "group_size": 2, "packed_timesteps": 75}, [30, 30, 15]),
        ({99: 2}, {"batch_size": 8, "group_size": 2, "packed_timesteps": 75}, [99]),
    ],
)
def test_largest_packed_batch_has_the_longest_sequences(lengths, options, expected):
    plan = plan_batches(lengths, **options)
    assert largest_packed(plan).tolist() == expected
    described = f"{len(expected)} sequences of {sum(expected)} timesteps together"
    assert describe_largest(plan) == described


def test_no_packed_batch_is_larger_than_the_largest(make_dataset):
    rng = np.random.default_rng(0)
    dataset = make_dataset(rng.integers(1, 30, 60).tolist())
    lengths = dataset.split("train").lengths
    for options in ({"batch_size": 9}, {"batch_timesteps": 80, "packed_timesteps": 64}):
        plan = plan_batches(lengths, group_size=2, **options)
        sums = [len(batch["values"]) for batch in packed_steps(dataset, plan)]
        assert max(sums) <= largest_packed(plan).sum()


@pytest.mark.parametrize(
    ("lengths", "options", "expected"),
    [
        ({4: 1}, {"batch_size": 8, "group_size": 4}, [4]),
        ({10: 64, 30: 3}, {"batch_size": 8, "group_size": 4}, [30] + [10] * 10),
        ({10: 64, 30: 3}, {"batch_timesteps": 70, "group_size": 2}, [30] + [10] * 9),
        (
            {10: 64, 30: 3},
            {"batch_size": 8, "group_size": 2, "packed_timesteps": 75},
            [30] + [10] * 4,
        ),
        ({99: 2}, {"batch_size": 8, "group_size": 2, "packed_timesteps": 75}, [99]),
    ],
)
def test_widest_packed_batch_has_the_longest_sequence_and_many_short_ones(
    lengths, options, expected
):
    assert widest_packed(plan_batches(lengths, **options)).tolist() == expected


@pytest.mark.parametrize("pieces", [range(3), range(1, 3)])
def test_largest_packed_batch_is_as_read_ones_but_without_weight(make_dataset, pieces):
    dataset = make_dataset([3] * 9 + [8] * 2)
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=4, replicas=3, group_size=2)
    batches = largest_batches(plan, 2, pieces)
    assert batches.options().autotune.enabled is False
    real = packed_steps(dataset, plan).element_spec
    alone = plan_batches(lengths, batch_size=4, group_size=2)
    assert largest_batches(alone, 2, range(1)).element_spec == batches.element_spec
    assert batches.element_spec == {name: real[name] for name in batches.element_spec}
    dealt = list(batches.as_numpy_iterator())
    largest, widest = [[8], [8, 3], [3, 3]], [[8], [3, 3], [3, 3]]
    lengths = [batches[piece] for batches in (largest, widest) for piece in pieces]
    assert [batch["length"].tolist() for batch in dealt] == lengths
    for batch in dealt:
        assert batch["values"].shape == (batch["length"].sum(), 2)
        assert not batch["values"].any()
        assert not batch["weight"].any()
    ends = [bool(batch["ends_step"]) for batch in dealt]
    assert ends == [False] * len(pieces) + [True] * len(pieces)


def test_a_step_without_weight_changes_nothing(make_trainer, weights_of, make_dataset):
    dataset = make_dataset([3] * 9)
    trainer = make_trainer(dataset, replicas=2, optimizer="adam")
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=6, group_size=2, replicas=2)
    before = weights_of(trainer.model)
    batches = trainer.strategy.distribute_datasets_from_function(
        lambda context: largest_batches(plan, 2, range(2))
    )
    trainer.train_step(iter(batches))
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert all(not v.value.numpy().any() for v in trainer.model.optimizer.variables[2:])
    assert trainer.model.optimizer.iterations.numpy() == 0


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        (tf.errors.ResourceExhaustedError, "OOM when allocating tensor", True),
        (tf.errors.InternalError, "Failed to call DoRnnForward with model config: ...", True),
        (tf.errors.InternalError, "Failed to call DoRnnBackward with model config: ...", True),
        (tf.errors.InternalError, "Blas xGEMM launch failed", False),
        (tf.errors.InvalidArgumentError, "Failed to call DoRnnForward with model config", False),
    ],
)
def test_is_out_of_memory(kind, message, expected):
    assert is_out_of_memory(kind(None, None, message)) is expected
