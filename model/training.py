"""Training: from a dataset directory to a run directory.

1. The dataset is opened and the batches of both splits are planned.
2. The run directory is made, or taken where a run is resumed, and locked.
3. The model is built under the strategy, normalised by the moments of the training split, and takes
   the state of the newest checkpoint, if there is one.
4. `TrainingLoop` runs the epochs, known step by known step, and calls Keras' callbacks.
5. The best weights are saved as a model that takes raw values, and summed up.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence

import keras
from etils import epath

from padless.model import run_directory
from padless.model.autoencoder import Architecture, SequenceAutoencoder
from padless.model.checkpoints import Checkpoints
from padless.model.lock import locked
from padless.model.loop import TrainingLoop
from padless.model.metrics_files import MetricsFiles
from padless.model.optimizer import make_optimizer
from padless.model.options import TrainingOptions
from padless.model.progress import ProgressDisplay
from padless.model.replicas import mirrored_strategy
from padless.model.resume import check_same_run
from padless.model.state import RunState
from padless.model.summary import Summary, summarise
from padless.model.tensorboard_log import TensorBoardLog
from padless.model.timing import Times
from padless.model.trainer import Trainer
from padless.pipeline.directory import (
    TRAINING_SPLIT,
    VALIDATION_SPLIT,
    SequenceDataset,
    open_dataset,
)
from padless.pipeline.fingerprint import fingerprint
from padless.pipeline.plan import BatchPlan, plan_batches


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
        times: what the time was spent on, since the run was begun or resumed.
        summary: what the best weights come to, on the validation split if there is one.
    """

    monitor: str
    best_epoch: int
    best: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    times: Times
    summary: Summary

    def __str__(self) -> str:
        """Shows the report as text."""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.best.items())
        return (
            f"best epoch {self.best_epoch} by {self.monitor}: {losses}\n"
            f"{self.epochs} epochs, {self.steps} steps in {self.seconds:.1f} s\n"
            f"{self.times}\n\n{self.summary}\n"
        )


def train(
    directory: epath.PathLike,
    run: epath.PathLike,
    *,
    architecture: Architecture | None = None,
    options: TrainingOptions | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingReport:
    """Trains an autoencoder on the training split of a dataset directory.

    Where there is a validation split, its loss decides which epoch's weights are kept; otherwise
    that of the training split does.

    A resumed run goes on from its newest checkpoint, in mid-epoch, and ends as one that was never
    interrupted: bit for bit on a CPU with as many replicas. A finished run goes on where more
    epochs are asked for.

    Args:
        directory: dataset directory.
        run: run directory to make; must not exist, unless the run is resumed.
        architecture: what to build; the default one, or that of the run that is resumed, if None.
        options: how to train; the default, or those of the run that is resumed, if None.
        resume: whether to go on with the run, where it exists.
        callbacks: Keras callbacks to call as well. What they hold themselves is in no checkpoint.

    Raises:
        FileExistsError: if the run directory exists and is not to be resumed.
        FileNotFoundError: if the dataset or a part of it is missing.
        ValueError: if the dataset has no training split, is damaged, or an option does not fit it;
            if the run to resume was begun with other data or options; if its checkpoints are
            damaged.
        FloatingPointError: if the loss is not finite any more.
        MemoryError: if the largest batches do not fit into memory.
        OSError: if a checkpoint cannot be written.
        RuntimeError: if another process trains in the run directory.
        TrainingStopped: if SIGTERM or SIGINT has come; the run can be resumed.
    """
    if resume and (epath.Path(run) / run_directory.CONFIG_FILE).exists():
        begun_architecture, begun_options = run_directory.read_options(run)
        architecture, options = architecture or begun_architecture, options or begun_options
    architecture, options = architecture or Architecture(), options or TrainingOptions()
    dataset = open_dataset(directory)
    dataset.split(TRAINING_SPLIT)
    strategy = mirrored_strategy(options.replicas)
    plans = {
        split: _plan(dataset, split, options, strategy.num_replicas_in_sync)
        for split in (TRAINING_SPLIT, VALIDATION_SPLIT)
        if split in dataset.splits
    }
    config = _describe(directory, dataset, plans, architecture, options, strategy)
    run = run_directory.make_run(run, resume=resume)
    with locked(run):
        _begin(run, config)
        trainer = _make_trainer(dataset, plans[TRAINING_SPLIT], architecture, options, strategy)
        state, files = RunState(trainer.model), MetricsFiles(run)
        checkpoints = Checkpoints(run / run_directory.CHECKPOINT_DIRECTORY)
        _restore(state, checkpoints, files, options)
        loop = TrainingLoop(trainer, dataset, plans, options=options, state=state)
        if options.verbose != 0:
            print(_introduce(plans, trainer.model, strategy))
        if not (loop.is_over() and (run / run_directory.MODEL_FILE).exists()):
            run_directory.discard_model(run)
            log = TensorBoardLog(run / run_directory.TENSORBOARD_DIRECTORY, dataset)
            calls = _callbacks(loop, options, [log, *callbacks])
            loop.run(calls, checkpoints=checkpoints, files=files)
            state.use_best()
            run_directory.save_model(trainer.model, run)
        else:
            state.use_best()
            if options.verbose != 0:
                epochs = state.progress.epoch
                print(f"the run has finished with {epochs} epochs; ask for more to go on")
        summary = summarise(loop.model, dataset, list(plans)[-1], options.weighting)
    return _report(loop, plans[TRAINING_SPLIT], summary)


def _begin(run, config: dict) -> None:
    """Writes the configuration, after a look whether it is that of the run that goes on."""
    if (run / run_directory.CONFIG_FILE).exists():
        check_same_run(run, run_directory.read_config(run), config)
    run_directory.write_config(run, config)


def _make_trainer(dataset, plan, architecture, options, strategy) -> Trainer:
    keras.utils.set_random_seed(options.seed)
    steps = options.epochs * plan.steps_per_epoch
    with strategy.scope():
        model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
        model.compile(optimizer=make_optimizer(options, steps))
    return Trainer(model, strategy, weighting=options.weighting, clip_norm=options.clip_norm)


def _restore(state: RunState, checkpoints: Checkpoints, files: MetricsFiles, options) -> None:
    """Takes up the newest checkpoint, or the beginning where there is none."""
    checkpoint = checkpoints.restore()
    if checkpoint is None:
        files.cut({})
        return
    step, arrays, saved = checkpoint
    state.restore(arrays, saved["progress"])
    files.cut(saved["files"])
    checkpoints.discard_after(step)
    if options.verbose != 0:
        progress = state.progress
        print(f"resumed after step {progress.step} of epoch {progress.epoch + 1}")


def _callbacks(loop: TrainingLoop, options: TrainingOptions, callbacks):
    verbose = options.verbose
    if verbose is None:
        verbose = 1 if sys.stdout.isatty() else 2
    display = [ProgressDisplay(bar=verbose == 1)] if verbose else []
    return keras.callbacks.CallbackList(
        [*display, *callbacks],
        model=loop.model,
        verbose=verbose,
        epochs=options.epochs,
        steps=loop.steps_per_epoch,
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


def _report(loop: TrainingLoop, plan: BatchPlan, summary: Summary) -> TrainingReport:
    progress = loop.state.progress
    return TrainingReport(
        monitor=loop.monitor,
        best_epoch=progress.best_epoch + 1,
        best=progress.best_logs,
        epochs=progress.epoch,
        steps=progress.epoch * plan.steps_per_epoch,
        seconds=progress.seconds,
        times=loop.times,
        summary=summary,
    )


def _describe(directory, dataset, plans, architecture, options, strategy) -> dict:
    versions = ("padless", "tensorflow", "keras", "numpy")
    config = {
        "dataset": str(epath.Path(directory).resolve()),
        "fingerprint": fingerprint(dataset),
        "num_features": dataset.record_format.num_features,
        "feature_names": dataset.feature_names,
        "architecture": dataclasses.asdict(architecture),
        "training": dataclasses.asdict(options),
        "replicas": strategy.num_replicas_in_sync,
        "devices": list(strategy.extended.worker_devices),
        "steps_per_epoch": {split: plan.steps_per_epoch for split, plan in plans.items()},
        "versions": {name: _version(name) for name in versions},
    }
    return json.loads(json.dumps(config))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed
