"""The optimizer that a run asks for: Adam, and its learning rate over the run."""

from __future__ import annotations

import keras
import tensorflow as tf

from padless.model.run_directory.training_options import TrainingOptions

# One cycle: where it starts, relative to the highest rate, and the share of steps that rise. From
# Smith and Topin, "Super-Convergence", 2017, in the shape that fastai and PyTorch have made common.
_FIRST_RATE = 1 / 25
_RISING = 0.3


@keras.saving.register_keras_serializable(package="padless")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, of which each variable is updated by one operation.

    Keras takes a dozen, which a GPU spends more time to begin than to compute. The variables of
    this optimizer and its results, to rounding, are Keras'; there is no `amsgrad`.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates a variable; Keras calls this from `apply`."""
        number, dtype = self._get_variable_index(variable), variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def make_optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run.

    A model in `mixed_float16` puts a `LossScaleOptimizer` around it when it is compiled.

    Args:
        options: `learning_rate` and `schedule` are read.
        steps: number of steps of all epochs.
    """
    return FusedAdam(_schedule(options.schedule, options.learning_rate, steps))


def _schedule(
    name: str, rate: float, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if name == "constant":
        return rate
    if name == "cosine":
        return keras.optimizers.schedules.CosineDecay(rate, decay_steps=steps)
    rising = max(1, round(_RISING * steps))
    return keras.optimizers.schedules.CosineDecay(
        _FIRST_RATE * rate,
        decay_steps=max(1, steps - rising),
        warmup_target=rate,
        warmup_steps=rising,
    )
