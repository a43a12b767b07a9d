"""A run, opened once: the one door to what a run directory holds."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.run_directory import layout
from padless.model.run_directory.config import RunConfig, read_config
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.scoring.calibration import Calibration, load_calibration
from padless.model.scoring.inference import (
    EMBEDDING,
    SCORED,
    SCORED_AND_TIMESTEPS,
    Inference,
)
from padless.model.scoring.scores_file import check_output, warn_of_other_lengths, write_parquet
from padless.pipeline.dataset.directory import SequenceDataset, open_dataset
from padless.pipeline.dataset.fingerprint import changed_parts, fingerprint
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.wording import list_names


def open_run(directory: epath.PathLike) -> Run:
    """Opens the run directory of `padless train`.

    Only the configuration is read, once; the model and the calibration are loaded when first used.

    Example:
        >>> run = open_run("run")  # doctest: +SKIP
        >>> run.write_scores(open_dataset("data"), "scores.parquet")  # doctest: +SKIP
        370

    Raises:
        FileNotFoundError: if it is not a run directory.
        ValueError: if its configuration is not one of this version.
    """
    return Run(epath.Path(directory), read_config(directory))


def load_model(directory: epath.PathLike) -> SequenceAutoencoder:
    """Loads the model of a finished run; short for `open_run(directory).model`."""
    return open_run(directory).model


class Run:
    """A training run on disk, made by `open_run`.

    Attributes:
        directory: the run directory.
        config: its configuration.
    """

    def __init__(self, directory: epath.Path, config: RunConfig):
        self.directory = directory
        self.config = config

    @property
    def architecture(self) -> Architecture:
        """What the model is built of."""
        return self.config.architecture

    @property
    def options(self) -> TrainingOptions:
        """How the model is trained."""
        return self.config.training

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits that the run was trained on and validated on, in this order."""
        return tuple(self.config.steps_per_epoch)

    @functools.cached_property
    def model(self) -> SequenceAutoencoder:
        """The model with its best weights; takes raw units.

        Raises:
            FileNotFoundError: if the training has not finished.
            ValueError: if the file is damaged or holds another model.
        """
        return layout.load_model(self.directory)

    @functools.cached_property
    def calibration(self) -> Calibration:
        """The scores that p-values compare with.

        Raises:
            FileNotFoundError: if the training has not finished.
            ValueError: if the file is damaged.
        """
        return load_calibration(self.directory)

    def check_finished(self, *, calibrated: bool = True) -> None:
        """Loads the model, and the calibration if wanted, as before work that takes long.

        Raises:
            FileNotFoundError: if the training has not finished.
            ValueError: if a file is damaged.
        """
        _ = self.model, calibrated and self.calibration

    def open_dataset(self, directory: epath.PathLike | None = None) -> SequenceDataset:
        """Opens a dataset directory whose sequences the model takes.

        Args:
            directory: dataset directory; the one that the run was trained on if None.

        Raises:
            FileNotFoundError: if the dataset or a part of it is missing.
            ValueError: if the dataset has other features or is damaged.
        """
        directory = epath.Path(directory or self.config.dataset)
        if not directory.is_dir():
            raise FileNotFoundError(
                f"{directory}: the dataset directory does not exist. If it was moved, name it by "
                "`directory`."
            )
        dataset = open_dataset(directory)
        self.check_features(dataset)
        return dataset

    def is_trained_on(self, dataset: SequenceDataset) -> bool:
        """Checks whether a dataset is the one that the run was trained on, wherever it is now."""
        return not changed_parts(self.config.fingerprint, fingerprint(dataset))

    def open_trained_on(self) -> SequenceDataset:
        """Opens the dataset that the run was trained on, if it is still that one.

        Raises:
            FileNotFoundError: if the dataset or a part of it is missing.
            ValueError: if it has changed since, or is damaged.
        """
        dataset = self.open_dataset()
        if not self.is_trained_on(dataset):
            raise ValueError(
                f"{self.config.dataset}: the dataset has changed since the run {self.directory} "
                "was trained on it."
            )
        return dataset

    def check_features(self, dataset: SequenceDataset) -> None:
        """Checks that the sequences of a dataset have the features that the run was trained on.

        Raises:
            ValueError: if their number differs, or their names or order where both are known.
        """
        num_features, names = self.config.num_features, self.config.feature_names
        received = dataset.record_format.num_features
        if received != num_features:
            raise ValueError(
                f"{self.directory}: the run was trained on {num_features} features per timestep, "
                f"dataset {dataset.name!r} has {received}."
            )
        if names and dataset.feature_names and names != tuple(dataset.feature_names):
            raise ValueError(
                f"{self.directory}: the run was trained on the features {list_names(names)}, in "
                f"this order, dataset {dataset.name!r} has {list_names(dataset.feature_names)}."
            )

        if dataset.masks_missing and not self.architecture.masks_missing:
            raise ValueError(
                f"{self.directory}: the run was trained without missing values, dataset "
                f"{dataset.name!r} was made with `--missing mask`; make it with another rule."
            )
        if self.config.offsets != dataset.offsets:
            trained, other = map(_list_offsets, (self.config.offsets, dataset.offsets))
            raise ValueError(
                f"{self.directory}: the run was trained with the offsets {trained}, dataset "
                f"{dataset.name!r} has {other}; give its raw files, or make it with the same "
                "`--center`."
            )

        static = sorted(scale.name for scale in self.config.static)
        if static != sorted(dataset.static_columns):
            raise ValueError(
                f"{self.directory}: the run was trained with the static columns "
                f"{list_names(static)}, dataset {dataset.name!r} has "
                f"{list_names(sorted(dataset.static_columns))}; give its raw files, or make it "
                "with the same `--static-columns`."
            )

    def inference(self, outputs: tuple[str, ...]) -> Inference:
        """Makes the inference of these outputs, see `Inference`."""
        return Inference(self.model, outputs, static=self.config.static)

    def plan(self, dataset: SequenceDataset) -> BatchPlan:
        """Plans the batches of a dataset's training split as the run did.

        Raises:
            KeyError: if there is no training split.
            ValueError: if an option does not fit the data.
        """
        return self.options.plan(dataset.split(TRAINING_SPLIT).lengths, self.config.replicas)

    def write_scores(
        self,
        dataset: SequenceDataset,
        output: epath.PathLike,
        *,
        splits: Sequence[str] | None = None,
        name_splits: bool = True,
        p_values: bool = True,
        level: float | None = None,
        timesteps: bool = False,
        merge: bool = False,
        progress: ShowProgress = ignore_progress,
    ) -> int:
        """Writes embedding, score, its parts, p-value and errors of all sequences as Parquet.

        The columns are those of `padless score`, see `padless.model.scoring.scores_file`.

        Args:
            dataset: an opened dataset whose records have keys.
            output: the file; one that exists is replaced.
            splits: names of the splits to take; all if None.
            name_splits: whether to write the column `split`.
            p_values: whether to write the column `p_value`.
            level: largest p-value of what the column `is_anomaly` calls an anomaly; there is no
                such column if None.
            timesteps: whether to write the column `timestep_error`.
            merge: whether the pieces of a sequence become one row, with that column, see
                `padless.model.scoring.merging`; those of a split are held in memory.
            progress: called with how many are done, see `padless.pipeline.Progress`.

        Returns:
            The number of rows.

        Raises:
            FileNotFoundError: if the training has not finished, or the folder of `output` is
                missing.
            IsADirectoryError: if `output` is one.
            ValueError: if the dataset has other features, a split is unknown, the records are
                damaged or have no keys, a key is not UTF-8, or no p-value reaches the level.
        """
        self.check_features(dataset)
        outputs = SCORED_AND_TIMESTEPS if timesteps or merge else SCORED
        inference = self.inference(outputs)
        if p_values:
            warn_of_other_lengths(self.calibration, dataset, splits)
        return write_parquet(
            inference,
            dataset,
            check_output(output),
            splits=splits,
            name_splits=name_splits,
            calibration=self.calibration if p_values else None,
            level=level,
            merge=merge,
            progress=progress,
        )

    def write_embeddings(
        self,
        dataset: SequenceDataset,
        output: epath.PathLike,
        *,
        splits: Sequence[str] | None = None,
        name_splits: bool = True,
        progress: ShowProgress = ignore_progress,
    ) -> int:
        """Writes the embeddings alone, without running the decoder; else as `write_scores`."""
        self.check_features(dataset)
        return write_parquet(
            self.inference(EMBEDDING),
            dataset,
            check_output(output),
            splits=splits,
            name_splits=name_splits,
            progress=progress,
        )


def _list_offsets(offsets: Sequence[float] | None) -> str:
    return list_names(offsets or ())
