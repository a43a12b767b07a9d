"""One step of training: its batches accumulate, and the exact gradient is applied.

The objective is one number for the whole step,

    loss = sum of weight * error over all sequences / sum of weights,

over all batches and all replicas, so that neither how the sequences are cut into batches nor how a
batch is dealt out to replicas changes the gradient. Keras' `fit` averages the means of replicas,
which is another number as soon as they hold unequal work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from padless.model.run_directory.training_options import WEIGHTINGS
from padless.pipeline.batching.packing import PackedSequences
from padless.pipeline.wording import list_names


class StepSums(NamedTuple):
    """What a step adds up over its batches and over all replicas, `()` each.

    Attributes:
        error: sum of weight * error, float32.
        weight: sum of weights, float32.
        sequences: number of sequences, float32.
        timesteps: number of their timesteps, float32.
        stops: above 0 if a machine was asked to stop, float32, see `Trainer.request_stop`.
        gradient_norm: global norm of the loss' gradient, before it is clipped, float32.
        waited_seconds: time in which nothing ran because the next batch was not there, float64.
    """

    error: Any
    weight: Any
    sequences: Any
    timesteps: Any
    stops: Any
    gradient_norm: Any
    waited_seconds: Any

    @property
    def loss(self) -> Any:
        """Mean error, each sequence with its weight."""
        return self.error / self.weight


# `error` to `timesteps` are added up batch by batch.
_NUM_COUNTED = StepSums._fields.index("timesteps") + 1
_WEIGHT = StepSums._fields.index("weight")
_GRADIENT_NORM = StepSums._fields.index("gradient_norm")


class Trainer:
    """Runs training and evaluation steps of an autoencoder under a distribution strategy.

    Each step is one traced call for all lengths: it takes batches from the iterator until one says
    that it ends the step.

    Args:
        model: a `SequenceAutoencoder`, or a model with such `sequence_losses`, built in the
            strategy's scope and compiled with an optimizer.
        strategy: the strategy it was built under.
        weighting: `"sequence"`, each sequence weighs 1, or `"timestep"`, each weighs its length.
        clip_norm: most that the global norm of a step's gradient may be, or None.

    Raises:
        ValueError: if the weighting is unknown or `clip_norm` is not above 0.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy,
        *,
        weighting: str = "sequence",
        clip_norm: float | None = None,
    ):
        if weighting not in WEIGHTINGS:
            raise ValueError(
                f"`weighting` must be one of {list_names(WEIGHTINGS)}, got {weighting!r}."
            )
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"`clip_norm` must be above 0, got {clip_norm}.")
        self.model = model
        self.strategy = strategy
        self.weighting = weighting
        self.clip_norm = clip_norm
        self._stop = tf.Variable(0.0, trainable=False)
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
            self._sums = [_sum_over_replicas(()) for _ in range(_NUM_COUNTED)]
            self._gradients = [_sum_over_replicas(v.shape) for v in model.trainable_variables]

    def request_stop(self) -> None:
        """Lets the sums of the next step, on all machines, say that this one should stop."""
        self._stop.assign(1.0)

    # Without AutoGraph, which does not know every version of Python that TensorFlow runs on.
    @tf.function(reduce_retracing=True, autograph=False)
    def train_step(self, iterator: Iterator) -> StepSums:
        """Runs the batches of one step and updates the weights once.

        Where loss or gradient is not finite the weights stay as they are, so that one can see what
        it was. An optimizer that scales the loss sees such gradients, and scales less.
        """
        waited_seconds = self._run_batches(iterator, self._accumulate_gradients)
        sums, gradients = self.strategy.run(self._take_sums, args=(self._gradients,))
        step = StepSums._make((*self._first_replica(sums), waited_seconds))
        is_finite = tf.math.is_finite(step.loss)
        if not self.scales_loss:
            is_finite &= tf.math.is_finite(step.gradient_norm)

        def apply() -> bool:
            self.strategy.run(self._apply_gradients, args=(gradients, sums))
            return True

        tf.cond(is_finite, apply, lambda: False)
        return step

    @tf.function(reduce_retracing=True, autograph=False)
    def evaluation_step(self, iterator: Iterator) -> StepSums:
        """Runs the batches of one step and returns the same sums; the weights stay as they are."""
        waited_seconds = self._run_batches(iterator, self._accumulate_error)
        sums, _ = self.strategy.run(self._take_sums, args=([],))
        return StepSums._make((*self._first_replica(sums), waited_seconds))

    def _run_batches(self, iterator: Iterator, run_batch: Callable) -> tf.Tensor:
        """Runs batches until one ends the step, and returns the time spent waiting for them."""

        def run(waited_seconds: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            asked = tf.timestamp()
            with tf.control_dependencies([asked]):
                batch = next(iterator)
            pieces = [self.strategy.experimental_local_results(value) for value in batch.values()]
            with tf.control_dependencies(tf.nest.flatten(pieces)):
                waited_seconds += tf.timestamp() - asked
            self.strategy.run(run_batch, args=(batch,))
            return waited_seconds, self._first_replica(batch["ends_step"])

        waited_seconds, _ = tf.while_loop(
            lambda _, ends_step: ~ends_step,
            run,
            (tf.constant(0.0, tf.float64), tf.constant(False)),
            parallel_iterations=1,
        )
        return waited_seconds

    def _accumulate_gradients(self, batch: dict[str, tf.Tensor]) -> None:
        variables = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            error = self._scale * self._accumulate_error(batch, training=True)
        for total, gradient in zip(self._gradients, tape.gradient(error, variables), strict=True):
            total.assign_add(tf.cast(gradient, total.dtype))

    @property
    def scales_loss(self) -> bool:
        """Whether the optimizer wants the gradient of a larger loss, as for float16."""
        return isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)

    @property
    def _scale(self) -> float | tf.Tensor:
        return self.model.optimizer.dynamic_scale.value if self.scales_loss else 1.0

    def _accumulate_error(self, batch: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        counted = batch["weight"]
        lengths = tf.cast(batch["length"], counted.dtype)
        weight = counted * lengths if self.weighting == "timestep" else counted
        losses = losses_of(self.model, batch, training=training)
        error = tf.reduce_sum(weight * losses)
        counts = (tf.reduce_sum(value) for value in (weight, counted, counted * lengths))
        for total, value in zip(self._sums, (error, *counts), strict=True):
            total.assign_add(value)
        return error

    def _apply_gradients(self, gradients: Sequence[tf.Tensor], sums: Sequence[tf.Tensor]) -> None:
        # Keras adds up what the replicas give it, and each gives the whole.
        share = 1.0 / self.strategy.num_replicas_in_sync
        gradients = [gradient * (share / sums[_WEIGHT]) for gradient in gradients]
        if self.clip_norm is not None:
            scale = share * self._scale
            norm = sums[_GRADIENT_NORM] * scale
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm * scale, use_norm=norm)
        self.model.optimizer.apply(gradients, self.model.trainable_variables)

    def _take_sums(
        self, gradients: Sequence[tf.Variable]
    ) -> tuple[tuple[tf.Tensor, ...], list[tf.Tensor]]:
        """Returns the sums and `gradients` over all replicas, and sets them back to 0."""
        accumulators = [*self._sums, *gradients]
        *sums, stops = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM,
            [value.read_value() for value in (*accumulators, self._stop)],
        )
        for accumulator in accumulators:
            accumulator.assign(tf.zeros_like(accumulator))
        counted, totals = sums[:_NUM_COUNTED], sums[_NUM_COUNTED:]
        norm = tf.linalg.global_norm(totals) if totals else tf.zeros(())
        return (*counted, stops, norm / (sums[_WEIGHT] * self._scale)), totals

    def _first_replica(self, values: Any) -> Any:
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0], values
        )


def losses_of(
    model: keras.Model, batch: dict[str, tf.Tensor], *, training: bool = False
) -> tf.Tensor:
    """Returns what training minimises of each sequence of a batch, `(rows,)` float32.

    Args:
        model: a `SequenceAutoencoder`, or a model with such `sequence_losses`.
        batch: of `packed_steps`.
        training: whether to drop what is to be dropped in training.
    """
    packed = PackedSequences(batch["values"], batch["length"])
    return model.sequence_losses(packed, training=training)


def _sum_over_replicas(shape: Sequence[int]) -> tf.Variable:
    """Makes a variable of zeros that each replica adds to for itself."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )
