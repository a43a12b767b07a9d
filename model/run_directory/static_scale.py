"""The scales of static columns, measured on the training split when a run begins."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.framing import check_record_sizes
from padless.pipeline.dataset.moments import Moments, merge_moments, scale_of
from padless.pipeline.dataset.names import TRAINING_SPLIT, meta_feature
from padless.pipeline.dataset.static_columns import StaticScale, read_static

_WINDOW = 4096


def measure_static(dataset: SequenceDataset) -> tuple[StaticScale, ...]:
    """Measures the static columns of a dataset, none if it has none.

    Raises:
        ValueError: if there is no training split, or its records are damaged.
    """
    if not dataset.static_columns:
        return ()
    split = dataset.split(TRAINING_SPLIT)
    names = list(map(meta_feature, dataset.static_columns))
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
    with explained(split):
        for file in split.files:
            check_record_sizes(file)
        records = tf.data.TFRecordDataset(list(map(str, split.files))).batch(_WINDOW)
        windows = untuned(records.map(lambda batch: tf.io.parse_example(batch, spec)))
        parts = [
            Moments.of(np.array([list(map(read_static, window[name])) for name in names]).T)
            for window in windows.as_numpy_iterator()
        ]
    moments = merge_moments(parts)
    numbers = zip(moments.mean.tolist(), scale_of(moments.variance).tolist(), strict=True)
    return tuple(
        StaticScale(name, *scale)
        for name, scale in zip(dataset.static_columns, numbers, strict=True)
    )
