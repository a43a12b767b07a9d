"""Checks of what becomes of the sequences: lost, seen twice, empty, not finite, in small batches.

Each check takes `Facts`, and answers with a finding, with None where the trap is not there, or with
the reason why that cannot be told.
"""

from __future__ import annotations

import numpy as np

from padless.pipeline.diagnosis.findings import Answer, Finding, NotTold, share
from padless.pipeline.diagnosis.tf_dataset.facts import Facts
from padless.pipeline.diagnosis.tf_dataset.sequences import Sequences
from padless.pipeline.wording import plural

_NO_STAGE = NotTold("no batch stage whose input can be read")
_PARTIAL = NotTold("the epoch was not read to its end")


def find_lost(facts: Facts) -> Answer:
    """Finds sequences that `drop_remainder` loses."""
    sequences, stage = facts.sequences, facts.batch_stage
    if sequences is None or stage is None or stage.drops_remainder is None:
        return _NO_STAGE
    if not stage.drops_remainder:
        return None
    if not facts.epoch.is_whole:
        return _PARTIAL
    if not facts.agrees:
        return NotTold(
            "two readings of the sequences differ: a stage is random, or a later one drops some"
        )
    lost = sequences.num_dropped
    if not lost:
        return None
    batches = plural(int(sequences.is_dropped.sum()), "batch")
    return Finding(
        "lost_sequences",
        f"lost sequences: drop_remainder drops {lost:,} of {sequences.num_sequences:,} "
        f"({share(lost, sequences.num_sequences)}) in every epoch",
        f"{_describe_epochs(facts)} those of {batches} that would not be full."
        f"{_describe_lost(sequences)}",
        "Keep them, and weigh the loss by the sequences of a batch (sum of errors / sum of "
        "weights), so that small batches do no harm:",
        ("drop_remainder=False",),
        {"lost": lost, "sequences": sequences.num_sequences},
    )


def _describe_lost(sequences: Sequences) -> str:
    if not sequences.has_lengths:
        return ""
    lengths, kept = np.concatenate(sequences.dropped), np.concatenate([*sequences.kept, [0]])
    gone = len(np.setdiff1d(lengths, kept))
    text = f" They have {lengths.min():,} to {lengths.max():,} timesteps, {lengths.sum():,} in all."
    return f"{text} Nothing is left of {plural(gone, 'length')}." if gone else text


def _describe_epochs(facts: Facts) -> str:
    """Says whether epochs lose the same sequences, as far as that is told."""
    if facts.second is None or facts.second.is_empty:
        return "They are"
    is_fixed = facts.second.is_same or facts.second.has_same_batches
    return f"Each epoch loses {'the same' if is_fixed else 'other'} ones,"


def find_small_batches(facts: Facts) -> Answer:
    """Finds batches that are smaller than others, whose sequences then weigh more."""
    if not facts.epoch.is_whole:
        return _PARTIAL
    rows, full = facts.epoch.rows, _full_sizes(facts)
    is_small = rows < full
    if not is_small.any():
        return None
    weight = float((full / np.maximum(rows, 1))[is_small].max())
    smallest = int(rows[is_small].min())
    is_last = is_small.sum() == 1 and is_small[-1]
    of_full = full[is_small][rows[is_small].argmin()]
    which = "the last one has" if is_last else f"{is_small.sum():,} of {len(rows):,} have"
    return Finding(
        "small_batches",
        f"batches that are not full: {which} fewer sequences, "
        f"{'' if is_last else 'down to '}{smallest:,} of {of_full:,}",
        f"Where each step counts the mean of its batch, a sequence in there weighs up to "
        f"{weight:.1f} times one of a full batch.",
        "Sum the errors of a step and divide by the sum of its weights; padless does, over all "
        "replicas (docs/training.md).",
        numbers={
            "batches": int(is_small.sum()),
            "smallest": smallest,
            "weight": weight,
        },
        is_trap=weight >= 2,
    )


def _full_sizes(facts: Facts) -> np.ndarray:
    """Returns how many sequences each batch would have; without its stage, as the largest has.

    With the stage, the batches of the epoch are sorted like those that were formed of its input:
    both have the same ones, but not in the same order.
    """
    rows, sequences = facts.epoch.rows, facts.sequences
    if sequences is not None and facts.agrees:
        kept = ~sequences.is_dropped
        formed = np.array([len(lengths) for lengths in sequences.lengths])[kept]
        if sorted(formed) == sorted(rows):
            full = np.empty_like(rows)
            order = np.lexsort((sequences.full_sizes[kept], formed))
            full[np.argsort(rows, kind="stable")] = sequences.full_sizes[kept][order]
            return full
    only_last = rows.copy()
    only_last[-1:] = rows.max()
    return only_last


def find_repeated(facts: Facts) -> Answer:
    """Finds sequences that an epoch has twice."""
    sequences = facts.sequences
    if sequences is not None:
        repeated, total = sequences.repeated, sequences.num_sequences
    else:
        repeated, total = facts.epoch.repeated_rows, facts.epoch.num_rows
    if not repeated:
        return None
    return Finding(
        "repeated_sequences",
        f"sequences seen twice: {repeated:,} of {total:,} are equal to an earlier one of the same "
        "epoch",
        f"They weigh double, and {share(repeated, total)} of an epoch's work is for them; split "
        "into training and validation, they leak.",
        "If they are no copies in the data, look for a file listed twice, or a repeat() before the "
        "batches. `padless preprocess` rejects keys that come twice.",
        numbers={"repeated": repeated, "sequences": total},
    )


def find_empty(facts: Facts) -> Answer:
    """Finds sequences without timesteps."""
    lengths = facts.lengths
    if lengths is None:
        return NotTold("nothing tells the lengths")
    empty = sum(int((of_batch == 0).sum()) for of_batch in lengths)
    if not empty:
        return None
    total = sum(map(len, lengths))
    return Finding(
        "empty_sequences",
        f"empty sequences: {empty:,} of {total:,} have no timestep",
        "The mean over their timesteps is 0 / 0, NaN, which the weights then are too; padded, they "
        "are padding alone.",
        "Leave them out; `padless preprocess` rejects them, and counts:",
        ("dataset.filter(lambda x: tf.shape(x)[0] > 0)  # before the batches",),
        {"empty": empty, "sequences": total},
    )


def find_not_finite(facts: Facts) -> Answer:
    """Finds sequences with NaN or infinite values."""
    sequences = facts.sequences
    if sequences is None or not sequences.has_lengths:
        return NotTold("no batch stage shows the sequences")
    if not sequences.not_finite:
        return None
    batches = facts.epoch.num_batches
    hit = f"at most {min(sequences.not_finite, batches):,} of {plural(batches, 'batch')}"
    return Finding(
        "not_finite",
        f"values that are no numbers: {sequences.not_finite:,} of {sequences.num_sequences:,} "
        "sequences hold NaN or infinity",
        f"The loss of each batch with one of them is NaN ({hit}), and from then on "
        "all weights are.",
        "Fill or reject them: `padless preprocess --missing` has rules, and counts.",
        numbers={"not_finite": sequences.not_finite, "sequences": sequences.num_sequences},
    )


def find_ignored_errors(facts: Facts) -> Answer:
    """Finds a stage that drops what cannot be read without a word."""
    if not facts.ignores_errors:
        return None
    return Finding(
        "ignored_errors",
        "errors are ignored: ignore_errors() drops each element that cannot be read",
        f"How many, nothing counts; {plural(facts.epoch.num_rows, 'sequence')} came through.",
        "Let errors end the epoch, or count them: ignore_errors(log_warning=True). `padless "
        "preprocess` writes each reject with its reason.",
    )


def find_not_batched(facts: Facts) -> Answer:
    """Finds a dataset of single sequences."""
    if facts.layout.is_batched:
        return None
    return Finding(
        "not_batched",
        f"no batches: an element is one sequence, {plural(facts.epoch.num_rows, 'step')} per epoch",
        "Keras takes the timesteps for the batch, or each step learns from one sequence.",
        "Make batches:",
        ("dataset.ragged_batch(32)          # padded_batch pads",),
        {"sequences": facts.epoch.num_rows},
    )
