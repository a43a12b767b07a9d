"""What cannot be trained on is named before anything is built."""

import dataclasses
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture, TrainingOptions
from padless.model.training.request import TrainingRequest
from padless.model.training.train import _list_constant
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.progress import ignore_progress


@pytest.mark.parametrize("deviation", [1e38, 0.95e38, 1e-42])
def test_a_deviation_beyond_float32_is_named(make_dataset, deviation):
    values = np.array([[0.0, -deviation], [0.0, deviation]])
    dataset = dataclasses.replace(
        make_dataset([3, 4]), moments=Moments.of(values), feature_names=("still", "huge")
    )
    options = TrainingOptions(epochs=1, batch_size=2)
    strategy = tf.distribute.get_strategy()
    request = TrainingRequest(dataset, Architecture(), options, strategy, ignore_progress)
    with pytest.raises(ValueError, match=r"deviation of huge must be from 1e-37 .* got .*e[+-]"):
        request.make_trainer(request.plan()["train"])


def test_features_with_one_value_alone_are_listed(make_dataset):
    dataset = make_dataset([3, 4])
    assert _list_constant(dataset) == []
    values = np.array([[1.0, 7.0], [2.0, 7.0]])
    still = dataclasses.replace(dataset, moments=Moments.of(values))
    assert _list_constant(still) == ["feature 1"]
    assert _list_constant(dataclasses.replace(still, feature_names=("x", "still"))) == ["still"]


def test_the_random_generators_of_the_process_are_left_alone(make_dataset, small):
    def draw():
        return random.random(), np.random.uniform(), float(tf.random.uniform(()))

    dataset = make_dataset([3, 4])
    options = TrainingOptions(seed=3, batch_size=2, epochs=1)
    strategy = tf.distribute.get_strategy()
    architecture = dataclasses.replace(small, patch_length=1, dropout=0.1)
    request = TrainingRequest(dataset, architecture, options, strategy, ignore_progress)
    keras.utils.set_random_seed(5)
    expected = draw()
    keras.utils.set_random_seed(5)
    request.make_trainer(request.plan()["train"])
    assert draw() == expected


def test_another_seed_begins_with_other_weights(make_dataset, small, weights_of):
    dataset, strategy = make_dataset([3, 4]), tf.distribute.get_strategy()

    def first_weights(seed):
        options = TrainingOptions(batch_size=2, epochs=1, seed=seed)
        architecture = dataclasses.replace(small, patch_length=1)
        request = TrainingRequest(dataset, architecture, options, strategy, ignore_progress)
        return weights_of(request.make_trainer(request.plan()["train"]).model)

    first, again, other = map(first_weights, (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
