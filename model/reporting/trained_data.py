"""The data that a run was trained on, which say what is usual where a report is on other data."""

from __future__ import annotations

import logging

import numpy as np
import tensorflow as tf
from etils import epath

from padless.model.explanation.analysis import analyze_sequences
from padless.model.explanation.places import Place, read_places
from padless.model.explanation.usual import USUAL_P_VALUE, UsualSequences, count_usual
from padless.model.scoring.run import Run
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.rules import read_train_labels
from padless.pipeline.dataset.snapshot import DatasetChangedError
from padless.pipeline.progress import ShowProgress, ignore_progress

_LOGGER = logging.getLogger(__name__)
# Whatever is the matter with data that are not those of the report, there is a report.
_LOST = (DatasetChangedError, OSError, ValueError, tf.errors.OpError)


def find_trained_on(run: Run) -> SequenceDataset | None:
    """Opens the dataset that a run was trained on.

    Returns:
        The dataset; None where it is no longer there, is another one by now or cannot be read.
    """
    try:
        return run.open_trained_on()
    except _LOST as error:
        _LOGGER.info("the data that the run was trained on are lost: %s", error)
        return None


def find_train_labels(
    run: Run, directory: epath.Path, trained_on: SequenceDataset | None
) -> tuple[str, ...] | None:
    """Finds the labels that a training split was limited to.

    Args:
        run: the run.
        directory: dataset directory of the report.
        trained_on: the dataset that the run was trained on, or None where it is lost.

    Returns:
        Those of the dataset of the report, or else of the one that the run was trained on; None
        where neither was limited, or that is not known.

    Raises:
        ValueError: if the provenance of the dataset of the report does not hold what it should.
    """
    labels = read_train_labels(directory)
    if labels is not None or trained_on is None:
        return labels
    try:
        return read_train_labels(run.config.dataset)
    except _LOST as error:
        _LOGGER.info("labels of the data that the run was trained on cannot be read: %s", error)
        return None


def usual_of_run(
    run: Run, dataset: SequenceDataset | None, *, progress: ShowProgress = ignore_progress
) -> UsualSequences | None:
    """Measures usual sequences of the split that the p-values of a run compare with.

    Some are drawn at random, and those are left out whose p-value is small.

    Args:
        run: a finished run.
        dataset: that it was trained on, or None where it is lost.
        progress: called with how much of the split is read.

    Returns:
        What they are like; None where the dataset is lost or damaged.
    """
    if dataset is None:
        return None
    try:
        return _measure(run, dataset, progress)
    except _LOST as error:
        _LOGGER.info("the data that the run was trained on cannot be read: %s", error)
        return None


def _measure(run: Run, dataset: SequenceDataset, progress: ShowProgress) -> UsualSequences | None:
    name = run.calibration.split
    split = dataset.split(name)
    most = count_usual(max(split.lengths), dataset.record_format.num_features)
    size = min(most, split.num_sequences)
    drawn = np.random.default_rng(0).choice(split.num_sequences, size, replace=False)
    places = [Place(name, position) for position in drawn.tolist()]
    sequences = list(read_places(dataset, places, progress=progress).values())
    analyses = analyze_sequences(run.model, sequences)
    p_values = run.calibration.p_values(
        np.array([len(sequence) for sequence in sequences]),
        np.array([analysis.score for analysis in analyses]),
    )
    usual = np.flatnonzero(p_values > USUAL_P_VALUE).tolist()
    errors = [analyses[i].timestep_error for i in usual]
    return UsualSequences.of(name, [sequences[i] for i in usual], errors) if usual else None
