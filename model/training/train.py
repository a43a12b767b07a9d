"""Training: from a dataset directory to a run directory.

1. The dataset is opened; the run directory is made, or taken where a run is resumed, and locked.
2. The batches of both splits are planned, where padding is allowed by what batches cost here.
3. The model is built under the strategy, standardized by the moments of the training split, and
   takes the state of the newest checkpoint, if there is one.
4. `TrainingLoop` runs the epochs, known step by known step, and calls Keras' callbacks.
5. With the best weights, the anomaly score is fitted and a split is scored that p-values compare
   with, see `padless.model.scoring.anomaly_fit`; then they are saved as a model that takes raw
   values.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.reporting.summary import Summary, summarize
from padless.model.run_directory import layout
from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.config import (
    CONFIG_FILE,
    RunConfig,
    check_same_run,
    describe_run,
    read_config,
    write_config,
)
from padless.model.run_directory.lock import locked
from padless.model.run_directory.metrics_files import MetricsFiles
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.scoring.anomaly_fit import fit_anomaly_score
from padless.model.scoring.calibration import choose_split, save_calibration
from padless.model.scoring.inference import Inference
from padless.model.scoring.run import Run
from padless.model.training.cluster import (
    check_same_number,
    cluster_size,
    is_chief,
    lost_machines_explained,
    numbers_of_chief,
    wait_for_all,
)
from padless.model.training.loop import TrainingLoop
from padless.model.training.measure_batch_time import measure_batch_cost
from padless.model.training.optimizer import make_optimizer
from padless.model.training.progress import EpochProgress
from padless.model.training.replicas import make_strategy
from padless.model.training.state import RunState
from padless.model.training.step import Trainer
from padless.model.training.tensorboard_log import TensorBoardLog
from padless.model.training.timing import Times
from padless.pipeline.dataset.directory import SequenceDataset, open_dataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.planning.batch_time import DEFAULT_COST, BatchCost
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress

_LOGGER = logging.getLogger(__name__)


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
        calibration_split: what p-values compare with; `"validation"`, or `"train"` without it.
        summary: the errors of the best epoch's model, by feature and by length, beside baselines.
    """

    monitor: str
    best_epoch: int
    best: Mapping[str, float]
    epochs: int
    steps: int
    seconds: float
    times: Times
    calibration_split: str
    summary: Summary

    def __str__(self) -> str:
        """Shows the report as text."""
        losses = ", ".join(f"{name} {value:.4f}" for name, value in self.best.items())
        return "\n".join(
            [
                f"best epoch {self.best_epoch} by {self.monitor}: {losses}",
                f"{self.epochs} epochs, {self.steps:,} steps in {self.seconds:.1f} s",
                str(self.times),
                self._describe_p_values(),
                "",
                str(self.summary),
            ]
        )

    def _describe_p_values(self) -> str:
        text = f"p-values of `padless score` compare with the split {self.calibration_split!r}"
        if self.calibration_split == TRAINING_SPLIT:
            text += (
                f", which was trained on: on new data they are too small; a split "
                f"{VALIDATION_SPLIT!r} mends that"
            )
        return text


def train(
    directory: epath.PathLike,
    run: Run | epath.PathLike,
    *,
    architecture: Architecture | None = None,
    options: TrainingOptions | None = None,
    cost: BatchCost | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: ShowProgress = ignore_progress,
) -> TrainingReport:
    """Trains an autoencoder on the training split of a dataset directory.

    Where there is a validation split, its loss decides which epoch's weights are kept; otherwise
    that of the training split does.

    A resumed run goes on from its newest checkpoint, in mid-epoch, and ends as one that was never
    interrupted: bit for bit on a CPU with as many replicas. A finished run goes on where more
    epochs are asked for.

    Args:
        directory: dataset directory.
        run: run directory to make; must not exist, unless the run is resumed. To resume, the
            opened run as well.
        architecture: what to build; the default one, or that of the run that is resumed, if None.
        options: how to train; the default, or those of the run that is resumed, if None.
        cost: what batches cost, by which `max_padding` is used; measured here if None. A run that
            is resumed keeps its own.
        resume: whether to go on with the run, where it exists.
        callbacks: Keras callbacks to call as well. What they hold themselves is in no checkpoint.
        progress: called after each step with how far the epoch is, and then with how far the fit of
            the anomaly score is, see `padless.pipeline.Progress`. A line per epoch, and what else
            there is to say, goes to the logger `padless`, at level INFO.

    Raises:
        FileExistsError: if the run directory exists and is not to be resumed.
        FileNotFoundError: if the dataset or a part of it is missing.
        ValueError: if the dataset has no training split, is damaged, or an option does not fit it;
            if the run to resume was begun with other data or options; if its checkpoints are
            damaged.
        FloatingPointError: if the loss is not finite any more.
        MemoryError: if the largest batches do not fit into memory.
        OSError: if a checkpoint cannot be written, or another machine of `TF_CONFIG` has stopped.
        RuntimeError: if another process trains in the run directory.
        TrainingStopped: if SIGTERM or SIGINT has come; the run can be resumed.
    """
    run, begun = _find_begun(run, resume=resume)
    if begun:
        architecture, options = architecture or begun.architecture, options or begun.training
    architecture, options = architecture or Architecture(), options or TrainingOptions()
    dataset = open_dataset(directory)
    dataset.split(TRAINING_SPLIT)
    strategy = make_strategy(options.replicas)
    request = _Request(dataset, architecture, options, strategy, progress)
    request.plan(DEFAULT_COST)  # an option that does not fit the data leaves nothing behind
    config = describe_run(
        directory,
        dataset,
        architecture=architecture,
        options=options,
        devices=strategy.extended.worker_devices,
        replicas=strategy.num_replicas_in_sync,
    )
    if begun:
        check_same_run(run, begun, config)
    is_writer = is_chief(strategy)
    run = layout.make_run(run, resume=resume) if is_writer else pathlib.Path(run)
    with locked(run) if is_writer else contextlib.nullcontext(), lost_machines_explained():
        cost = _cost_of(run, begun, cost) if begun else request.choose_cost(cost)
        plans = request.plan(cost)
        if is_writer:
            write_config(run, config.with_plans(plans, cost))
        return _go_on(request, plans, run, callbacks)


def _cost_of(run: pathlib.Path, begun: RunConfig, cost: BatchCost | None) -> BatchCost:
    before = begun.batch_cost
    if cost not in (None, before):
        raise ValueError(
            f"{run}: `cost` must be that of the run that is resumed, {before}, got {cost}."
        )
    return before


def _find_begun(
    run: Run | epath.PathLike, *, resume: bool
) -> tuple[epath.PathLike, RunConfig | None]:
    """Returns the run directory, and the configuration of a run that is to be resumed there."""
    if isinstance(run, Run):
        return run.directory, run.config if resume else None
    is_begun = resume and (epath.Path(run) / CONFIG_FILE).exists()
    return run, read_config(run) if is_begun else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
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
        """Builds the model, always from the same seed, and its trainer."""
        options = self.options
        keras.utils.set_random_seed(options.seed)
        with self.strategy.scope():
            model = SequenceAutoencoder.for_moments(
                self.dataset.moments,
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


def _go_on(request: _Request, plans, run: pathlib.Path, callbacks) -> TrainingReport:
    """Goes on from the newest checkpoint to the end; one machine writes, the others wait for it."""
    dataset, strategy = request.dataset, request.strategy
    plan = plans[TRAINING_SPLIT]
    trainer = request.make_trainer(
        steps_per_epoch=plan.steps_per_epoch, exact=all(p.is_exact for p in plans.values())
    )
    state = RunState(trainer.model)
    loop = TrainingLoop(trainer, dataset, plans, options=request.options, state=state)
    request.log(_introduce(plans, trainer.model, strategy))
    inference = Inference(trainer.model)
    checkpoints = Checkpoints(run / layout.CHECKPOINT_DIRECTORY)
    files = MetricsFiles(run) if is_chief(strategy) else None
    if _restore(loop, checkpoints, files):
        progress = state.progress
        request.log(f"resumed after step {progress.step} of epoch {progress.epoch + 1}")
    check_same_number(strategy, loop.total_steps, f"the newest checkpoint of {run}, in steps")
    if loop.is_over() and layout.is_finished(run):
        state.use_best()
        epochs = state.progress.epoch
        request.log(f"the run has finished with {epochs} epochs; ask for more to go on")
    else:
        if files:
            layout.discard_model(run)
            log = TensorBoardLog(run / layout.TENSORBOARD_DIRECTORY, dataset)
            steps = plans[VALIDATION_SPLIT].steps_per_epoch if VALIDATION_SPLIT in plans else 0
            display = EpochProgress(request.progress, validation_steps=steps)
            callbacks = [display, log, *callbacks]
        calls = _callbacks(loop, callbacks)
        loop.run(calls, checkpoints=checkpoints if files else None, files=files)
        state.use_best()
        if files:
            _save(inference, dataset, run, request.progress)
        wait_for_all(strategy)
    summary = summarize(inference, dataset, list(plans)[-1], request.options.weighting)
    return _report(loop, plan, summary, choose_split(dataset))


def _save(
    inference: Inference, dataset: SequenceDataset, run: pathlib.Path, progress: ShowProgress
) -> None:
    """Fits the anomaly score, saves calibration and model; the latter marks the run finished."""
    split = choose_split(dataset)
    calibration = fit_anomaly_score(
        inference.model.anomaly_score,
        _windows(inference, dataset, TRAINING_SPLIT, progress),
        split,
        _windows(inference, dataset, split, progress),
    )
    save_calibration(calibration, run)
    layout.save_model(inference.model, run)


def _windows(
    inference: Inference, dataset: SequenceDataset, split: str, progress: ShowProgress
) -> Iterator[Mapping[str, np.ndarray]]:
    """Yields the windows of a split, and tells how far the fit of the anomaly score is."""
    total = dataset.split(split).num_sequences
    start = Progress(f"anomaly score, {split}", 0, total, "sequences")
    windows = inference.windows(dataset, split)
    return counted(windows, progress, start, size=lambda window: len(window["length"]))


def _restore(loop: TrainingLoop, checkpoints: Checkpoints, files: MetricsFiles | None) -> bool:
    """Takes up the newest checkpoint; says no where there is none, and begins."""
    checkpoint = checkpoints.restore()
    if checkpoint is not None:
        step, arrays, saved = checkpoint
        loop.state.restore(arrays, saved["progress"])
    if files:
        files.cut(saved["files"] if checkpoint else {})
        checkpoints.discard_after(step if checkpoint else 0)
    return checkpoint is not None


def _callbacks(loop: TrainingLoop, callbacks: Sequence) -> keras.callbacks.CallbackList:
    return keras.callbacks.CallbackList(
        [*callbacks],
        model=loop.model,
        verbose=0,
        epochs=loop.epochs,
        steps=loop.steps_per_epoch,
    )


def _introduce(plans: Mapping[str, BatchPlan], model: SequenceAutoencoder, strategy) -> str:
    plan = plans[TRAINING_SPLIT]
    devices = [device.rpartition("device:")[2] for device in strategy.extended.worker_devices]
    where = ", ".join(devices)
    if (machines := cluster_size()) > 1:
        where += f" on each of {machines} machines"
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    text = (
        f"{plan.num_sequences:,} sequences in {plan.num_batches:,} {plan.kind}, "
        f"{plan.padded_timesteps:,} padded timesteps, {plan.steps_per_epoch:,} steps per epoch; "
        f"{weights:,} weights; replicas: {where}"
    )
    if VALIDATION_SPLIT not in plans:
        text += f"\nno split {VALIDATION_SPLIT!r}: the training loss decides which epoch is best"
    return text


def _report(
    loop: TrainingLoop, plan: BatchPlan, summary: Summary, calibration_split: str
) -> TrainingReport:
    progress = loop.state.progress
    return TrainingReport(
        monitor=loop.monitor,
        best_epoch=progress.best_epoch + 1,
        best=progress.best_logs,
        epochs=progress.epoch,
        steps=progress.epoch * plan.steps_per_epoch,
        seconds=progress.seconds,
        times=loop.times,
        calibration_split=calibration_split,
        summary=summary,
    )
