"""The optimizer that a run asks for: Adam, its learning rate over the run, its loss scale."""

from __future__ import annotations

import keras

from padless.model.options import TrainingOptions

# One cycle: where it starts, relative to the highest rate, and the share of steps that rise. From
# Smith and Topin, "Super-Convergence", 2017, in the shape that fastai and PyTorch have made common.
_FIRST_RATE = 1 / 25
_RISING = 0.3


def make_optimizer(options: TrainingOptions, steps: int) -> keras.optimizers.Optimizer:
    """Makes the optimizer of a run.

    Args:
        options: `learning_rate`, `schedule` and `precision` are read.
        steps: number of steps of all epochs.

    Returns:
        Adam; behind a loss scale where gradients are float16, as small ones would be 0 there.
    """
    adam = keras.optimizers.Adam(_schedule(options.schedule, options.learning_rate, steps))
    if options.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def _schedule(name: str, rate: float, steps: int):
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
