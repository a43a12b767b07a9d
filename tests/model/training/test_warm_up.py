"""The largest batches come first and leave everything as it is."""

import numpy as np
import pytest
import tensorflow as tf

from padless.model.training.warm_up import is_out_of_memory, largest_shapes, weightless_steps
from padless.pipeline import plan_batches, replica_batches


@pytest.mark.parametrize(
    ("lengths", "options", "shapes"),
    [
        ({4: 1}, {"batch_size": 8}, [(1, 4)]),
        # Most timesteps, longest, most sequences.
        ({10: 64, 30: 40, 100: 3}, {"batch_size": 64}, [(40, 30), (3, 100), (64, 10)]),
        # Three rows are filled up to four.
        ({10: 64, 30: 3, 100: 3}, {"batch_size": 64, "replicas": 4}, [(64, 10), (4, 100)]),
        ({10: 64, 100: 3}, {"batch_timesteps": 104}, [(10, 10), (1, 100)]),
    ],
)
def test_largest_shapes(lengths, options, shapes):
    assert largest_shapes(plan_batches(lengths, **options)) == shapes


@pytest.mark.parametrize("pieces", [1, 2])
def test_weightless_steps_are_as_read_ones_but_without_weight(make_dataset, pieces):
    dataset = make_dataset([3] * 9 + [8] * 2)
    plan = plan_batches(dataset.split("train").lengths, batch_size=6, replicas=2)
    batches = weightless_steps([largest_shapes(plan)], 2, replicas=2, pieces=pieces)
    real = replica_batches(dataset, plan).element_spec
    assert batches.options().autotune.enabled is False
    assert batches.element_spec == {name: real[name] for name in batches.element_spec}
    batches = list(batches.as_numpy_iterator())
    assert [b["sequence"].shape for b in batches] == [(3, 3, 2)] * pieces + [(1, 8, 2)] * pieces
    assert [b["ends_step"].tolist() for b in batches] == [[False] * 3] * pieces + [[True]] * pieces
    for batch in batches:
        assert not batch["weight"].any()
        assert (batch["length"] == batch["sequence"].shape[1]).all()


def test_a_step_without_weight_changes_nothing(make_trainer, weights_of, make_dataset):
    dataset = make_dataset([3] * 9)
    trainer = make_trainer(dataset, replicas=2, optimizer="adam")
    plan = plan_batches(dataset.split("train").lengths, batch_size=6, replicas=2)
    before = weights_of(trainer.model)
    batches = trainer.strategy.distribute_datasets_from_function(
        lambda context: weightless_steps([largest_shapes(plan)] * 2, 2, replicas=2, pieces=2)
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
