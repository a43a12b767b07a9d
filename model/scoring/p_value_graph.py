"""p-values as TensorFlow operations, for a SavedModel that needs nothing else."""

from __future__ import annotations

import tensorflow as tf

from padless.model.run_directory.layout import PValues
from padless.model.scoring.calibration import ROUNDING, Calibration
from padless.model.scoring.window_table import WindowTable


def p_values_in_graph(calibration: Calibration) -> PValues:
    """Returns a function that computes what `Calibration.p_values` does, for use in a graph.

    What it compares with is in the graph as constants: 16 bytes per sequence of the calibration,
    and 24 per timestep from its shortest to its longest.
    """
    table = WindowTable.of(calibration)

    def p_value(start: tf.Tensor, stop: tf.Tensor, slope: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        trend = slope * tf.cast(table.length, tf.float64)[start:stop]
        neighbours = tf.constant(table.logarithm)[start:stop] - trend
        as_high = tf.math.count_nonzero(neighbours >= own)
        return tf.cast(1 + as_high, tf.float64) / tf.cast(1 + stop - start, tf.float64)

    def p_values(length: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
        length = tf.clip_by_value(tf.cast(length, tf.int64), table.first, table.last)
        of_length = (table.start, table.stop, table.slope)
        start, stop, slope = (tf.gather(part, length - table.first) for part in of_length)
        shortest, longest = (tf.gather(table.length, i) for i in (start, stop - 1))
        known = tf.clip_by_value(length, shortest, longest)
        logarithm = tf.math.log(tf.cast(score, tf.float64))
        own = logarithm - slope * tf.cast(known, tf.float64) - ROUNDING
        found = tf.map_fn(
            lambda row: p_value(*row), (start, stop, slope, own), fn_output_signature=tf.float64
        )
        return tf.cast(tf.where(tf.math.is_nan(logarithm), logarithm, found), tf.float32)

    return p_values
