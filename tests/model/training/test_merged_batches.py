"""Batches that merge lengths train as those that do not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture, SequenceAutoencoder
from padless.pipeline import equal_length_batches, plan_batches


def error_and_gradients(model, dataset, plan):
    """Adds up weight * error over an epoch, and its gradients."""
    variables = [variable.value for variable in model.trainable_variables]
    totals = [0.0] * (1 + len(variables))
    for batch in equal_length_batches(dataset, plan):
        length = None if plan.is_exact else batch["length"]
        with tf.GradientTape() as tape:
            errors = model.analyze(batch["sequence"], length)["error"]
            error = tf.reduce_sum(batch["weight"] * errors)
        found = [error, *tape.gradient(error, variables)]
        totals = [total + value.numpy() for total, value in zip(totals, found, strict=True)]
    return totals


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_merged_batches_give_the_gradient_of_the_exact_ones(make_dataset, cell, bidirectional):
    keras.utils.set_random_seed(0)
    dataset = make_dataset([2, 3, 3, 4, 4, 6, 7, 7, 9])
    architecture = Architecture(units=4, latent_size=3, cell=cell, bidirectional=bidirectional)
    model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
    lengths = dataset.split("train").lengths
    exact = plan_batches(lengths)
    expected = error_and_gradients(model, dataset, exact)
    merged = plan_batches(lengths, max_padding=0.4, replicas=2)
    assert merged.num_batches < exact.num_batches
    assert merged.filler_rows > 0
    found = error_and_gradients(model, dataset, merged)
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-5)
