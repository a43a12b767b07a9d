"""Iterators that are dropped without a wait."""

import itertools

import pytest
import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops

from padless.pipeline import equal_length_batches, packed_steps, plan_batches
from padless.pipeline.batching.batches import identified_batches
from padless.pipeline.batching.untuned import iterate_untuned


@pytest.mark.parametrize("read", [equal_length_batches, packed_steps, identified_batches])
def test_batches_are_not_tuned(make_dataset, read):
    dataset = make_dataset([3, 3, 4])
    batches = read(dataset, plan_batches(dataset.split("train").lengths, group_size=2))
    assert batches.options().autotune.enabled is False
    # Nor what is made of them, also where they follow batches of another hand.
    mapped = batches.take(1).concatenate(batches).map(lambda batch: batch["length"])
    assert mapped.options().autotune.enabled is False


@pytest.fixture
def made_on_devices(monkeypatch):
    """Lists the datasets that TensorFlow reads on the devices of a strategy."""
    made, begin = [], tf.data.Dataset.__iter__

    def keep(dataset):
        made.append(dataset)
        return begin(dataset)

    monkeypatch.setattr(tf.data.Dataset, "__iter__", keep)
    return made


def test_batches_of_a_strategy_are_not_tuned_on_any_device(made_on_devices):
    make = multi_device_iterator_ops._create_device_dataset
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    batches = strategy.distribute_datasets_from_function(
        lambda context: tf.data.Dataset.range(4).batch(1)
    )
    read = [
        value.numpy().tolist()
        for batch in iterate_untuned(batches)
        for value in strategy.experimental_local_results(batch)
    ]
    assert sorted(itertools.chain(*read)) == [0, 1, 2, 3]
    assert [dataset.options().autotune.enabled for dataset in made_on_devices] == [False] * 2
    assert multi_device_iterator_ops._create_device_dataset is make


def test_a_tensorflow_that_makes_them_elsewhere_reads_the_same(monkeypatch):
    monkeypatch.delattr(multi_device_iterator_ops, "_create_device_dataset")
    assert [int(value) for value in iterate_untuned(tf.data.Dataset.range(3))] == [0, 1, 2]
