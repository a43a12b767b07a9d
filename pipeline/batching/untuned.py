"""Batches whose numbers of threads and buffers tf.data does not tune while they are read.

It tunes them in a thread that sleeps between two looks, twice as long each time, up to a minute.
Whoever drops the iterator waits for that thread, and the thread misses the call to stop: it is
called before the stop is noted, finds none and sleeps on. An iterator that was read for ten seconds
then takes up to ten seconds to drop.

Without tuning, `tf.data.AUTOTUNE` is a thread per core, up to 16, and `prefetch(tf.data.AUTOTUNE)`
still holds more where the reader had to wait.
"""

from __future__ import annotations

import tensorflow as tf


def untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches, whose iterators are dropped at once."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)
