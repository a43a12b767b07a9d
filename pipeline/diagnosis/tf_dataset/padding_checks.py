"""Checks of padding: what is computed for it, what a loss counts, what a mask loses.

Each check takes `Facts`, and answers with a finding, with None where the trap is not there, or with
the reason why that cannot be told.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from padless.pipeline.diagnosis.ends import Ends
from padless.pipeline.diagnosis.findings import Answer, Finding, NotTold, share
from padless.pipeline.diagnosis.tf_dataset.epoch import Masked
from padless.pipeline.diagnosis.tf_dataset.facts import Facts
from padless.pipeline.diagnosis.tf_dataset.sequences import Sequences
from padless.pipeline.wording import plural

_LENGTHS_NOT_TOLD = NotTold(
    "nothing tells which timesteps are real: no batch stage whose input can be read, and no "
    "component with lengths (name one by --length)"
)
_COME_PADDED = NotTold("sequences come padded, and no component holds their lengths")
_MAX_BOUNDARIES = 8
_CARRY_LENGTH = "dataset.map(lambda x: (x, tf.shape(x)[0]))  # before the batches: the length"
_MAKE_MASK = "mask = tf.sequence_mask(length, tf.shape(x)[1], tf.float32)"
# The default divides by all timesteps, those of weight 0 too.
_DIVIDE = 'loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")'


def find_padding(facts: Facts) -> Answer:
    """Finds timesteps that are computed and are not real."""
    if facts.real is None:
        return _LENGTHS_NOT_TOLD
    if not facts.padded:
        return _COME_PADDED if find_padded_before(facts) is not None else None
    ratio = facts.computed / facts.real
    longest = int(facts.epoch.timesteps.max())
    return Finding(
        "padding",
        f"padding: {ratio:.2f} timesteps are computed for each real one",
        f"An epoch computes {facts.computed:,} timesteps, {facts.real:,} of them real; "
        f"{share(facts.padded, facts.computed)} are padding. Batches are up to "
        f"{longest:,} timesteps long.",
        "Batches of equal length, or packed steps, compute no padding (docs/plan.md):",
        (
            "padless preprocess ... --output data    # any form, with TFRecords",
            "packed_steps(dataset, plan)             # or equal_length_batches",
        ),
        {"computed": facts.computed, "real": facts.real, "computed_per_real": ratio},
    )


def find_past_last_boundary(facts: Facts) -> Answer:
    """Finds sequences past the last boundary, which are padded to the longest of their batch."""
    stage, sequences = facts.batch_stage, facts.sequences
    if stage is None or not stage.boundaries or sequences is None:
        return None
    if not _buckets_by_length(stage.boundaries, sequences):
        return NotTold("the length that buckets go by is not that of the sequences")
    last = stage.boundaries[-1]
    past = [lengths for lengths in sequences.lengths if len(lengths) and lengths.min() >= last]
    if not past:
        return None
    lengths = np.concatenate(past)
    computed = sum(len(of_batch) * int(of_batch.max()) for of_batch in past)
    real = int(lengths.sum())
    if computed == real:
        return None
    suggested = _suggest_boundaries(lengths)
    return Finding(
        "past_last_boundary",
        f"silent padding past the last boundary: {plural(len(lengths), 'sequence')} of "
        f"{lengths.min():,} to {lengths.max():,} timesteps",
        f"bucket_by_sequence_length has no boundary above {last:,}. The "
        f"{share(len(lengths), sequences.num_sequences)} of the sequences that are longer share "
        f"one bucket: {computed:,} timesteps are computed there for {real:,} real ones "
        f"({computed / real:.2f} for each).",
        "Add boundaries; with no_padding=True, padding is an error instead:",
        (f"bucket_boundaries=[..., {last}, {', '.join(map(str, suggested))}], no_padding=True",)
        if len(suggested) < _MAX_BOUNDARIES
        else (f"bucket_boundaries=[..., {last}, {', '.join(map(str, suggested))}]",),
        {"sequences": len(lengths), "last_boundary": last, "computed": computed, "real": real},
    )


def _buckets_by_length(boundaries: tuple[int, ...], sequences: Sequences) -> bool:
    """Checks that sequences are in the buckets that their own lengths lead to."""
    pairs = zip(sequences.lengths, sequences.buckets.tolist(), strict=True)
    return sequences.has_lengths and all(
        (np.searchsorted(boundaries, lengths, side="right") == bucket).all()
        for lengths, bucket in pairs
    )


def _suggest_boundaries(lengths: np.ndarray) -> list[int]:
    """Suggests the boundaries after each distinct length, or a few where there are many."""
    after = np.unique(lengths) + 1
    if len(after) >= _MAX_BOUNDARIES:
        after = after[np.linspace(0, len(after) - 1, _MAX_BOUNDARIES).round().astype(int)]
    return after.tolist()


def find_padded_before(facts: Facts) -> Answer:
    """Finds what looks like padding that was there before the sequences were batched."""
    ends = facts.epoch.ends
    if facts.epoch.lengths is not None or (facts.real is not None and facts.padded):
        return None  # the lengths tell
    if ends is None or not _looks_padded(ends, facts):
        return None
    computed, real = facts.epoch.computed, facts.epoch.computed - ends.timesteps
    where = "begin" if ends.is_before else "end"
    value = _write(ends.value)
    return Finding(
        "padded_before",
        f"sequences that come padded: {ends.sequences:,} of {facts.epoch.num_rows:,} {where} with "
        f"timesteps that are all {value}",
        f"They look like padding: {ends.timesteps:,} of {computed:,} timesteps "
        f"({share(ends.timesteps, computed)}), {_ratio(computed, real)}. "
        "No component holds the lengths, so nothing tells for certain. "
        + _count_inside(ends, value),
        "Keep sequences at their own length, with the length beside them, before anything pads "
        "them (pad_sequences); padless never pads (docs/alignment.md):",
        ('{"sequence": values, "length": len(values)}  # one dict for each sequence',),
        {
            "computed": computed,
            "looks_real": real,
            "sequences": ends.sequences,
            "value": ends.value,
            "inside": ends.inside,
        },
    )


def _looks_padded(ends: Ends, facts: Facts) -> bool:
    """Checks that all sequences have one length, as padded ones have, which others rarely have."""
    return len(np.unique(facts.epoch.timesteps)) == 1 or ends.sequences * 2 > facts.epoch.num_rows


def _ratio(computed: int, real: int) -> str:
    if not real:
        return "which leaves none"
    return f"{computed / real:.2f} computed for each of the others"


def _count_inside(ends: Ends, value: str) -> str:
    if not ends.inside:
        return "No other timestep has that value."
    return (
        f"{plural(ends.inside, 'timestep')} inside {plural(ends.sequences_inside, 'sequence')} "
        f"{'is' if ends.inside == 1 else 'are'} {value} too: Masking({value}) would hide "
        f"{'it' if ends.inside == 1 else 'them'}."
    )


def find_counted_padding(facts: Facts) -> Answer:
    """Finds padded targets without weights, whose padding a loss counts."""
    target = _find_target(facts)
    if target is None:
        return None
    if facts.layout.weights is not None:
        return _check_weights(facts)
    padded, is_sure = facts.padded, True
    if not padded and facts.epoch.ends is not None and find_padded_before(facts) is not None:
        padded, is_sure = facts.epoch.ends.timesteps, False
    if not padded:
        return _LENGTHS_NOT_TOLD if facts.real is None else None
    computed = facts.epoch.computed
    return Finding(
        "counted_padding",
        f"the loss counts padding: {share(padded, computed)} of the targets' timesteps"
        + ("" if is_sure else " look like it"),
        "Elements are (input, target) without sample weights, and the target is padded like the "
        "input. Keras averages over all timesteps of a batch, unless a mask reaches the model's "
        f"output; RepeatVector discards the mask. {_weigh_shortest(facts)}".rstrip(),
        "Weigh timesteps by the length, or let no padding in (docs/alignment.md, "
        "`padless compare`):",
        (_CARRY_LENGTH, _MAKE_MASK, "(x, y, mask)  # what batches then hold", _DIVIDE),
        {"padded": padded, "computed": computed, "share": padded / computed},
    )


def _find_target(facts: Facts) -> object | None:
    """Returns the target of Keras' (input, target[, weights]), if it has timesteps of floats."""
    names = [component.name for component in facts.components]
    targets = [c for c in facts.components if c.name == "1"]
    has_input = any(name.partition(".")[0] == "0" for name in names)
    return targets[0] if has_input and targets and targets[0].rank >= 3 else None


def _check_weights(facts: Facts) -> Answer:
    if facts.epoch.weighted_padding is None:
        return NotTold("no component with lengths tells which sample weights should be 0")
    if not facts.epoch.weighted_padding:
        return None
    return Finding(
        "counted_padding",
        "the loss counts padding: sample weights are above 0 at padded timesteps",
        f"{share(facts.padded, facts.computed)} of the timesteps are padding.",
        "Make the weights from the length:",
        (_MAKE_MASK, _DIVIDE),
        {"padded": facts.padded, "computed": facts.computed},
    )


def _weigh_shortest(facts: Facts) -> str:
    """Says how little the sequence counts that is padded most."""
    if facts.lengths is None or not facts.padded:
        return ""
    worst = min(
        ((int(x.min()), int(x.max())) for x in facts.lengths if len(x) and x.max() > 0),
        key=lambda pair: pair[0] / pair[1],
    )
    return (
        f"In one batch, a sequence of {plural(worst[0], 'timestep')} is padded to {worst[1]:,}: "
        f"{share(worst[0], worst[1])} of its terms are real."
    )


def find_masked_values(facts: Facts) -> Answer:
    """Finds real timesteps that a mask made from values would hide."""
    if not facts.padded:
        return _COME_PADDED if find_padded_before(facts) is not None else None
    masked = _count_masked(facts)
    if masked is None:
        return NotTold("nothing tells real timesteps from padding one by one")
    if not masked.timesteps:
        return None
    value, is_one = _write(masked.value), masked.timesteps == 1
    return Finding(
        "masked_values",
        f"a mask from values would hide data: {plural(masked.timesteps, 'real timestep')} "
        f"{'is' if is_one else 'are'} {value}, the padding value",
        f"{'It is' if is_one else 'They are'} in {plural(masked.sequences, 'sequence')} of "
        f"{_count_looked_at(facts):,}. Masking({value}), Embedding(mask_zero=True) or "
        f"tf.not_equal(x, {value}) cannot tell {'it' if is_one else 'them'} from padding.",
        "Make masks from the length:",
        (_CARRY_LENGTH, _MAKE_MASK),
        dataclasses.asdict(masked),
    )


def _count_looked_at(facts: Facts) -> int:
    """Returns the sequences that `_count_masked` has seen, those that are dropped among them."""
    if facts.epoch.lengths is None and facts.sequences is not None:
        return facts.sequences.num_sequences
    return facts.epoch.num_rows


def _count_masked(facts: Facts) -> Masked | None:
    """Returns the real timesteps that are like padding, None where that is not told."""
    if facts.epoch.lengths is not None:
        return facts.epoch.masked
    sequences = facts.sequences
    if sequences is None or not sequences.has_lengths or not facts.agrees:
        return None
    return Masked(sequences.padding_value, sequences.masked, sequences.masked_sequences)


def _write(value: float) -> str:
    """Writes a number as Python does, whole ones with one decimal."""
    return f"{value:.1f}" if abs(value) <= 1e6 and value == int(value) else f"{value:g}"
