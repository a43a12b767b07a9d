"""How a model is trained: the options, checked where they enter.

This file imports neither TensorFlow nor Keras, as the command line reads defaults and choices here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from padless.model.network.architecture import PRECISIONS
from padless.pipeline.planning.budget import Budget
from padless.pipeline.planning.make_plan import plan_epoch
from padless.pipeline.planning.plan import DEFAULT_GROUP_SIZE, BatchPlan
from padless.pipeline.wording import list_names

WEIGHTINGS = ("sequence", "timestep")
SCHEDULES = ("constant", "cosine", "one_cycle")
# What may be another when a run is resumed: none of it changes what a step computes.
FREE_TO_CHANGE = (
    "epochs",
    "replicas",
    "patience",
    "checkpoint_steps",
    "checkpoint_minutes",
)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How a model is trained.

    Attributes:
        epochs: maximum number of epochs; `train` chooses it from the number of steps if None.
        batch_size: mean number of sequences per step, up to those of a group more. If neither is
            given, `train` chooses it from the number of sequences.
        batch_timesteps: mean number of timesteps per step, instead.
        group_size: maximum number of sequences of one length that come into a step together, so
            that it has many lengths; 8, or `batch_size` if that is less, if None.
        replicas: GPUs or logical CPU devices; all GPUs, or 1 without GPUs, if None.
        learning_rate: of Adam; the highest that the schedule reaches.
        schedule: `"constant"`, `"cosine"` (falls to 0 along half a cosine over all epochs) or
            `"one_cycle"` (rises over the first three tenths, then falls so).
        clip_norm: maximum global norm of a step's gradient, or None.
        weighting: what weighs the same in the loss, each `"sequence"` or each `"timestep"`.
        precision: of the model's arithmetic, one of Keras' dtype policies; weights, loss and
            outputs are float32 in each.
        patience: epochs without a better loss on validation after which training stops, or None.
        seed: of the initial weights and of the order.
        checkpoint_steps: steps after which a checkpoint is due, or None.
        checkpoint_minutes: minutes after which one is due, or None. A run ends with one anyway.

    Raises:
        ValueError: if an option is out of its range.
    """

    epochs: int | None = None
    batch_size: int | None = None
    batch_timesteps: int | None = None
    group_size: int | None = None
    replicas: int | None = None
    learning_rate: float = 5e-3
    schedule: str = "one_cycle"
    clip_norm: float | None = 1.0
    weighting: str = "sequence"
    precision: str = "float32"
    patience: int | None = None
    seed: int = 0
    checkpoint_steps: int | None = None
    checkpoint_minutes: float | None = 10.0

    def __post_init__(self) -> None:
        Budget.of(self.batch_size, self.batch_timesteps)
        for name in ("epochs", "replicas", "patience", "checkpoint_steps", "group_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        for name in ("learning_rate", "clip_norm", "checkpoint_minutes"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"`{name}` must be above 0 and finite, got {value}.")
        choices = {"weighting": WEIGHTINGS, "schedule": SCHEDULES, "precision": PRECISIONS}
        for name, allowed in choices.items():
            if (value := getattr(self, name)) not in allowed:
                raise ValueError(f"`{name}` must be one of {list_names(allowed)}, got {value!r}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` must be at least 0 and below 2**32, got {self.seed}.")

    @property
    def num_epochs(self) -> int:
        """Maximum number of epochs; raises ValueError where they have not been chosen."""
        if self.epochs is None:
            raise ValueError("`epochs` must be at least 1 before training starts, got None.")
        return self.epochs

    @property
    def budget(self) -> Budget:
        """How much work a step may hold."""
        return Budget.of(self.batch_size, self.batch_timesteps)

    def plan(self, lengths: Mapping[int, int], replicas: int) -> BatchPlan:
        """Plans the packed steps of a split; raises what `plan_batches` does."""
        group_size = self.group_size
        if group_size is None:
            group_size = min(DEFAULT_GROUP_SIZE, self.budget.batch_size or DEFAULT_GROUP_SIZE)
        return plan_epoch(lengths, budget=self.budget, replicas=replicas, group_size=group_size)
