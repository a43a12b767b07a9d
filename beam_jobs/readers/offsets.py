"""The offsets of features that are to be centered, from the options and the head of the input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.fragments import Item, Reject, RejectedPart
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names


def find_offsets(items: Iterable[Item], columns: Columns) -> tuple[float, ...]:
    """Returns the offset of each feature, 0 where it is not centered, raw units.

    Args:
        items: what the readers yield, of which no more is read than is needed.
        columns: `center` says which features are centered; one without a number gets the first
            value that the input has, to seven digits.

    Raises:
        ValueError: if there is no such feature, or no value of it.
    """
    parts = _values(items)
    first = next(parts, None)
    if first is None:
        raise ValueError("`center` needs a sequence in the input, there is none that can be read.")
    names = columns.features or tuple(map(str, range(first.shape[1])))
    for name, _ in columns.centered:
        if name not in names:
            raise ValueError(
                f"`center` must name a feature, got {name!r}; the features are "
                f"{list_names(names)}.{did_you_mean(name, names)}"
            )
    offsets = dict.fromkeys(names, 0.0) | {n: o for n, o in columns.centered if o is not None}
    wanted = {names.index(name): name for name, offset in columns.centered if offset is None}
    for values in _with_first(first, parts):
        for position in list(wanted):
            seen = values[:, position][~np.isnan(values[:, position])]
            if len(seen):
                offsets[wanted.pop(position)] = float(f"{seen[0]:.7g}")
        if not wanted:
            return tuple(offsets.values())
    raise ValueError(f"`center` needs a value of {', '.join(wanted.values())}, all are missing.")


def _values(items: Iterable[Item]) -> Iterator[np.ndarray]:
    for item in items:
        if not isinstance(item, Reject) and not isinstance(item[1], RejectedPart):
            yield item[1].values


def _with_first(first: np.ndarray, others: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from (values for values in others if values.shape[1] == first.shape[1])
