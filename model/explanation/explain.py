"""Why one sequence is anomalous: which part of its score, which features, which timesteps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from padless.model.explanation.analysis import SequenceAnalysis, SequenceScorer
from padless.model.explanation.places import Place
from padless.model.explanation.replacement import Replacement, replace_features, replace_spans
from padless.model.explanation.spans import Span, find_spans
from padless.model.explanation.usual import UsualSequences

FEATURES_SHOWN = 3
# A replacement that lowers the score by less explains nothing.
_LEAST_FALL = 0.1
# A shorter part is told in place of one that lowers the score by more, if by this share of it.
_NEARLY = 0.8


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class FoundSequence:
    """A sequence that a report shows, and what the model computes of it.

    Attributes:
        place: where it is.
        key: its key.
        label: its label, or None where there are no labels.
        p_value: of its score.
        analysis: what the model computes of it.
    """

    place: Place
    key: str
    label: str | None
    p_value: float
    analysis: SequenceAnalysis

    def worst_features(self) -> list[int]:
        """Returns the features by their error, the largest first; at most three."""
        error = np.nan_to_num(self.analysis.feature_error, nan=-1.0)
        return np.argsort(-error, kind="stable")[:FEATURES_SHOWN].tolist()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Why a sequence is anomalous.

    Attributes:
        sequence: the sequence.
        features: those at fault, at most three: those whose replacement by that of a usual
            sequence lowers the score most, and then those of the largest error.
        spans: feature -> the timesteps at which it is rebuilt worse than 99 of 100 timesteps of
            usual sequences are.
        replacement: the part whose replacement explains the score: the shortest one of those that
            lower it nearly as much as any, or None where none lowers it by a tenth.
        is_compared: whether there were usual sequences to compare with. If not, the features are
            those of the largest error, and there are neither spans nor a replacement.
    """

    sequence: FoundSequence
    features: list[int]
    spans: Mapping[int, list[Span]]
    replacement: Replacement | None
    is_compared: bool = True


def explain_anomaly(
    score: SequenceScorer, sequence: FoundSequence, usual: UsualSequences | None
) -> Explanation:
    """Explains why a sequence is anomalous, see `Explanation`.

    Args:
        score: computes the scores of the model.
        sequence: the sequence.
        usual: what usual sequences are like, or None where none are known.
    """
    if usual is None:
        features = sequence.worst_features()
        spans: dict[int, list[Span]] = {feature: [] for feature in features}
        return Explanation(sequence, features, spans, replacement=None, is_compared=False)
    analysis = sequence.analysis
    of_features = _keep_falls(replace_features(score, analysis, usual), analysis.score)
    fallen = [replacement.feature for replacement in of_features]
    features = list(dict.fromkeys([*fallen, *sequence.worst_features()]))[:FEATURES_SHOWN]
    of_spans = _keep_falls(replace_spans(score, analysis, usual, features), analysis.score)
    spans = {
        feature: find_spans(analysis.timestep_error[:, feature], usual.error_limit[feature])
        for feature in features
    }
    return Explanation(
        sequence=sequence,
        features=features,
        spans=spans,
        replacement=_choose([*of_features, *of_spans], analysis.score, len(analysis.original)),
    )


def _keep_falls(replacements: list[Replacement], score: float) -> list[Replacement]:
    return [found for found in replacements if found.score <= (1 - _LEAST_FALL) * score]


def _choose(replacements: Sequence[Replacement], score: float, length: int) -> Replacement | None:
    """Chooses the shortest part whose replacement lowers the score nearly as much as any."""
    if not replacements:
        return None
    lowest = min(replacement.score for replacement in replacements)
    enough = score - _NEARLY * (score - lowest)
    found = [replacement for replacement in replacements if replacement.score <= enough]
    return min(found, key=lambda one: (one.num_timesteps(length), one.score))
