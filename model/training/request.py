"""What is to be trained, how and on which devices: its plans and its trainer."""

from __future__ import annotations

import dataclasses
import logging

import keras
import numpy as np
import tensorflow as tf

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.training.cluster import is_chief, numbers_of_chief
from padless.model.training.measure_batch_time import measure_batch_cost
from padless.model.training.optimizer import make_optimizer
from padless.model.training.step import Trainer
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.planning.batch_time import DEFAULT_COST, BatchCost
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import ShowProgress

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What is to be trained, how, and on which devices."""

    dataset: SequenceDataset
    architecture: Architecture
    options: TrainingOptions
    strategy: tf.distribute.Strategy
    progress: ShowProgress

    def log(self, message: str) -> None:
        """Logs a message: one machine of several does."""
        if is_chief(self.strategy):
            _LOGGER.info(message)

    def plan(self, cost: BatchCost) -> dict[str, BatchPlan]:
        """Plans the training split and, to validate after each epoch, the validation split."""
        plans = {}
        for name in (TRAINING_SPLIT, VALIDATION_SPLIT):
            if name in self.dataset.splits:
                lengths = self.dataset.split(name).lengths
                replicas = self.strategy.num_replicas_in_sync
                try:
                    plans[name] = self.options.plan(
                        lengths, replicas, cost, self.architecture.alignment
                    )
                except ValueError as error:
                    split = f"Split {name!r} of dataset {self.dataset.name!r}"
                    raise ValueError(f"{split}: {error}") from error
        return plans

    def choose_cost(self, cost: BatchCost | None) -> BatchCost:
        """Measures the cost of batches where it matters and is not given."""
        if cost is not None or not self.options.max_padding:
            return cost or DEFAULT_COST
        lengths = np.repeat(*np.array([*self.dataset.split(TRAINING_SPLIT).lengths.items()]).T)
        marks = np.percentile(lengths, [10, 50, 100], method="nearest").tolist()
        measured = measure_batch_cost(
            self.make_trainer(steps_per_epoch=1),
            self.dataset.record_format.num_features,
            tuple(marks),
            self.options.budget,
        )
        # Machines that measured something else would plan something else.
        cost = BatchCost(*numbers_of_chief(self.strategy, list(dataclasses.astuple(measured))))
        self.log(f"measured here: {cost}")
        return cost

    def make_trainer(self, *, steps_per_epoch: int, exact: bool = True) -> Trainer:
        """Builds the model, always from the same seed, and its trainer.

        Raises:
            ValueError: if the dataset has no moments to standardize by.
        """
        options, moments = self.options, self.dataset.moments
        if moments is None:
            raise ValueError(f"Dataset {self.dataset.name!r} must have moments, it has none.")
        keras.utils.set_random_seed(options.seed)
        with self.strategy.scope():
            model = SequenceAutoencoder.for_moments(
                moments,
                self.architecture,
                precision=options.precision,
                longest=max(max(split.lengths) for split in self.dataset.splits.values()),
            )
            model.compile(optimizer=make_optimizer(options, options.epochs * steps_per_epoch))
        return Trainer(
            model,
            self.strategy,
            weighting=options.weighting,
            clip_norm=options.clip_norm,
            exact=exact,
        )
