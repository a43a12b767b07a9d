"""Checks of the steps of an epoch: how many, in which order, of which shapes, on which replicas.

Each check takes `Facts`, and answers with a finding, with None where the trap is not there, or with
the reason why that cannot be told.
"""

from __future__ import annotations

import numpy as np

from padless.pipeline.diagnosis.findings import Answer, Finding, NotTold, share
from padless.pipeline.diagnosis.tf_dataset.facts import INFINITE, UNKNOWN, Facts
from padless.pipeline.diagnosis.tf_dataset.replicas import deal_rows, deal_timesteps
from padless.pipeline.wording import plural

_FEWEST_STEPS = 10
_FEWEST_SEQUENCES = 8
_STANDARD_ERRORS = 4
_MUCH_MORE = 1.5


def find_unknown_steps(facts: Facts) -> Answer:
    """Finds an epoch whose number of steps the dataset does not know."""
    if facts.cardinality == INFINITE:
        return Finding(
            "unknown_steps",
            "endless: repeat() without a count has no epochs",
            "fit() needs steps_per_epoch, and with a number that is not that of an epoch some "
            f"sequences come more often. One repetition has {facts.epoch.num_batches:,} batches.",
            "Leave repeat() out, or give the number:",
            (f"model.fit(dataset, steps_per_epoch={facts.epoch.num_batches})",)
            if facts.epoch.is_whole
            else (),
            {"batches": facts.epoch.num_batches},
        )
    if facts.cardinality != UNKNOWN:
        return None
    count = facts.epoch.num_batches
    found = f", it had {count:,}" if facts.epoch.is_whole else ""
    return Finding(
        "unknown_steps",
        f"steps per epoch are unknown: cardinality() cannot tell the number of batches{found}",
        "Keras cannot show how far its first epoch is, a schedule of the learning rate has no "
        "number of steps to go by, and a guessed steps_per_epoch ends epochs too early or too "
        "late.",
        "State it; `padless plan` knows it before anything is read:",
        (f"dataset.apply(tf.data.experimental.assert_cardinality({count}))",)
        if facts.epoch.is_whole
        else (),
        {"batches": count},
    )


def find_retracing(facts: Facts) -> Answer:
    """Finds batches of several shapes, for each of which a function may be traced."""
    shapes = len(facts.epoch.shapes)
    if shapes <= 1:
        return None
    cost = f"A tf.function that is called with batches is traced for each of them: {shapes} traces"
    if facts.trace_seconds is not None:
        cost += (
            f" x {facts.trace_seconds:.2f} s = {shapes * facts.trace_seconds:.1f} s (measured here "
            "for a training step of one LSTM layer)"
        )
    return Finding(
        "retracing",
        f"retracing: the batches of an epoch have {shapes} shapes",
        f"{cost}. XLA (jit_compile=True) compiles each of them. Keras' fit without XLA traces "
        "once.",
        "Trace once for all shapes:",
        ("@tf.function(input_signature=[dataset.element_spec])",),
        {"shapes": shapes, "trace_seconds": facts.trace_seconds or 0.0},
        is_trap=False,
    )


def find_same_order(facts: Facts) -> Answer:
    """Finds epochs that are all in the same order."""
    second = facts.second
    if second is None:
        return NotTold("no second epoch was begun, as a cache in files would be spoiled")
    if second.is_empty:
        return _find_no_second(facts)
    compared = facts.epoch.rows[: second.num_batches].sum()
    if compared < _FEWEST_SEQUENCES:
        return NotTold(f"an order shows only from {_FEWEST_SEQUENCES} sequences on")
    if not second.is_same and not second.has_same_batches:
        return None
    if second.is_same:
        what = "no shuffling: two epochs begin with the same batches"
        cost = (
            f"The first {plural(second.num_batches, 'batch')} of both are equal, so the steps come "
            "in one order, and each sequence always has the same batch-mates."
        )
    else:
        what = "only batches are shuffled: they hold the same sequences in each epoch"
        cost = "Each sequence always has the same batch-mates; only the order of steps changes."
    count = facts.sequences.num_sequences if facts.sequences else facts.epoch.num_rows
    return Finding(
        "same_order",
        what,
        cost,
        "Right for evaluation. For training, shuffle sequences before they are batched, and after "
        "any cache():",
        (f"dataset.shuffle({count})  # before the batches; all {plural(count, 'sequence')}",),
        {"batches_compared": second.num_batches},
    )


def _find_no_second(facts: Facts) -> Finding:
    return Finding(
        "no_second_epoch",
        "a second epoch is empty: the data can be read once only",
        f"All epochs after the first have 0 of {plural(facts.epoch.num_rows, 'sequence')}; "
        "Keras warns that the input ran out of data, and stops.",
        "Make the generator anew for each epoch: from_generator takes a function that returns "
        "one, not one that continues where it was.",
    )


def find_small_shuffle(facts: Facts) -> Answer:
    """Finds a shuffle buffer that holds fewer sequences than there are."""
    stages = [stage for stage in facts.shuffles if not stage.has_batches]
    if not stages:
        return None
    if any(stage.buffer_size is None for stage in stages):
        return None
    known = [stage for stage in stages if stage.num_elements]
    if not known:
        return NotTold("how many elements come to the shuffle buffer is not known")
    best = max(known, key=lambda stage: (stage.buffer_size or 0) / (stage.num_elements or 1))
    size, count = best.buffer_size or 0, best.num_elements or 1
    if size >= count:
        return None
    return Finding(
        "small_shuffle",
        f"a small shuffle buffer: it holds {size:,} of {count:,} sequences ({share(size, count)})",
        f"A sequence comes at most {size:,} places before its own. If the files are sorted by "
        "label, length or time, the steps of an epoch are nearly so too.",
        "Let it hold all of them; serialized records take less memory than parsed ones:",
        (f"dataset.shuffle({count})",),
        {"buffer": size, "sequences": count},
        is_trap=size * 2 < count,
    )


def find_drift(facts: Facts) -> Answer:
    """Finds an epoch that ends with other lengths than it begins with."""
    if facts.epoch.num_batches < _FEWEST_STEPS:
        return NotTold(f"a drift of lengths shows only from {_FEWEST_STEPS} steps on")
    if not facts.epoch.is_whole:
        return NotTold("the epoch was not read to its end")
    values = facts.epoch.timesteps.astype(float)
    cut = round(0.8 * len(values))
    before, after = values[:cut].mean(), values[cut:].mean()
    # Of the difference of two means, if the order of the batches were random.
    error = values.std(ddof=1) * np.sqrt(1 / cut + 1 / (len(values) - cut))
    if not error or abs(after - before) < _STANDARD_ERRORS * error:
        return None
    kind = "long" if after > before else "short"
    return Finding(
        "drift",
        f"an epoch ends with the {kind} sequences: its last fifth has batches of "
        f"{after:.0f} timesteps, the others of {before:.0f}",
        "The last updates of each epoch are made for one kind of sequence, and the metrics of an "
        "epoch hang on them. bucket_by_sequence_length empties its buckets at the end, by length.",
        "Shuffle the batches too; padless mixes the lengths of all steps (docs/order.md):",
        (f"dataset.shuffle({facts.epoch.num_batches})  # after the batches",),
        {"before": float(before), "after": float(after)},
    )


def find_unequal_replicas(facts: Facts) -> Answer:
    """Finds steps whose replicas are given different numbers of sequences."""
    if facts.replicas == 1:
        return NotTold("for how many replicas is not given (--replicas N)")
    dealt = deal_rows(facts.epoch.rows, facts.replicas)
    is_unequal = dealt.max(1) != dealt.min(1)
    if not is_unequal.any():
        return None
    is_empty = dealt.min(1) == 0
    worst = dealt[is_unequal][_weights(dealt[is_unequal]).argmax()]
    idle = 1 - dealt.sum() / (dealt.max(1).sum() * facts.replicas)
    empty = _describe_empty(facts, int(is_empty.sum()))
    return Finding(
        "unequal_replicas",
        f"unequal replicas: {is_unequal.sum():,} of {plural(len(dealt), 'step')} give "
        f"{facts.replicas} replicas different numbers of sequences",
        f"A batch of {worst.sum():,} is cut into {' + '.join(map(str, worst))}. Keras averages the "
        f"means of replicas, so a sequence there weighs up to {_weights(dealt).max():.1f} times "
        f"another of its batch. {empty}{share(idle, 1)} of the replicas' places "
        f"are empty.{_describe_timesteps(facts)}",
        "Sum errors and weights over all replicas, then divide, as `padless train --replicas "
        f"{facts.replicas}` does; or make each batch a multiple of {facts.replicas}.",
        numbers={
            "replicas": facts.replicas,
            "steps": int(is_unequal.sum()),
            "steps_with_an_empty_replica": int(is_empty.sum()),
            "weight": float(_weights(dealt).max()),
            "idle": float(idle),
        },
        is_trap=bool(is_empty.any()) or float(_weights(dealt).max()) >= _MUCH_MORE,
    )


def _weights(dealt: np.ndarray) -> np.ndarray:
    """Computes how much more a sequence of the smallest piece weighs, empty pieces left out."""
    least = np.where(dealt > 0, dealt, np.iinfo(np.int64).max).min(1)
    return np.asarray(dealt.max(1) / np.maximum(np.minimum(least, dealt.max(1)), 1))


def _describe_empty(facts: Facts, steps: int) -> str:
    if not steps:
        return ""
    then = "whose loss is NaN (0 / 0)"
    if facts.is_ragged:
        then = "where ragged tensors end the epoch with a ValueError"
    return (
        f"{plural(steps, 'step')} {'leaves' if steps == 1 else 'leave'} a replica empty, {then}. "
    )


def _describe_timesteps(facts: Facts) -> str:
    if facts.lengths is None:
        return ""
    dealt = deal_timesteps(facts.lengths, facts.replicas)
    dealt = dealt[dealt.min(1) > 0]
    if not len(dealt):
        return ""
    ratio = (dealt.max(1) / dealt.min(1)).max()
    return f" In real timesteps, one has up to {ratio:.1f} times those of another."


def find_not_deterministic(facts: Facts) -> Answer:
    """Finds a dataset that may give its elements in any order."""
    if facts.is_deterministic is not False:
        return None
    return Finding(
        "not_deterministic",
        "not deterministic: options.deterministic is False",
        "A seed does not fix the order, and a run cannot be repeated or resumed exactly.",
        "Leave the option out where runs must be repeatable; it costs little where sequences are "
        "small.",
        is_trap=False,
    )
