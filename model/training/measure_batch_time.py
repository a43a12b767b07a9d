"""Measures what batches cost on the machine at hand: what a plan that may pad decides by."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from padless.model.training.step import Trainer
from padless.model.training.warm_up import weightless_steps
from padless.pipeline.batching.untuned import iterate_untuned
from padless.pipeline.planning.batch_time import BatchCost
from padless.pipeline.planning.budget import Budget

_BATCHES_PER_STEP = 4
_REPEATS = 5


def measure_batch_cost(
    trainer: Trainer, num_features: int, lengths: tuple[int, int, int], budget: Budget
) -> BatchCost:
    """Times batches of few and many sequences, short and long, and fits the cost to them.

    The batches have no weight: they are computed, gradients too, and change nothing but what is
    random.

    Args:
        trainer: of a model like the one to train, under its strategy.
        num_features: features per timestep.
        lengths: a short, a middle and a long length, in timesteps.
        budget: of a batch.
    """
    replicas = trainer.strategy.num_replicas_in_sync
    shapes = _shapes(lengths, budget, replicas)
    steps = [[shape] * _BATCHES_PER_STEP for _ in range(_REPEATS + 1) for shape in shapes]

    def deal(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = replicas // context.num_input_pipelines
        return weightless_steps(steps, num_features, replicas=replicas, pieces=local)

    batches = iterate_untuned(trainer.strategy.distribute_datasets_from_function(deal))
    seconds = np.array([_seconds_of_step(trainer, batches) for _ in steps])
    # The first round traces the step and fills caches.
    best = seconds.reshape(_REPEATS + 1, len(shapes))[1:].min(axis=0) / _BATCHES_PER_STEP
    return fit_cost(np.array(shapes), best)


def fit_cost(shapes: np.ndarray, seconds: np.ndarray) -> BatchCost:
    """Fits a cost, none of whose parts is negative, to measured times by least relative squares.

    Args:
        shapes: sequences and timesteps of each batch, `(batches, 2)`.
        seconds: what each took, `(batches,)`.
    """
    sequences, timesteps = shapes.T
    columns = np.stack([np.ones(len(shapes)), timesteps, sequences * timesteps], 1)
    relative = columns / seconds[:, None]
    parts = range(columns.shape[1])
    chosen = itertools.chain(*(itertools.combinations(parts, n + 1) for n in parts))
    fits = [fit for fit in (_fit(relative, list(some)) for some in chosen) if (fit >= 0).all()]
    return BatchCost(*min(fits, key=lambda fit: np.square(relative @ fit - 1).sum()).tolist())


def _fit(columns: np.ndarray, some: list[int]) -> np.ndarray:
    fit = np.zeros(columns.shape[1])
    fit[some] = np.linalg.lstsq(columns[:, some], np.ones(len(columns)), rcond=None)[0]
    return fit


def _shapes(lengths: Sequence[int], budget: Budget, replicas: int) -> list[tuple[int, int]]:
    """Lists batches of one sequence, of a few and of a full batch, filled up to the replicas."""
    shapes = []
    for length in lengths:
        full = max(1, budget.max_sequences(length))
        for sequences in (1, round(full**0.5), full):
            shapes.append((sequences + -sequences % replicas, length))
    return list(dict.fromkeys(shapes))


def _seconds_of_step(trainer: Trainer, batches: Iterator) -> float:
    start = time.perf_counter()
    float(trainer.train_step(batches).weight)
    return time.perf_counter() - start
