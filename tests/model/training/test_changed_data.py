"""A run ends when its dataset changes, with a checkpoint of what it was."""

import os
import shutil

import keras
import numpy as np
import pytest

from padless.model import TrainingOptions, load_model, train
from padless.pipeline.dataset.snapshot import DatasetChangedError


class _Overwrite(keras.callbacks.Callback):
    """Overwrites a dataset after an epoch, as a job with `--overwrite` does."""

    def __init__(self, folder, others, epoch):
        super().__init__()
        self._folder, self._others, self._epoch = folder, others, epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self._epoch:
            os.rename(self._folder, f"{self._folder}.old")
            os.rename(self._others, self._folder)


def test_a_dataset_that_is_overwritten_ends_the_run_with_a_checkpoint_of_the_old(
    make_dataset, small, tmp_path
):
    lengths = {"train": [3, 4, 5] * 4, "validation": [3, 4]}
    for name, seed in (("data", 0), ("others", 5)):
        source = make_dataset(lengths, seed=seed).split("train").files[0].parent
        shutil.copytree(source, tmp_path / name)
    data, run = tmp_path / "data", tmp_path / "run"
    arguments = {"architecture": small, "options": TrainingOptions(epochs=4, batch_size=4)}
    train(data, tmp_path / "whole", **arguments)
    overwrite = _Overwrite(data, tmp_path / "others", epoch=2)
    changed = r"data: the dataset must stay .*step-00000009\.npz holds what was learned before"
    with pytest.raises(DatasetChangedError, match=changed):
        train(data, run, callbacks=[overwrite], **arguments)
    with pytest.raises(ValueError, match="the dataset has changed since the run"):
        train(data, run, resume=True, **arguments)
    shutil.rmtree(data)
    os.rename(f"{data}.old", data)
    train(data, run, resume=True, **arguments)
    whole, resumed = (load_model(path).get_weights() for path in (tmp_path / "whole", run))
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_dataset_that_is_overwritten_after_the_last_epoch_is_not_fitted_to(
    make_dataset, small, tmp_path
):
    for name, seed in (("data", 0), ("others", 5)):
        source = make_dataset([3, 4, 5] * 4, seed=seed).split("train").files[0].parent
        shutil.copytree(source, tmp_path / name)

    class AtTheEnd(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            shutil.rmtree(tmp_path / "data")
            os.rename(tmp_path / "others", tmp_path / "data")

    options = TrainingOptions(epochs=1, batch_size=4)
    with pytest.raises(DatasetChangedError, match="data: the dataset must stay what it was"):
        train(
            tmp_path / "data",
            tmp_path / "run",
            architecture=small,
            options=options,
            callbacks=[AtTheEnd()],
        )
    assert not (tmp_path / "run" / "model.keras").exists()
    assert not (tmp_path / "run" / "calibration.npz").exists()
