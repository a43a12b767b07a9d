"""What is to be trained, how and on which devices: its plans and its trainer."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.training.cluster import is_chief
from padless.model.training.optimizer import make_optimizer
from padless.model.training.step import Trainer
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import ShowProgress

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What is to be trained, how, and on which devices.

    Attributes:
        dataset: the opened dataset.
        architecture: what to build.
        options: how to train, with nothing left open.
        strategy: the devices.
        progress: called with how far it is.
        reasons: why what was left open was chosen so.
    """

    dataset: SequenceDataset
    architecture: Architecture
    options: TrainingOptions
    strategy: tf.distribute.Strategy
    progress: ShowProgress
    reasons: tuple[str, ...] = ()

    def log(self, message: str) -> None:
        """Logs a message: one machine of several does."""
        if is_chief(self.strategy):
            _LOGGER.info(message)

    def plan(self) -> dict[str, BatchPlan]:
        """Plans the training split and, to validate after each epoch, the validation split."""
        plans = {}
        for name in (TRAINING_SPLIT, VALIDATION_SPLIT):
            if name in self.dataset.splits:
                lengths = self.dataset.split(name).lengths
                replicas = self.strategy.num_replicas_in_sync
                try:
                    plans[name] = self.options.plan(lengths, replicas)
                except ValueError as error:
                    split = f"Split {name!r} of dataset {self.dataset.name!r}"
                    raise ValueError(f"{split}: {error}") from error
        return plans

    def make_trainer(self, plan: BatchPlan) -> Trainer:
        """Builds the model, always from the same seed, and its trainer.

        Args:
            plan: of the training split.

        Raises:
            ValueError: if the dataset has no moments to standardize by, or a feature whose
                deviation float32 cannot divide by.
        """
        options, moments = self.options, self.dataset.moments
        if moments is None:
            raise ValueError(f"Dataset {self.dataset.name!r} must have moments, it has none.")
        self._check_deviations(np.sqrt(moments.variance))
        with _weights_drawn_by(options.seed), self.strategy.scope():
            model = SequenceAutoencoder.for_moments(
                moments,
                self.architecture,
                precision=options.precision,
                longest=max(max(split.lengths) for split in self.dataset.splits.values()),
            )
            num_steps = options.num_epochs * plan.steps_per_epoch
            model.compile(optimizer=make_optimizer(options, num_steps))
        return Trainer(
            model,
            self.strategy,
            weighting=options.weighting,
            clip_norm=options.clip_norm,
        )

    def _check_deviations(self, deviations: np.ndarray) -> None:
        """Checks that no deviation, nor its inverse, is 0 or infinite once it is float32."""
        beyond = (deviations > 0) & ~((deviations >= 1e-37) & (deviations <= 1e37))
        for feature in np.flatnonzero(beyond).tolist():
            raise ValueError(
                f"Dataset {self.dataset.name!r}: the standard deviation of "
                f"{self.dataset.feature_name(feature)} must be from 1e-37 to 1e+37 (or 0), got "
                f"{deviations[feature]:.3g}; change its unit."
            )


@contextlib.contextmanager
def _weights_drawn_by(seed: int) -> Iterator[None]:
    """Seeds the generator of Python, which Keras draws the seeds of weights and dropout from.

    Afterwards it is as it was. `keras.utils.set_random_seed` would change those of NumPy and
    TensorFlow too, which belong to the user and which nothing here reads.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
