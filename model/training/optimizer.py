"""The optimizer that a run asks for: Adam, and its learning rate over the run."""

from __future__ import annotations

import keras

from padless.model.run_directory.training_options import TrainingOptions

# One cycle: where it starts, relative to the highest rate, and the share of steps that rise. From
# Smith and Topin, "Super-Convergence", 2017, in the shape that fastai and PyTorch have made common.
_FIRST_RATE = 1 / 25
_RISING = 0.3


def make_optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run.

    A model in `mixed_float16` puts a `LossScaleOptimizer` around it when it is compiled.

    Args:
        options: `learning_rate` and `schedule` are read.
        steps: number of steps of all epochs.
    """
    return keras.optimizers.Adam(_schedule(options.schedule, options.learning_rate, steps))


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
