"""What the options leave open, chosen from the training split, and why.

The rules are those that did best on sets of 50 to 10,000 sequences; docs/quality.md has the
measurements. This file imports neither TensorFlow nor Keras, as `padless plan` uses it too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from padless.model.network.architecture import Architecture
from padless.model.run_directory.training_options import TrainingOptions

# Recurrent steps that a sequence of median length should take, and the longest patch.
_RECURRENT_STEPS = 32
_LONGEST_PATCH = 8
# Steps that an epoch should have, and the batch sizes that may be chosen for it.
_STEPS_PER_EPOCH = 16
_BATCH_SIZES = (16, 64)
# Updates that a run should have in all, and the numbers of epochs that may be chosen for it.
_UPDATES = 2000
_EPOCHS = (5, 60)


@dataclasses.dataclass(frozen=True, slots=True)
class Choices:
    """Options with nothing left open.

    Attributes:
        architecture: what to build, `patch_length` included.
        options: how to train, the budget of a step and `epochs` included.
        reasons: a sentence for each option that was chosen.
    """

    architecture: Architecture
    options: TrainingOptions
    reasons: tuple[str, ...]


def choose(
    architecture: Architecture,
    options: TrainingOptions,
    lengths: Mapping[int, int],
    *,
    masks_missing: bool = False,
) -> Choices:
    """Chooses what is left open for a training split.

    Args:
        architecture: what is asked for.
        options: likewise.
        lengths: length -> number of sequences of the training split.
        masks_missing: whether the dataset has missing values, so that the model must mask them.

    Raises:
        ValueError: if the alignment cannot mask missing values.

    Example:
        >>> chosen = choose(Architecture(), TrainingOptions(), {100: 200, 150: 100})
        >>> chosen.architecture.patch_length, chosen.options.batch_size, chosen.options.epochs
        (3, 16, 60)
    """
    reasons = []
    if masks_missing and not architecture.masks_missing:
        architecture = dataclasses.replace(architecture, masks_missing=True)
        reasons.append("the model is told which values are missing: the dataset masks them")
    if architecture.patch_length is None:
        median = _median(lengths)
        size = int(np.clip(median // _RECURRENT_STEPS, 1, _LONGEST_PATCH))
        architecture = dataclasses.replace(architecture, patch_length=size)
        count = "each timestep" if size == 1 else f"{size} timesteps"
        reasons.append(f"a recurrent step reads {count}: the median length is {median:,}")
    num_sequences = sum(lengths.values())
    if options.batch_size is None and options.batch_timesteps is None:
        options = choose_batch_size(options, lengths)
        reasons.append(f"{options.batch_size} sequences per step: there are {num_sequences:,}")
    if options.epochs is None:
        steps = _count_steps(options, lengths)
        epochs = int(np.clip(-(-_UPDATES // steps), *_EPOCHS))
        options = dataclasses.replace(options, epochs=epochs)
        reasons.append(f"{epochs:,} epochs: an epoch has {steps:,} steps")
    return Choices(architecture, options, tuple(reasons))


def choose_batch_size(options: TrainingOptions, lengths: Mapping[int, int]) -> TrainingOptions:
    """Returns the options with a batch size, chosen from the number of sequences if there is none.

    Args:
        options: what is asked for.
        lengths: as `choose` takes them.
    """
    if options.batch_size is not None or options.batch_timesteps is not None:
        return options
    wanted = max(sum(lengths.values()) // _STEPS_PER_EPOCH, 1)
    power = 2 ** (wanted.bit_length() - 1)
    return dataclasses.replace(options, batch_size=int(np.clip(power, *_BATCH_SIZES)))


def _count_steps(options: TrainingOptions, lengths: Mapping[int, int]) -> int:
    """Counts the steps of an epoch, as a plan does, which also checks the budget."""
    sizes, counts = np.array(list(lengths)), np.array(list(lengths.values()))
    return -(-int(options.budget.work(sizes) @ counts) // options.budget.limit)


def _median(lengths: Mapping[int, int]) -> int:
    """Returns the length that half of the sequences do not exceed."""
    sizes = np.array(sorted(lengths))
    counts = np.cumsum([lengths[size] for size in sizes.tolist()])
    return int(sizes[np.searchsorted(counts, counts[-1] / 2)])
