"""Training: from a dataset directory to a run directory.

1. The dataset is opened; the run directory is made, or taken where a run is resumed, and locked.
2. The steps of both splits are planned.
3. The model is built under the strategy, standardized by the moments of the training split, and
   takes the state of the newest checkpoint, if there is one.
4. `TrainingLoop` runs the epochs, known step by known step, and calls Keras' callbacks.
5. With the best weights, the anomaly score is fitted and a split is scored that p-values compare
   with, see `padless.model.scoring.anomaly_fit`; then they are saved as a model that takes raw
   values.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.reporting.summary import ErrorSums, Summary, summarize
from padless.model.run_directory import layout
from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.choices import choose
from padless.model.run_directory.config import (
    CONFIG_FILE,
    RunConfig,
    check_same_run,
    describe_run,
    read_config,
    write_config,
)
from padless.model.run_directory.lock import locked
from padless.model.run_directory.metrics_files import MetricsFiles, read_history
from padless.model.run_directory.static_scale import measure_static
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.scoring.anomaly_fit import fit_anomaly_score
from padless.model.scoring.calibration import (
    choose_split,
    is_finished,
    least_p_value,
    save_calibration,
)
from padless.model.scoring.inference import WITH_BASELINES, Inference
from padless.model.scoring.p_value_graph import p_values_in_graph
from padless.model.scoring.run import Run
from padless.model.training.cluster import (
    check_same_number,
    cluster_size,
    is_chief,
    lost_machines_explained,
    wait_for_all,
)
from padless.model.training.forgotten_gradients import gradients_forgotten
from padless.model.training.loop import TrainingLoop
from padless.model.training.progress import EpochProgress
from padless.model.training.replicas import make_strategy
from padless.model.training.request import TrainingRequest
from padless.model.training.state import RunState
from padless.model.training.tensorboard_log import TensorBoardLog
from padless.model.training.training_report import TrainingReport
from padless.pipeline.dataset.directory import SequenceDataset, Split, open_dataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.log_filters import notes_dropped
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress
from padless.pipeline.wording import list_names, plural


@notes_dropped(
    "tensorflow"
)  # in a notebook it says which devices a strategy has, and what it saves
def train(
    directory: epath.PathLike,
    run: Run | epath.PathLike,
    *,
    architecture: Architecture | None = None,
    options: TrainingOptions | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: ShowProgress = ignore_progress,
) -> TrainingReport:
    """Trains an autoencoder on the training split of a dataset directory.

    Where there is a validation split, its loss decides which epoch's weights are kept; otherwise
    that of the training split does.

    A resumed run continues from its newest checkpoint, in mid-epoch, and ends as an uninterrupted
    run: bit for bit on a CPU with as many replicas. A finished run continues where more epochs are
    asked for, if the learning rate does not depend on their number: `schedule="constant"`.

    Args:
        directory: dataset directory.
        run: run directory to make; must not exist, unless the run is resumed. To resume, the
            opened run as well.
        architecture: what to build; the default one, or that of the run that is resumed, if None.
        options: how to train; the default, or those of the run that is resumed, if None. What these
            two leave open is chosen from the data, see `padless.model.run_directory.choices`.
        resume: whether to resume the run, where it exists.
        callbacks: Keras callbacks to call as well. What they hold themselves is in no checkpoint.
        progress: called after each step with how far the epoch is, and then with how far the fit of
            the anomaly score is, see `padless.pipeline.Progress`. A line per epoch, and what else
            there is to say, goes to the logger `padless`, at level INFO.

    Raises:
        FileExistsError: if the run directory exists and is not to be resumed.
        FileNotFoundError: if the dataset or a part of it is missing.
        ValueError: if the dataset has no training split, is damaged, or an option does not fit it;
            if the run to resume was started with other data or options; if its checkpoints are
            damaged.
        FloatingPointError: if the loss is not finite any more.
        MemoryError: if the largest batches do not fit into memory.
        DatasetChangedError: if the dataset does not stay what it is; the newest checkpoint is of
            the data before that.
        OSError: if a checkpoint cannot be written, or another machine of `TF_CONFIG` has stopped.
        RuntimeError: if another process trains in the run directory.
        TrainingStopped: if SIGTERM or SIGINT has come; the run can be resumed.
    """
    run, started = _find_started(run, resume=resume)
    if started:
        architecture, options = architecture or started.architecture, options or started.training
    dataset = open_dataset(directory)
    chosen = choose(
        architecture or Architecture(),
        options or TrainingOptions(),
        dataset.split(TRAINING_SPLIT).lengths,
        masks_missing=dataset.masks_missing,
    )
    architecture, options = chosen.architecture, chosen.options
    strategy = make_strategy(options.replicas)
    request = TrainingRequest(dataset, architecture, options, strategy, progress, chosen.reasons)
    plans = request.plan()  # an option that does not fit the data leaves nothing behind
    config = describe_run(
        directory,
        dataset,
        architecture=architecture,
        options=options,
        devices=strategy.extended.worker_devices,
        replicas=strategy.num_replicas_in_sync,
        static=measure_static(dataset),
    )
    dataset.check_unchanged()  # the fingerprint is of what was opened
    if started:
        check_same_run(run, started, config)
    is_writer = is_chief(strategy)
    run = layout.make_run(run, resume=resume) if is_writer else pathlib.Path(run)
    with locked(run) if is_writer else contextlib.nullcontext(), lost_machines_explained():
        if is_writer:
            write_config(run, config.with_plans(plans))
        with gradients_forgotten():
            return _train_and_report(request, plans, run, callbacks)


def _find_started(
    run: Run | epath.PathLike, *, resume: bool
) -> tuple[epath.PathLike, RunConfig | None]:
    """Returns the run directory, and the configuration of a run that is to be resumed there."""
    if isinstance(run, Run):
        return run.directory, run.config if resume else None
    is_started = resume and (epath.Path(run) / CONFIG_FILE).exists()
    return run, read_config(run) if is_started else None


def _train_and_report(
    request: TrainingRequest,
    plans: Mapping[str, BatchPlan],
    run: pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback],
) -> TrainingReport:
    """Trains from the newest checkpoint to the end, and reports."""
    loop = _make_loop(request, plans, run)
    request.log(_introduce(plans, loop.model, request))
    is_restored, progress = loop.restore(), loop.state.progress
    is_over = loop.is_over() and is_finished(run)
    if is_restored and not is_over:
        request.log(f"resumed after step {progress.step} of epoch {progress.epoch + 1}")
    newest = f"the newest checkpoint of {run}, in steps"
    check_same_number(request.strategy, loop.total_steps, newest)
    inference, summary = Inference(loop.model, WITH_BASELINES), None
    if is_over:
        loop.state.use_best()
        request.log(_describe_end(progress.epoch, request.options.schedule))
    else:
        _train_to_the_end(request, loop, run, callbacks)
        if is_chief(request.strategy):
            summary = _save(inference, request, run)
        wait_for_all(request.strategy)
    split = choose_split(request.dataset)
    return TrainingReport.of(
        loop.state.progress,
        monitor=loop.monitor,
        losses=read_history(run)[loop.monitor],
        steps_per_epoch=loop.steps_per_epoch,
        times=loop.times,
        calibration_split=split,
        smallest_p_value=least_p_value(_lengths_of(request.dataset.split(split))),
        summary=summary or summarize(inference, request.dataset, split, request.options.weighting),
    )


def _make_loop(
    request: TrainingRequest, plans: Mapping[str, BatchPlan], run: pathlib.Path
) -> TrainingLoop:
    """Builds the model and what trains it; all machines read checkpoints, one writes them."""
    trainer = request.make_trainer(plans[TRAINING_SPLIT])
    return TrainingLoop(
        trainer,
        request.dataset,
        plans,
        options=request.options,
        state=RunState(trainer.model),
        checkpoints=Checkpoints(run / layout.CHECKPOINT_DIRECTORY),
        files=MetricsFiles(run) if is_chief(request.strategy) else None,
    )


def _train_to_the_end(
    request: TrainingRequest,
    loop: TrainingLoop,
    run: pathlib.Path,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Runs the epochs that are left, and gives the model its best weights."""
    calls = [*callbacks]
    if is_chief(request.strategy):
        layout.discard_model(run)
        display = EpochProgress(request.progress, validation_steps=loop.validation_steps)
        log = TensorBoardLog(run / layout.TENSORBOARD_DIRECTORY, request.dataset)
        calls = [display, log, *callbacks]
    loop.run(
        keras.callbacks.CallbackList(
            calls, model=loop.model, verbose=0, epochs=loop.epochs, steps=loop.steps_per_epoch
        )
    )
    loop.state.use_best()


def _save(inference: Inference, request: TrainingRequest, run: pathlib.Path) -> Summary:
    """Fits the anomaly score, saves calibration and model; the latter marks the run finished.

    Returns:
        What the model has learned of the split to calibrate on, which is read once for both.
    """
    dataset, split = request.dataset, choose_split(request.dataset)
    dataset.check_unchanged()
    errors = ErrorSums(dataset, split, request.options.weighting)
    calibration = fit_anomaly_score(
        inference.model.anomaly_score,
        _windows(inference, dataset, TRAINING_SPLIT, request.progress),
        split,
        errors.watch(_windows(inference, dataset, split, request.progress)),
    )
    p_values = p_values_in_graph(calibration)
    with layout.model_written(inference.model, run, dataset.offsets, p_values) as model:
        save_calibration(calibration, run, model)
    return errors.summary(inference.model)


def _windows(
    inference: Inference, dataset: SequenceDataset, split: str, progress: ShowProgress
) -> Iterator[Mapping[str, np.ndarray]]:
    """Yields the windows of a split, and reports how far the fit of the anomaly score is."""
    total = dataset.split(split).num_sequences
    start = Progress(f"anomaly score, {split}", 0, total, "sequences")
    windows = inference.windows(dataset, split)
    return counted(windows, progress, start, size=lambda window: len(window["length"]))


def _describe_end(epochs: int, schedule: str) -> str:
    """Says that there is nothing left to train, and how to train longer."""
    longer = "ask for more epochs to continue"
    if schedule != "constant":
        longer = (
            f"to train longer, begin a new run, as the schedule {schedule!r} has come to its end"
        )
    return f"the run has finished with {plural(epochs, 'epoch')}; {longer}"


def _lengths_of(split: Split) -> np.ndarray:
    """Returns the length of each sequence, `(sequences,)`."""
    return np.repeat(list(split.lengths), list(split.lengths.values()))


def _introduce(
    plans: Mapping[str, BatchPlan], model: SequenceAutoencoder, request: TrainingRequest
) -> str:
    plan = plans[TRAINING_SPLIT]
    updates = request.options.num_epochs * plan.steps_per_epoch
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    sequences = f"{plan.num_sequences:,} sequences of {plural(len(plan.lengths), 'length')}"
    steps = f"{plan.steps_per_epoch:,} packed steps per epoch, {updates:,} updates in all"
    where = _name_devices(request.strategy)
    lines = [f"{sequences} in {steps}; {weights:,} weights; replicas: {where}"]
    lines += [f"chosen: {reason}" for reason in request.reasons]
    if constant := _list_constant(request.dataset):
        lines += [f"the same throughout the training split: {list_names(constant)}"]
    if VALIDATION_SPLIT not in plans:
        lines += [f"no split {VALIDATION_SPLIT!r}: the training loss decides which epoch is best"]
    return "\n".join(lines)


def _list_constant(dataset: SequenceDataset) -> list[str]:
    """Lists the features that have one value alone in the training split."""
    if (moments := dataset.moments) is None:
        return []
    return [dataset.feature_name(i) for i in np.flatnonzero(moments.variance == 0).tolist()]


def _name_devices(strategy: tf.distribute.Strategy) -> str:
    devices = [device.rpartition("device:")[2] for device in strategy.extended.worker_devices]
    machines = cluster_size()
    return ", ".join(devices) + (f" on each of {machines} machines" if machines > 1 else "")
