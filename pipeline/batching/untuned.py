"""Batches whose numbers of threads and buffers tf.data does not tune while they are read.

It tunes them in a thread that sleeps between two looks, twice as long each time, up to a minute.
Whoever drops the iterator waits for that thread, and the thread misses the call to stop: it is
called before the stop is noted, finds none and sleeps on. An iterator that was read for ten seconds
then takes up to ten seconds to drop.

Without tuning, `tf.data.AUTOTUNE` is a thread per core, up to 16, and `prefetch(tf.data.AUTOTUNE)`
still holds more where the reader had to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.data.ops import multi_device_iterator_ops


def untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches, whose iterators are dropped at once."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def iterate_untuned(batches: tf.distribute.DistributedDataset) -> Iterator:
    """Begins to read the batches of a strategy, by an iterator that is dropped at once.

    Beside the batches, TensorFlow reads a small dataset on each device, which is tuned whatever
    the options of the batches say. They can only be set where TensorFlow makes it; a version that
    makes it elsewhere reads the same, tuned.
    """
    make = getattr(multi_device_iterator_ops, "_create_device_dataset", None)
    if make is None:
        return iter(batches)

    def make_untuned(*args: Any, **kwargs: Any) -> tf.data.Dataset:
        return untuned(make(*args, **kwargs))

    multi_device_iterator_ops._create_device_dataset = make_untuned
    try:
        return iter(batches)
    finally:
        multi_device_iterator_ops._create_device_dataset = make
