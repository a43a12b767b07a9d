"""The loop over epochs and steps: it calls, counts, validates, writes checkpoints, and can stop.

Whatever it does between two steps is fixed by the state, so that a run that resumes from a
checkpoint does what the run would have done that wrote it.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf

from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.metrics_files import MetricsFiles
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.training.non_finite import explain_loss
from padless.model.training.saving import StateSaver
from padless.model.training.state import RunState
from padless.model.training.step import StepSums, Trainer
from padless.model.training.stopping import StopRequest, TrainingStopped, stop_requests
from padless.model.training.timing import Times
from padless.model.training.warm_up import describe_largest, is_out_of_memory, largest_batches
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.batching.order import StepOrder
from padless.pipeline.batching.packed_steps import packed_steps
from padless.pipeline.batching.untuned import iterate_untuned
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.dataset.snapshot import DatasetChangedError
from padless.pipeline.planning.plan import BatchPlan


class TrainingLoop:
    """Trains until the epochs are over, or none has been better for a while.

    Args:
        trainer: runs the steps.
        dataset: an opened dataset.
        plans: plan of the training split and, to validate after each epoch, of the validation
            split, by name.
        options: epochs, patience, seed, when a checkpoint is due.
        state: where to begin; it goes along.
        checkpoints: where the state is read, and written if `files` are.
        files: where the metrics are written, on the machine that writes.

    Attributes:
        state: the state of the run.
        times: what the time was spent on.
        monitor: the loss that decides which epoch is best, `"val_loss"` or `"loss"`.
    """

    def __init__(
        self,
        trainer: Trainer,
        dataset: SequenceDataset,
        plans: Mapping[str, BatchPlan],
        *,
        options: TrainingOptions,
        state: RunState,
        checkpoints: Checkpoints | None = None,
        files: MetricsFiles | None = None,
    ):
        self.state, self.times = state, Times()
        self.monitor = "val_loss" if VALIDATION_SPLIT in plans else "loss"
        self._trainer, self._dataset, self._plans = trainer, dataset, plans
        self._options = options
        self._saver, self._files = StateSaver(state, checkpoints, files), files
        self._shuffle = Shuffle(options.seed)
        self._stop = StopRequest()
        self._calls = keras.callbacks.CallbackList()
        self._saved_at, self._epoch_times = time.monotonic(), Times()
        # The batches that are left, from when the devices are there to deal them to.
        self._batches: Iterator = iter(())
        self._validation: Iterator = iter(())

    @property
    def model(self) -> keras.Model:
        """The model that is trained."""
        return self._trainer.model

    @property
    def epochs(self) -> int:
        """Most epochs."""
        return self._options.num_epochs

    @property
    def steps_per_epoch(self) -> int:
        """Steps of training in an epoch."""
        return self._plans[TRAINING_SPLIT].steps_per_epoch

    @property
    def validation_steps(self) -> int:
        """Steps of validation after each epoch."""
        plan = self._plans.get(VALIDATION_SPLIT)
        return plan.steps_per_epoch if plan else 0

    def is_over(self) -> bool:
        """Checks whether nothing is left to train."""
        progress, patience = self.state.progress, self._options.patience
        if progress.epoch >= self.epochs:
            return True
        if patience is None or progress.best_epoch is None:
            return False
        return progress.epoch - 1 - progress.best_epoch >= patience

    def restore(self) -> bool:
        """Restores the newest checkpoint, and discards what was written after it.

        Returns:
            Whether there is one. If not, the run starts.

        Raises:
            ValueError: if there are checkpoints but all are damaged, or of another model.
        """
        return self._saver.restore()

    def run(self, calls: keras.callbacks.CallbackList) -> None:
        """Trains on from the state.

        Args:
            calls: called as by Keras' `fit`; they see `loss`, and at the end of an epoch all
                metrics. One that sets `model.stop_training` ends the training.

        Raises:
            FloatingPointError: if the loss is not finite any more.
            MemoryError: if the largest batches do not fit into memory.
            OSError: if a checkpoint cannot be written.
            DatasetChangedError: if the dataset is no longer what it was when it was opened. The
                newest checkpoint is of the data before that.
            TrainingStopped: if SIGTERM or SIGINT came. The state is in a checkpoint.
        """
        self._calls = calls
        self._saved_at, self._epoch_times = time.monotonic(), Times()
        self.model.stop_training = False
        calls.on_train_begin()
        try:
            with stop_requests() as self._stop:
                self._run_epochs()
        except DatasetChangedError as error:
            raise DatasetChangedError(f"{error} {self._saver.save_kept()}") from error
        finally:
            calls.on_train_end()

    def _run_epochs(self) -> None:
        if not self.is_over():
            with self._epoch_times.measure("starting"):
                self._deal()
            self._saver.keep(self.total_steps)
        while not self.is_over() and not self.model.stop_training:
            self._run_epoch()
        self._save()
        self.times.add(self._epoch_times)

    def _deal(self) -> None:
        """Makes the iterators, each for all epochs that are left, and runs the largest batches."""
        progress = self.state.progress
        epoch, step = progress.epoch, progress.step
        if step == self.steps_per_epoch:
            epoch, step = epoch + 1, 0
        self._batches = self._distribute(TRAINING_SPLIT, epoch, step)
        if VALIDATION_SPLIT in self._plans:
            self._validation = self._distribute(VALIDATION_SPLIT, progress.epoch)
        # The largest batches draw dropout as well: what is random must continue from where it was.
        before = self.state.capture()
        self._warm_up(TRAINING_SPLIT, self._trainer.train_step, self._batches)
        if VALIDATION_SPLIT in self._plans:
            self._warm_up(VALIDATION_SPLIT, self._trainer.evaluation_step, self._validation)
        self.state.restore(*before)

    def _distribute(self, split: str, epoch: int, step: int = 0) -> Iterator:
        """Deals the pieces of each batch out to the replicas, after a step of the largest.

        Keys and labels are not read: the trainer does not need them, and a GPU holds no text.
        """
        numbers = dataclasses.replace(
            self._dataset.record_format, key=None, label=None, meta_columns=()
        )
        dataset = dataclasses.replace(self._dataset, record_format=numbers)
        plan, shuffle = self._plans[split], self._shuffle if split == TRAINING_SPLIT else None

        def deal(context: tf.distribute.InputContext) -> tf.data.Dataset:
            local = plan.replicas // context.num_input_pipelines
            first = context.input_pipeline_id * local
            pieces = range(first, first + local)
            batches = packed_steps(
                dataset,
                plan,
                split=split,
                shuffle=shuffle,
                epochs=range(epoch, self.epochs),
                first_step=step,
                pieces=pieces,
            )
            largest = largest_batches(plan, numbers.num_features, pieces)
            return largest.concatenate(batches)

        return iterate_untuned(self._trainer.strategy.distribute_datasets_from_function(deal))

    def _warm_up(
        self, split: str, run_step: Callable[[Iterator], StepSums], batches: Iterator
    ) -> None:
        """Traces a step and lets memory run out now or never: the batches have no weight."""
        try:
            run_step(batches)
        except tf.errors.OpError as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(
                f"The largest batches of split {split!r} must fit into memory, but "
                f"{describe_largest(self._plans[split])} do not: try a smaller `batch_size` or "
                "`batch_timesteps`, more replicas, or fewer units."
            ) from error

    def _run_epoch(self) -> None:
        progress, calls = self.state.progress, self._calls
        started = time.monotonic()
        calls.on_epoch_begin(progress.epoch)
        with explained(self._dataset.split(TRAINING_SPLIT)):
            while progress.step < self.steps_per_epoch:
                self._run_step()
        order = StepOrder(**progress.order)
        logs = {"loss": progress.loss}
        if VALIDATION_SPLIT in self._plans:
            with self._epoch_times.measure("validating"):
                logs["val_loss"] = self._validate()
        best = progress.best_logs.get(self.monitor, math.inf)
        if logs[self.monitor] < best:
            self.state.remember_best(logs)
        progress.seconds += time.monotonic() - started
        self._end_epoch(logs | _describe_order(order))
        # All that was read so far was read before the data were found to be the same.
        self._saver.keep(self.total_steps)
        if self._is_checkpoint_due():
            self._save()

    def _end_epoch(self, logs: dict[str, float]) -> None:
        epoch = self.state.progress.epoch
        if self._files:
            self._files.write_epoch(epoch, logs)
            self._files.write_times(epoch, dataclasses.asdict(self._epoch_times))
        self.times.add(self._epoch_times)
        self._epoch_times = Times()
        self._calls.on_epoch_end(epoch, logs)
        self.state.progress.start_epoch()

    def _run_step(self) -> None:
        progress = self.state.progress
        self._calls.on_train_batch_begin(progress.step)
        started = time.monotonic()
        sums = StepSums(*map(float, self._trainer.train_step(self._batches)))
        self._epoch_times.waiting += sums.waited_seconds
        self._epoch_times.computing += time.monotonic() - started - sums.waited_seconds
        self._check_finite(sums, TRAINING_SPLIT, progress.step)
        logs = {"loss": sums.loss}
        if self._files:
            self._files.write_step(progress.epoch, progress.step, logs)
        self._calls.on_train_batch_end(progress.step, logs)
        progress.step += 1
        progress.error += sums.error
        progress.weight += sums.weight
        progress.add_length(sums.timesteps / sums.sequences, self.steps_per_epoch)
        if self._is_checkpoint_due(after_step=True):
            self._save()
        self._stop_if_asked(sums)

    def _validate(self) -> float:
        error = weight = 0.0
        self._calls.on_test_begin()
        with explained(self._dataset.split(VALIDATION_SPLIT)):
            for step in range(self._plans[VALIDATION_SPLIT].steps_per_epoch):
                self._calls.on_test_batch_begin(step)
                sums = StepSums(*map(float, self._trainer.evaluation_step(self._validation)))
                self._check_finite(sums, VALIDATION_SPLIT, step)
                error, weight = error + sums.error, weight + sums.weight
                self._calls.on_test_batch_end(step, {"loss": sums.loss})
                self._stop_if_asked(sums)
        self._calls.on_test_end({"loss": error / weight})
        return error / weight

    def _check_finite(self, sums: StepSums, split: str, step: int) -> None:
        is_finite = math.isfinite(sums.gradient_norm) or self._trainer.scales_loss
        if math.isfinite(sums.loss) and is_finite:
            return
        epoch = self.state.progress.epoch
        is_training = split == TRAINING_SPLIT
        found = explain_loss(
            self.model,
            self._dataset,
            self._plans[split],
            split=split,
            shuffle=self._shuffle if is_training else None,
            epoch=epoch,
            step=step,
        )
        raise FloatingPointError(
            f"The loss and its gradient must be finite, got {sums.loss} and a norm of "
            f"{sums.gradient_norm} in epoch {epoch + 1}, step {step + 1} of split {split!r}: "
            f"{found}. The weights are still those before this step; look at these sequences, or "
            "try a smaller `learning_rate` or `clip_norm`."
        )

    def _stop_if_asked(self, sums: StepSums) -> None:
        """Stops on all machines after the same step: that after the one in which a signal came."""
        if sums.stops > 0:
            path, progress = self._save(), self.state.progress
            raise TrainingStopped(
                f"stopped after step {progress.step} of epoch {progress.epoch + 1}"
                + (f"; the state is in {path}" if path else ""),
                self._stop.signal or signal.SIGTERM,
            )
        if self._stop.signal is not None:
            self._trainer.request_stop()

    def _is_checkpoint_due(self, *, after_step: bool = False) -> bool:
        every, minutes = self._options.checkpoint_steps, self._options.checkpoint_minutes
        if after_step and every is not None and self.total_steps % every == 0:
            return True
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    @property
    def total_steps(self) -> int:
        """Steps since the run began."""
        progress = self.state.progress
        return progress.epoch * self.steps_per_epoch + progress.step

    def _save(self) -> pathlib.Path | None:
        """Writes a checkpoint and returns its path, or None where nothing is kept.

        Raises:
            DatasetChangedError: if it might hold what was learned of other data.
        """
        self._dataset.check_unchanged()
        with self._epoch_times.measure("checkpointing"):
            path = self._saver.save(self.total_steps)
        self._saved_at = time.monotonic()
        return path


def _describe_order(order: StepOrder) -> dict[str, float]:
    """Names what is measured of the order of an epoch's steps; nan where it is not defined.

    Beside each number are two standard deviations of it in a random order.
    """
    names = ("correlation", "correlation_by_chance", "drift", "drift_by_chance")
    measured = order.result(epoch=0)
    return {f"length_{name}": getattr(measured, name) for name in names}
