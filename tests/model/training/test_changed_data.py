"""A run ends when its dataset changes, with a checkpoint of what it was."""

import os
import shutil

import keras
import numpy as np
import pytest

from padless.model import load_model
from padless.pipeline import open_dataset
from padless.pipeline.dataset.snapshot import DatasetChangedError


def swap(folder, others):
    """Lets two dataset directories change places, as a job with `--overwrite` puts one there."""
    os.rename(folder, f"{folder}.old")
    os.rename(others, folder)
    os.rename(f"{folder}.old", others)


class _Overwrite(keras.callbacks.Callback):
    """Overwrites a dataset after an epoch, or at the end of the training."""

    def __init__(self, folders, epoch=None):
        super().__init__()
        self._folders, self._epoch = folders, epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            swap(*self._folders)

    def on_train_end(self, logs=None):
        if self._epoch is None:
            swap(*self._folders)


@pytest.fixture(scope="module")
def ends(train_small, make_dataset, validated_dataset, tmp_path_factory):
    """The run `finished` where its data were overwritten after the third epoch, and after the last.

    Each time they were put back, and the run resumed: the run, and what it was before the last.
    """
    place = tmp_path_factory.mktemp("overwritten")
    folders, run = (place / "data", place / "others"), place / "run"
    lengths = {"train": [3, 4, 5] * 4, "validation": [3, 4]}
    for folder, dataset in zip(folders, (validated_dataset, make_dataset(lengths)), strict=True):
        shutil.copytree(dataset.split("train").files[0].parent, folder)
    options = {"dataset": open_dataset(folders[0]), "run": run, "resume": True, "epochs": 6}

    changed = r"data: the dataset must stay .*step-00000012\.npz holds what was learned before"
    with pytest.raises(DatasetChangedError, match=changed):
        train_small(callbacks=[_Overwrite(folders, epoch=2)], **options)
    with pytest.raises(ValueError, match="the dataset has changed since the run"):
        train_small(**options)
    swap(*folders)
    with pytest.raises(DatasetChangedError, match="data: the dataset must stay what it was"):
        train_small(callbacks=[_Overwrite(folders)], **options)
    before = shutil.copytree(run, place / "before")
    swap(*folders)
    train_small(**options)
    return run, before


def test_a_dataset_that_is_overwritten_ends_the_run_with_a_checkpoint_of_the_old(ends, finished):
    whole, resumed = (load_model(run).get_weights() for run in (finished[0], ends[0]))
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dataset_that_is_overwritten_after_the_last_epoch_is_not_fitted_to(ends):
    _, before = ends
    assert (before / "checkpoints" / "step-00000024.npz").exists()
    assert not (before / "model.keras").exists()
    assert not (before / "calibration.npz").exists()
