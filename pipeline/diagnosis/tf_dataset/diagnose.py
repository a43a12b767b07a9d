"""Looks at a `tf.data.Dataset` that padless did not make, and finds its traps.

1. read what the dataset tells of itself: components, stages, cardinality (`stages`, `components`);
2. iterate an epoch as it is (`epoch`);
3. iterate what the stage of batches takes, and form the same batches of it (`sequences`);
4. begin a second epoch (`second_epoch`);
5. ask the checks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from padless.pipeline.diagnosis.findings import Answer
from padless.pipeline.diagnosis.report import DEFAULT_REPLICAS, Diagnosis, make_diagnosis
from padless.pipeline.diagnosis.tf_dataset import padding_checks, sequence_checks, step_checks
from padless.pipeline.diagnosis.tf_dataset.components import (
    Component,
    find_length,
    find_sequence,
    list_components,
)
from padless.pipeline.diagnosis.tf_dataset.epoch import Epoch, Layout, read_epoch
from padless.pipeline.diagnosis.tf_dataset.facts import INFINITE, Facts
from padless.pipeline.diagnosis.tf_dataset.second_epoch import compare_epochs
from padless.pipeline.diagnosis.tf_dataset.sequences import Sequences, read_sequences
from padless.pipeline.diagnosis.tf_dataset.stages import (
    BatchStage,
    caches_in_files,
    find_batch_stage,
    has_stage,
    list_shuffles,
    name_stages,
    strip_repeat,
)
from padless.pipeline.diagnosis.tf_dataset.trace_time import measure_trace_seconds
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.wording import plural

CHECKS: dict[str, Callable[[Facts], Answer]] = {
    "not_batched": sequence_checks.find_not_batched,
    "padding": padding_checks.find_padding,
    "past_last_boundary": padding_checks.find_past_last_boundary,
    "padded_before": padding_checks.find_padded_before,
    "counted_padding": padding_checks.find_counted_padding,
    "masked_values": padding_checks.find_masked_values,
    "lost_sequences": sequence_checks.find_lost,
    "ignored_errors": sequence_checks.find_ignored_errors,
    "repeated_sequences": sequence_checks.find_repeated,
    "empty_sequences": sequence_checks.find_empty,
    "not_finite": sequence_checks.find_not_finite,
    "small_batches": sequence_checks.find_small_batches,
    "unequal_replicas": step_checks.find_unequal_replicas,
    "same_order": step_checks.find_same_order,
    "small_shuffle": step_checks.find_small_shuffle,
    "drift": step_checks.find_drift,
    "unknown_steps": step_checks.find_unknown_steps,
    "retracing": step_checks.find_retracing,
    "not_deterministic": step_checks.find_not_deterministic,
}


def diagnose_dataset(
    dataset: Any,
    *,
    sequence: str | None = None,
    length: str | None = None,
    replicas: int = DEFAULT_REPLICAS,
    max_batches: int | None = None,
    progress: ShowProgress = ignore_progress,
) -> Diagnosis:
    """Finds the traps of an input pipeline, and counts what each costs in its data.

    The dataset is iterated for an epoch, what its stage of batches takes is iterated once more, and
    a second epoch is begun. What cannot be told is not claimed: see `Diagnosis.not_told`.

    Args:
        dataset: a `tf.data.Dataset` of batches, as a model is given them; not yet distributed.
        sequence: name of the component with the timesteps, such as `"0"` or `"values"`; by default
            the first one of floats that has timesteps.
        length: name of the component with the number of timesteps of each sequence; by default one
            whose name says so, such as `"length"`.
        replicas: for how many the batches would be cut.
        max_batches: how many batches are read at most; by default a whole epoch.
        progress: called with how much is read.

    Returns:
        What was found; `print` shows it.

    Raises:
        ValueError: if the dataset is none, is empty, is endless, or raises an error; if no
            component can be told to be the sequence; or if an argument is out of its range.

    Example:
        >>> dataset = tf.data.Dataset.range(1, 5).map(tf.range).padded_batch(2)
        >>> print(diagnose_dataset(dataset).findings[0].what)
        padding: 1.20 timesteps are computed for each real one
    """
    started = time.monotonic()
    _check_arguments(dataset, replicas, max_batches)
    facts = _read_facts(
        dataset, sequence, length, replicas=replicas, max_batches=max_batches, progress=progress
    )
    answers = {name: check(facts) for name, check in CHECKS.items()}
    return make_diagnosis(
        _describe(facts),
        answers,
        numbers=_list_numbers(facts),
        seconds=time.monotonic() - started,
    )


def _check_arguments(dataset: Any, replicas: int, max_batches: int | None) -> None:
    if not isinstance(dataset, tf.data.Dataset):
        raise ValueError(f"`dataset` must be a tf.data.Dataset, got a {type(dataset).__name__}.")
    for name, value in {"replicas": replicas, "max_batches": max_batches}.items():
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be at least 1, got {value}.")
    if max_batches is not None and caches_in_files(dataset):
        raise ValueError(
            "`max_batches` must not be given where the dataset has a cache in files, which would "
            f"hold a part of an epoch only, got {max_batches}."
        )


def _read_facts(
    dataset: Any,
    sequence: str | None,
    length: str | None,
    *,
    replicas: int,
    max_batches: int | None,
    progress: ShowProgress,
) -> Facts:
    cardinality = int(dataset.cardinality().numpy())
    one_epoch = _find_epoch(dataset, cardinality, max_batches)
    stage = find_batch_stage(one_epoch)
    components = list_components(dataset.element_spec)
    layout = _find_layout(components, stage, sequence, length)
    limits: dict[str, Any] = {"max_batches": max_batches, "progress": progress}
    epoch = read_epoch(one_epoch, layout, **limits)
    sequences = _read_sequences(stage, sequence, **limits) if layout.is_batched else None
    if epoch is None:
        raise ValueError(_explain_empty(sequences))
    count = sequences.num_sequences if sequences is not None else None
    if not layout.is_batched:
        count = epoch.num_rows
    shuffles = list_shuffles(one_epoch, stage, count if max_batches is None else None)
    second = None
    if not caches_in_files(dataset):
        shuffled = stage if any(shuffle.has_batches for shuffle in shuffles) else None
        second = compare_epochs(one_epoch, epoch.first, shuffled)
    return Facts(
        components=tuple(components),
        layout=layout,
        stages=tuple(name_stages(dataset)),
        cardinality=cardinality,
        epoch=epoch,
        batch_stage=stage,
        sequences=sequences,
        shuffles=tuple(shuffles),
        second=second,
        replicas=replicas,
        trace_seconds=_measure_trace(layout.sequence, epoch),
        is_deterministic=dataset.options().deterministic,
        ignores_errors=has_stage(dataset, "IgnoreErrors"),
    )


def _explain_empty(sequences: Sequences | None) -> str:
    text = "The dataset must have a batch, it is empty"
    if sequences is not None and sequences.num_dropped:
        text += f": drop_remainder drops all of its {plural(sequences.num_dropped, 'sequence')}"
    return f"{text}."


def _find_epoch(dataset: Any, cardinality: int, max_batches: int | None) -> Any:
    """Returns the dataset of one epoch, of an endless one its repetition."""
    if cardinality != INFINITE or max_batches is not None:
        return dataset
    one_epoch = strip_repeat(dataset)
    if one_epoch is None or int(one_epoch.cardinality().numpy()) == INFINITE:
        raise ValueError(
            "The dataset must have an end, its cardinality is infinite and repeat() is not its "
            "last stage: give `max_batches`, or leave repeat() out."
        )
    return one_epoch


def _find_layout(
    components: list[Component], stage: BatchStage | None, sequence: str | None, length: str | None
) -> Layout:
    """Finds where the parts of an element are.

    Raises:
        ValueError: if nothing tells which component is the sequence.
    """
    is_batched = stage is not None or _look_batched(components, sequence)
    found = find_sequence(components, is_batched=is_batched, name=sequence)
    if found is None and stage is not None:
        found = _find_padded(components, stage)
    if found is None:
        listed = "; ".join(map(str, components))
        raise ValueError(
            "`sequence` must name the component with the timesteps, as none has a dimension of "
            f"timesteps that can be told, (sequences, timesteps, features) or a size that varies: "
            f"{listed}."
        )
    weights = _find_weights(components) if is_batched else None
    return Layout(found, find_length(components, length), weights, is_batched, stage is not None)


def _look_batched(components: list[Component], sequence: str | None) -> bool:
    """Checks whether components are those of a batch, where no stage of batches can be read."""
    asked = [c for c in components if sequence is None or c.name == sequence]
    return find_sequence(asked, is_batched=True) is not None


def _find_padded(components: list[Component], stage: BatchStage) -> Component | None:
    """Finds the component that a stage of batches pads to a fixed size, or the only one."""
    before = find_sequence(list_components(stage.source.element_spec), is_batched=False)
    names = [] if before is None else [before.name]
    is_only = len(components) == 1
    found = [c for c in components if (is_only or c.name in names) and c.rank >= 2]
    return next((c for c in found if c.dtype.is_floating or c.dtype.is_integer), None)


def _find_weights(components: list[Component]) -> Component | None:
    """Finds the weight of each timestep in Keras' (input, target, weights)."""
    if {c.name.partition(".")[0] for c in components} != {"0", "1", "2"}:
        return None
    return next((c for c in components if c.name == "2" and c.rank >= 2), None)


def _read_sequences(
    stage: BatchStage | None,
    sequence: str | None,
    *,
    max_batches: int | None,
    progress: ShowProgress,
) -> Sequences | None:
    """Reads what the stage of batches takes, None where there is none."""
    if stage is None:
        return None
    components = list_components(stage.source.element_spec)
    name = sequence if any(c.name == sequence for c in components) else None
    found = find_sequence(components, is_batched=False, name=name)
    return read_sequences(stage, found, max_batches=max_batches, progress=progress)


def _measure_trace(sequence: Component, epoch: Epoch) -> float | None:
    """Measures a trace, where there are several shapes of sequences of floats."""
    last = None if sequence.shape is None or sequence.rank < 3 else sequence.shape[-1]
    return measure_trace_seconds(last) if last and len(epoch.shapes) > 1 else None


def _describe(facts: Facts) -> list[str]:
    epoch = facts.epoch
    part = "" if epoch.is_whole else " (a part of an epoch: its end was not read)"
    longest, shortest = int(epoch.timesteps.max()), int(epoch.timesteps.min())
    timesteps = f"{shortest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    read = (
        f"{plural(epoch.num_batches, 'batch')} of {timesteps} timesteps, "
        f"{plural(epoch.num_rows, 'sequence')}{part}, read in {epoch.seconds:.1f} s"
    )
    return [
        f"stages: {', '.join(facts.stages)}",
        f"components: {'; '.join(map(str, facts.components))}",
        read,
    ]


def _list_numbers(facts: Facts) -> dict[str, float | None]:
    sequences = facts.sequences
    return {
        "batches": facts.epoch.num_batches,
        "sequences": facts.epoch.num_rows,
        "sequences_before_batches": None if sequences is None else sequences.num_sequences,
        "timesteps_computed": facts.computed,
        "timesteps_real": facts.real,
        "is_whole_epoch": facts.epoch.is_whole,
        "read_seconds": facts.epoch.seconds,
    }
