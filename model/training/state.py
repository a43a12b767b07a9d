"""The state of a run: all that decides how it continues, as arrays and one JSON object."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.pipeline.batching.order import StepOrder
from padless.pipeline.wording import list_names


@dataclasses.dataclass(slots=True)
class RunProgress:
    """How far a run has come.

    Attributes:
        epoch: epochs that are over.
        step: steps of the epoch under way. All of them: what is left of it is the validation.
        error: sum of weighted errors over these steps.
        weight: sum of weights over these steps.
        order: what `StepOrder` has added up of the lengths of these steps.
        seconds: wall time of all epochs.
        best_epoch: number of the best epoch, counted from 0; None before the first is over.
        best_logs: its metrics.
    """

    epoch: int = 0
    step: int = 0
    error: float = 0.0
    weight: float = 0.0
    order: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    best_epoch: int | None = None
    best_logs: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> RunProgress:
        """Reads what `dataclasses.asdict` returned.

        Raises:
            TypeError, ValueError: if it is anything else.
        """
        progress = cls(**content)
        kinds: dict[str, tuple[type, ...]] = {
            **dict.fromkeys(("epoch", "step"), (int,)),
            **dict.fromkeys(("error", "weight", "seconds"), (float, int)),
            **dict.fromkeys(("order", "best_logs"), (dict,)),
            "best_epoch": (int, type(None)),
        }
        for name, allowed in kinds.items():
            if type(value := getattr(progress, name)) not in allowed:
                kind = allowed[0].__name__
                raise ValueError(f"`{name}` must be of the type {kind}, got {value!r}.")
        for name, value in (progress.order | progress.best_logs).items():
            if type(value) not in (float, int):
                raise ValueError(f"`{name}` must be a number, got {value!r}.")
        if progress.order:
            StepOrder(**progress.order)
        if min(progress.epoch, progress.step, progress.best_epoch or 0) < 0:
            raise ValueError("`epoch`, `step` and `best_epoch` must not be negative.")
        return progress

    @property
    def loss(self) -> float:
        """Mean error over the steps of the epoch under way, each sequence with its weight."""
        return self.error / self.weight

    def add_length(self, mean_length: float, steps_per_epoch: int) -> None:
        """Adds the mean length of a step's sequences, in timesteps."""
        order = StepOrder(**self.order or {"steps_per_epoch": steps_per_epoch})
        order.add(mean_length)
        self.order = dataclasses.asdict(order)

    def start_epoch(self) -> None:
        """Ends the epoch under way."""
        self.epoch += 1
        self.step, self.error, self.weight, self.order = 0, 0.0, 0.0, {}


class RunState:
    """The weights, the optimizer, the random state, the best weights and the progress of a run.

    Which batches come next is no part of it: data, seed, epoch and step fix that.

    Args:
        model: built, compiled with an optimizer that is built.

    Attributes:
        progress: how far it has come.
    """

    def __init__(self, model: SequenceAutoencoder):
        self._model = model
        self._best: list[np.ndarray] = []
        self.progress = RunProgress()

    def remember_best(self, logs: Mapping[str, float]) -> None:
        """Keeps the weights as those of the best epoch, which is the current one."""
        self._best = _values(self._model.weights)
        self.progress.best_epoch, self.progress.best_logs = self.progress.epoch, dict(logs)

    def use_best(self) -> None:
        """Sets the weights of the model to those of the best epoch."""
        _assign(self._model.weights, self._best)

    def capture(self) -> tuple[dict[str, np.ndarray], dict]:
        """Copies the state: arrays by name, and what goes into JSON."""
        arrays = {
            f"{group}/{i:04}": value
            for group, values in {
                "model": _values(self._model.variables),
                "optimizer": _values(self._model.optimizer.variables),
                "best": self._best,
            }.items()
            for i, value in enumerate(values)
        }
        return arrays, dataclasses.asdict(self.progress)

    def restore(self, arrays: Mapping[str, np.ndarray], progress: Mapping) -> None:
        """Sets the state to a captured one.

        Raises:
            ValueError: if it is that of another model.
        """
        parsed = RunProgress.parse(progress)
        groups: dict[str, list[np.ndarray]] = {"model": [], "optimizer": [], "best": []}
        for name in sorted(arrays):
            if (group := name.partition("/")[0]) not in groups:
                raise ValueError(f"arrays must be of {list_names(sorted(groups))}, got {name!r}.")
            groups[group].append(arrays[name])
        _check_shapes(groups["model"], self._model.variables)
        _check_shapes(groups["optimizer"], self._model.optimizer.variables)
        _assign(self._model.variables, groups["model"])
        _assign(self._model.optimizer.variables, groups["optimizer"])
        self._best = groups["best"]
        self.progress = parsed


def _values(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable.value.numpy()) for variable in variables]


def _assign(variables: Iterable[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _check_shapes(values: list[np.ndarray], variables: Iterable[keras.Variable]) -> None:
    received, expected = [v.shape for v in values], [tuple(v.shape) for v in variables]
    if received != expected:
        raise ValueError(
            "A checkpoint must hold variables of the shapes that the model and its optimizer "
            f"have, {expected}, got {received}."
        )
