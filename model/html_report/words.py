"""Why a sequence is anomalous, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from padless.model.explanation.explain import Explanation
from padless.model.explanation.replacement import Replacement
from padless.model.explanation.score_parts import LevelShare, ScoreParts
from padless.pipeline.dataset.directory import SequenceDataset

# A part of the score of at least this share is named.
_NAMED_SHARE = 0.25
PART_NAMES = {
    "shape": "shape",
    "level": "level",
    "error": "error",
    "unexplained": "unexplained share",
}


def explain_in_words(explanation: Explanation, dataset: SequenceDataset) -> list[str]:
    """Returns a few sentences: which part of the score, which feature, which timesteps."""
    analysis = explanation.sequence.analysis
    shares = analysis.parts.shares()
    named = [part for part, share in shares.items() if share >= _NAMED_SHARE]
    if math.isnan(next(iter(shares.values()))):
        return ["Its score is not a finite number: look at its values."]
    sentences = [_explain_part(part, analysis.parts, analysis.level, dataset) for part in named]
    if explanation.is_compared:
        sentences.append(_explain_replacement(explanation, dataset))
    if faults := _name_spans(explanation, dataset):
        sentences.append(f"Its reconstruction misses most in {faults} (shaded).")
    return sentences


def _explain_part(
    part: str, parts: ScoreParts, level: Sequence[LevelShare], dataset: SequenceDataset
) -> str:
    share = f"{parts.shares()[part]:.0%} of the score"
    if part == "shape":
        return f"Its shape over time is unusual ({share})."
    if part == "level":
        return f"Its level is unusual ({share}){_name_level(level, dataset)}."
    if part == "error":
        if parts.error_surprise > 0:
            return f"It is reconstructed worse than is usual for its level ({share})."
        return f"It is reconstructed better than is usual for its level ({share}): it is simple."
    if parts.unexplained_surprise > 0:
        return f"More of its variance than usual is left unexplained ({share}): it is irregular."
    return f"Less of its variance than usual is left unexplained ({share}): it is simple."


def _name_level(level: Sequence[LevelShare], dataset: SequenceDataset) -> str:
    if not level:
        return ""
    first = level[0]
    what = "mean" if first.is_mean else "spread"
    side = "high" if first.is_high else "low"
    return f", above all by a {side} {what} of {dataset.feature_name(first.feature)}"


def _explain_replacement(explanation: Explanation, dataset: SequenceDataset) -> str:
    """Says what the score would be if a part of the sequence were usual."""
    if (best := explanation.replacement) is None:
        return "No single part of it explains the score: it is unusual as a whole."
    scores = f"{best.score:.3g}, not {explanation.sequence.analysis.score:.3g}"
    part = _name_part(best, dataset) + ("" if best.span is None else " (underlined)")
    return f"If {part} were as in a usual sequence, the score would be {scores}."


def _name_part(replacement: Replacement, dataset: SequenceDataset) -> str:
    name = dataset.feature_name(replacement.feature)
    if replacement.span is None:
        return name
    return f"{name} at {_count(replacement.span.first, replacement.span.last)}"


def _count(first: int, last: int) -> str:
    return f"timestep {first:,}" if first == last else f"timesteps {first:,} to {last:,}"


def _name_spans(explanation: Explanation, dataset: SequenceDataset) -> str:
    """Names the feature that is rebuilt worst, among those with timesteps at fault, and where."""
    error = explanation.sequence.analysis.feature_error
    faulty = [feature for feature in explanation.features if explanation.spans[feature]]
    if not faulty:
        return ""
    worst = max(faulty, key=lambda feature: error[feature])
    *others, last = explanation.spans[worst]
    where = "timesteps" if others or last.first < last.last else "timestep"
    spans = f"{', '.join(map(str, others))} and {last}" if others else str(last)
    return f"{dataset.feature_name(worst)} at {where} {spans}"
