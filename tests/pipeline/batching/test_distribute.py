"""Batches under a strategy of TensorFlow: every sequence once, whoever deals the batches out."""

import collections
import pathlib
import re
import textwrap

import keras
import pytest
import tensorflow as tf

from padless.pipeline import (
    Shuffle,
    equal_length_batches,
    plan_batches,
    replica_batches,
)

ROOT = pathlib.Path(__file__).resolve().parents[3]
MirroredStrategy = tf.distribute.MirroredStrategy  # which the examples get with other devices
LENGTHS = [3] * 7 + [4] * 5 + [9, 12]


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS, num_shards=2)


def strategy_of(replicas):
    # By collectives, a strategy would meet the groups of another one of this process.
    reduction = tf.distribute.ReductionToOneDevice()
    return MirroredStrategy([f"CPU:{i}" for i in range(replicas)], cross_device_ops=reduction)


def deal_batches(strategy, dataset, plan):
    return strategy.experimental_distribute_dataset(
        equal_length_batches(dataset, plan, shuffle=Shuffle(3))
    )


def deal_pieces(strategy, dataset, plan):
    return strategy.distribute_datasets_from_function(
        lambda context: replica_batches(dataset, plan, shuffle=Shuffle(3))
    )


@pytest.mark.parametrize("deal", [deal_batches, deal_pieces])
@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_get_every_sequence_once(dataset, replicas, deal):
    strategy = strategy_of(replicas)
    plan = plan_batches(dataset.split("train").lengths, batch_size=6, replicas=replicas)
    seen, num_steps, rows = collections.Counter(), 0, 0
    for batch in deal(strategy, dataset, plan):
        pieces = {name: strategy.experimental_local_results(v) for name, v in batch.items()}
        assert len({piece.shape for piece in pieces["sequence"]}) == 1
        ends = {bool(end) for piece in pieces["ends_step"] for end in piece}
        assert len(ends) == 1
        num_steps += ends.pop()
        for keys, weights in zip(pieces["key"], pieces["weight"], strict=True):
            rows += len(keys)
            seen.update(key for key, w in zip(keys.numpy(), weights.numpy(), strict=True) if w == 1)
    assert seen == {f"train/{i}".encode(): 1 for i in range(len(LENGTHS))}
    assert num_steps == plan.steps_per_epoch
    assert rows == len(LENGTHS) + plan.filler_rows


def test_the_example_of_replica_batches_runs(dataset, monkeypatch, capsys):
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: strategy_of(2))
    example = textwrap.dedent(replica_batches.__doc__.partition("::\n")[2])
    exec(example, globals() | {"dataset": dataset})
    counts = map(float, re.findall(r"tf.Tensor\((\S+),", capsys.readouterr().out))
    assert sum(counts) == len(LENGTHS)


def test_the_loop_of_the_documentation_trains_alike_on_any_replicas(dataset, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(dataset.split("train").files[0].parent)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "training.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (loop,) = (block for block in blocks if "replica_batches" in block)
    losses = []
    for replicas in (1, 2):
        keras.utils.set_random_seed(0)
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda n=replicas: strategy_of(n))
        names = {"__name__": "loop"}
        exec(loop.replace("epochs=range(10)", "epochs=range(2)"), names)
        losses.append(float(names["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert 0 < losses[0] < 1
