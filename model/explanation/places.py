"""Sequences by their place in a dataset, read again once it is known which are to be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from padless.model.scoring.inference import read_windows
from padless.pipeline.batching.damage import explained
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.records import parse_ragged_examples
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress


class Place(NamedTuple):
    """Where a sequence is.

    Attributes:
        split: name of its split.
        position: number of its record in the split, from 0.
    """

    split: str
    position: int


def read_places(
    dataset: SequenceDataset,
    places: Iterable[Place],
    *,
    progress: ShowProgress = ignore_progress,
) -> dict[Place, np.ndarray]:
    """Reads the sequences at some places, in one pass over each split that has one.

    Args:
        dataset: an opened dataset.
        places: where they are, in any order.
        progress: called with how much of each split is read.

    Returns:
        Place -> sequence, `(timesteps, features)` float32.

    Raises:
        ValueError: if the records are damaged; names the file.
    """
    wanted = sorted(set(places))
    return {
        Place(split, position): sequence
        for split in dict.fromkeys(place.split for place in wanted)
        for position, sequence in _read_positions(
            dataset, split, np.array([at for name, at in wanted if name == split]), progress
        )
    }


def _read_positions(
    dataset: SequenceDataset, split: str, positions: np.ndarray, progress: ShowProgress
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the sequences at ascending positions of a split."""
    source, record_format = dataset.split(split), dataset.record_format
    begin, start = 0, Progress(f"examples of {split}", 0, source.num_sequences, "sequences")
    with explained(source):
        windows = read_windows(source, record_format)
        for window in counted(windows, progress, start, size=lambda w: len(w["length"])):
            end = begin + len(window["length"])
            here = positions[(positions >= begin) & (positions < end)]
            if len(here):
                chosen = tf.gather(window["serialized"], here - begin)
                batch = parse_ragged_examples(chosen, record_format)
                ends = np.cumsum(batch["length"].numpy())[:-1]
                yield from zip(here.tolist(), np.split(batch["values"].numpy(), ends), strict=True)
            begin = end
