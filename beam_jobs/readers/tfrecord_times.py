"""The times of the timesteps in a TFRecord: a list of the example, or a feature list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf.message import Message

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import RejectionError, Source
from padless.beam_jobs.readers.suggestions import is_missing
from padless.beam_jobs.readers.values import TimedValues, needs_times, parse_times


def read_times(
    record: Message, values: np.ndarray, source: Source, columns: Columns
) -> TimedValues:
    """Reads one time per timestep; there are none where nobody has named them or looks at them.

    They are a feature list of one value each, or a list of int64, floats or strings in the example
    or the context. A single value under the default name is no list of times, as an example writes
    both in one way.

    Raises:
        RejectionError: if times are asked for and not there, or not as many as timesteps.
    """
    name, lists = columns.time, record.feature_lists.feature_list
    if name in lists:
        times = _join(lists[name].feature, name)
    elif name in record.context.feature:
        times = _list_values(record.context.feature[name])
        if len(times) == 1 != len(values) and not needs_times(source, columns):
            return TimedValues(values)
    elif needs_times(source, columns):
        available = {*lists, *record.context.feature}
        raise RejectionError("bad_time", f"the record {is_missing('feature', name, available)}")
    else:
        return TimedValues(values)
    return TimedValues(values) if source.has_order else parse_times(times, values)


def _join(features: Iterable[Any], name: str) -> list:
    times: list = []
    for timestep, values in enumerate(map(_list_values, features)):
        if len(values) != 1:
            raise RejectionError(
                "bad_time",
                f"the feature list {name!r} must hold one time per timestep, timestep {timestep} "
                f"holds {len(values)}.",
            )
        times += values
    return times


def _list_values(feature: Any) -> list:
    kind = feature.WhichOneof("kind")
    return list(getattr(feature, kind).value) if kind else []
