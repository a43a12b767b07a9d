"""Packed steps under a strategy of TensorFlow: every sequence once, on any number of replicas."""

import collections
import pathlib
import re

import keras
import pytest
import tensorflow as tf

from padless.pipeline import Shuffle, packed_steps, plan_batches

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


@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_get_every_sequence_once(dataset, replicas):
    strategy = strategy_of(replicas)
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=6, group_size=4, replicas=replicas)
    seen, num_steps = collections.Counter(), 0
    for batch in strategy.distribute_datasets_from_function(
        lambda context: packed_steps(dataset, plan, shuffle=Shuffle(3))
    ):
        pieces = {name: strategy.experimental_local_results(v) for name, v in batch.items()}
        (is_end,) = {bool(end) for end in pieces["ends_step"]}
        num_steps += is_end
        for keys in pieces["key"]:
            seen.update(keys.numpy())
    assert seen == {f"train/{i}".encode(): 1 for i in range(len(LENGTHS))}
    assert num_steps == plan.steps_per_epoch


def test_the_loop_of_the_documentation_trains_alike_on_any_replicas(dataset, tmp_path, monkeypatch):
    (tmp_path / "data").symlink_to(dataset.split("train").files[0].parent)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "training.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (loop,) = (block for block in blocks if "packed_steps" in block)
    losses = []
    for replicas in (1, 2):
        keras.utils.set_random_seed(0)
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda n=replicas: strategy_of(n))
        names = {"__name__": "loop"}
        exec(loop.replace("epochs=range(10)", "epochs=range(2)"), names)
        losses.append(float(names["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert 0 < losses[0] < 1
