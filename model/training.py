"""Training: from a dataset directory to a run directory.

1. The dataset is opened and the batches of both splits are planned.
2. The model is built under the strategy, normalised by the moments of the training split.
3. `fit` runs the epochs, known step by known step, and calls Keras' callbacks.
4. The best weights are saved as a model that takes raw values.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import keras
from etils import epath

from padless.model import run_directory
from padless.model.autoencoder import Architecture, SequenceAutoencoder
from padless.model.callbacks import Best, log_callbacks
from padless.model.replicas import mirrored_strategy
from padless.model.trainer import WEIGHTINGS, Trainer
from padless.pipeline.batches import Shuffle, replica_batches
from padless.pipeline.damage import explained
from padless.pipeline.directory import TRAINING_SPLIT, SequenceDataset, open_dataset
from padless.pipeline.plan import BatchPlan, Budget, plan_batches

VALIDATION_SPLIT = "validation"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is trained.

    Attributes:
        epochs: most epochs to train.
        batch_size: most sequences per batch and about as many per step; 64 if neither is given.
        batch_timesteps: most timesteps per batch and about as many per step, instead.
        replicas: GPUs or logical CPU devices; all GPUs, or 1 without GPUs, if None.
        learning_rate: of Adam.
        clip_norm: most that the global norm of a step's gradient may be, or None.
        weighting: what weighs the same in the loss, each `"sequence"` or each `"timestep"`.
        patience: epochs without a better loss on validation after which training stops, or None.
        seed: of the initial weights and of the order.
        verbose: 0 silent, 1 a progress bar, 2 a line per epoch; None for what fits the output.

    Raises:
        ValueError: if an option is out of its range.
    """

    epochs: int = 50
    batch_size: int | None = None
    batch_timesteps: int | None = None
    replicas: int | None = None
    learning_rate: float = 3e-3
    clip_norm: float | None = 1.0
    weighting: str = "sequence"
    patience: int | None = None
    seed: int = 0
    verbose: int | None = None

    def __post_init__(self):
        Budget.of(self.batch_size, self.batch_timesteps)
        for name in ("epochs", "replicas", "patience"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        for name in ("learning_rate", "clip_norm"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"`{name}` must be above 0, got {value}.")
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"`weighting` must be one of {WEIGHTINGS}, got {self.weighting!r}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` must be at least 0 and below 2**32, got {self.seed}.")
        if self.verbose not in (None, 0, 1, 2):
            raise ValueError(f"`verbose` must be 0, 1, 2 or None, got {self.verbose}.")


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run came to.

    Attributes:
        monitor: the loss that decided which epoch was best, `"val_loss"` or `"loss"`.
        best_epoch: its number, counted from 1.
        best: its metrics.
        epochs: number of epochs trained.
        steps: number of steps trained.
        seconds: wall time of the epochs.
    """

    monitor: str
    best_epoch: int
    best: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float

    def __str__(self) -> str:
        """Shows the report in one line."""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.best.items())
        return (
            f"{self.epochs} epochs, {self.steps} steps in {self.seconds:.1f} s; "
            f"best epoch {self.best_epoch} by {self.monitor}: {losses}"
        )


def train(
    directory: epath.PathLike,
    run: epath.PathLike,
    *,
    architecture: Architecture | None = None,
    options: TrainingOptions | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingReport:
    """Trains an autoencoder on the training split of a dataset directory.

    Where there is a validation split, its loss decides which epoch's weights are kept; otherwise
    that of the training split does.

    Args:
        directory: dataset directory.
        run: run directory to make; must not exist.
        architecture: what to build.
        options: how to train.
        callbacks: Keras callbacks to call as well.

    Raises:
        FileExistsError: if the run directory exists.
        FileNotFoundError: if the dataset or a part of it is missing.
        ValueError: if the dataset has no training split, is damaged, or an option does not fit it.
        FloatingPointError: if the loss is not finite any more.
    """
    architecture, options = architecture or Architecture(), options or TrainingOptions()
    dataset = open_dataset(directory)
    dataset.split(TRAINING_SPLIT)
    strategy = mirrored_strategy(options.replicas)
    plans = {
        split: _plan(dataset, split, options, strategy.num_replicas_in_sync)
        for split in (TRAINING_SPLIT, VALIDATION_SPLIT)
        if split in dataset.splits
    }
    keras.utils.set_random_seed(options.seed)
    with strategy.scope():
        model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
        model.compile(optimizer=keras.optimizers.Adam(options.learning_rate))
    trainer = Trainer(model, strategy, weighting=options.weighting, clip_norm=options.clip_norm)
    config = _describe(directory, dataset, plans, architecture, options, strategy)
    run = run_directory.create_run(run, config)
    if options.verbose != 0:
        print(_introduce(plans, model, strategy))
    best = Best("val_loss" if VALIDATION_SPLIT in plans else "loss", options.patience)
    started = time.monotonic()
    epochs = fit(
        trainer,
        dataset,
        plans,
        options=options,
        callbacks=[best, *log_callbacks(run, best.monitor), *callbacks],
    )
    seconds = time.monotonic() - started
    model.load_weights(str(run / run_directory.CHECKPOINT_FILE))
    run_directory.save_model(model, run)
    return TrainingReport(
        monitor=best.monitor,
        best_epoch=best.epoch + 1,
        best=best.logs,
        epochs=epochs,
        steps=epochs * plans[TRAINING_SPLIT].steps_per_epoch,
        seconds=seconds,
    )


def fit(
    trainer: Trainer,
    dataset: SequenceDataset,
    plans: Mapping[str, BatchPlan],
    *,
    options: TrainingOptions,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> int:
    """Runs the epochs and returns how many there were.

    Args:
        trainer: runs the steps.
        dataset: an opened dataset.
        plans: plan of the training split and, to validate after each epoch, of the validation
            split, by name.
        options: epochs, seed and verbosity.
        callbacks: Keras callbacks; they see `loss`, and `val_loss` at the end of an epoch.
    """
    plan, model = plans[TRAINING_SPLIT], trainer.model
    batches = _distribute(
        trainer, dataset, plan, TRAINING_SPLIT, options.epochs, shuffle=Shuffle(options.seed)
    )
    validation = None
    if VALIDATION_SPLIT in plans:
        validation = _distribute(
            trainer, dataset, plans[VALIDATION_SPLIT], VALIDATION_SPLIT, options.epochs
        )
    verbose = options.verbose
    if verbose is None:
        verbose = 1 if sys.stdout.isatty() else 2
    calls = keras.callbacks.CallbackList(
        list(callbacks),
        add_progbar=verbose > 0,
        model=model,
        verbose=verbose,
        epochs=options.epochs,
        steps=plan.steps_per_epoch,
    )
    model.stop_training = False
    calls.on_train_begin()
    for epoch in range(options.epochs):
        calls.on_epoch_begin(epoch)
        with explained(dataset.split(TRAINING_SPLIT)):
            logs = {"loss": _train_epoch(trainer, batches, plan.steps_per_epoch, calls)}
        if validation is not None:
            with explained(dataset.split(VALIDATION_SPLIT)):
                steps = plans[VALIDATION_SPLIT].steps_per_epoch
                sums = [trainer.evaluation_step(validation) for _ in range(steps)]
            logs["val_loss"] = _finite(_mean(sums), "validation")
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    calls.on_train_end(logs)
    return epoch + 1


def _train_epoch(trainer: Trainer, batches: Iterator, steps: int, calls) -> float:
    sums = []
    for step in range(steps):
        calls.on_train_batch_begin(step)
        sums.append(trainer.train_step(batches))
        loss = _finite(_mean(sums[-1:]), f"step {step + 1} of {steps}")
        calls.on_train_batch_end(step, {"loss": loss})
    return _mean(sums)


def _mean(sums) -> float:
    """Divides the sum of all weighted scores by the sum of all weights."""
    return sum(float(s.error) for s in sums) / sum(float(s.weight) for s in sums)


def _finite(loss: float, where: str) -> float:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The loss must be finite, got {loss} in {where}: "
            "try a smaller `learning_rate`, or `clip_norm`."
        )
    return loss


def _distribute(trainer, dataset, plan, split, epochs, shuffle=None) -> Iterator:
    """Makes one iterator for all epochs that deals the pieces of each batch out to the replicas.

    Keys and labels are not read: the trainer does not need them, and a GPU holds no text.
    """
    numbers = dataclasses.replace(dataset.record_format, key=None, label=None)
    dataset = dataclasses.replace(dataset, record_format=numbers)
    return iter(
        trainer.strategy.distribute_datasets_from_function(
            lambda context: replica_batches(
                dataset, plan, split=split, shuffle=shuffle, epochs=range(epochs)
            )
        )
    )


def _plan(dataset: SequenceDataset, split: str, options: TrainingOptions, replicas: int):
    try:
        return plan_batches(
            dataset.split(split).lengths,
            batch_size=options.batch_size,
            batch_timesteps=options.batch_timesteps,
            replicas=replicas,
        )
    except ValueError as error:
        raise ValueError(f"Split {split!r} of dataset {dataset.name!r}: {error}") from error


def _introduce(plans: Mapping[str, BatchPlan], model: SequenceAutoencoder, strategy) -> str:
    plan = plans[TRAINING_SPLIT]
    devices = [device.rpartition("device:")[2] for device in strategy.extended.worker_devices]
    text = (
        f"{plan.num_sequences:,} sequences in {plan.num_batches:,} equal-length batches, "
        f"{plan.padded_timesteps} padded timesteps, {plan.steps_per_epoch:,} steps per epoch; "
        f"{model.count_params():,} weights; replicas: {', '.join(devices)}"
    )
    if VALIDATION_SPLIT not in plans:
        text += f"\nno split {VALIDATION_SPLIT!r}: the training loss decides which epoch is best"
    return text


def _describe(directory, dataset, plans, architecture, options, strategy) -> dict:
    versions = ("padless", "tensorflow", "keras", "numpy")
    return {
        "dataset": str(epath.Path(directory).resolve()),
        "num_features": dataset.record_format.num_features,
        "feature_names": dataset.feature_names,
        "architecture": dataclasses.asdict(architecture),
        "training": dataclasses.asdict(options),
        "replicas": strategy.num_replicas_in_sync,
        "devices": list(strategy.extended.worker_devices),
        "steps_per_epoch": {split: plan.steps_per_epoch for split, plan in plans.items()},
        "versions": {name: _version(name) for name in versions},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed
