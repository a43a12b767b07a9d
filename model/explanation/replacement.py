"""What of a sequence would have to be usual for its score to fall: tried out, by the model itself.

The shape, the largest part of the score, is judged on the whole sequence: no error of a timestep
says what is unusual about it. So parts of the sequence are replaced by those of usual sequences,
and it is scored again. The part whose replacement lowers the score most makes it anomalous.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from padless.model.explanation.analysis import SequenceAnalysis, SequenceScorer
from padless.model.explanation.spans import Span
from padless.model.explanation.usual import UsualSequences

_MOST_FEATURES = 32
# The usual sequences that a part is taken from; the one that lowers the score most counts.
_MOST_DONORS = 4
# Of all that is scored for one sequence.
_MOST_TIMESTEPS = 400_000
# A window is an eighth, a quarter or half of the sequence, and moves by half of itself.
_PARTS = (8, 4, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Replacement:
    """A part of a sequence, and the score that the sequence has with that of a usual one there.

    Attributes:
        feature: position of the feature.
        span: the timesteps that are replaced; None for all of them.
        score: the score then.
    """

    feature: int
    span: Span | None
    score: float

    def num_timesteps(self, length: int) -> int:
        """Returns how many timesteps of a sequence of this length are replaced."""
        return length if self.span is None else self.span.last - self.span.first + 1


def replace_features(
    score: SequenceScorer, analysis: SequenceAnalysis, usual: UsualSequences
) -> list[Replacement]:
    """Tries to replace each feature as a whole, and returns the results, the lowest score first.

    Of many features only those of the largest error and of the largest share of the level are
    tried. A sequence of one feature would be another sequence: nothing is tried.
    """
    if analysis.original.shape[1] == 1:
        return []
    features = _candidates(analysis, min(_MOST_FEATURES, _room(analysis)))
    return _try_all(score, analysis, usual, [(feature, None) for feature in features])


def replace_spans(
    score: SequenceScorer,
    analysis: SequenceAnalysis,
    usual: UsualSequences,
    features: Sequence[int],
) -> list[Replacement]:
    """Tries to replace parts of some features, and returns the results, the lowest score first."""
    spans = windows(len(analysis.original))
    tried = [(feature, span) for feature in features for span in spans]
    return _try_all(score, analysis, usual, tried[: _room(analysis)])


def windows(length: int) -> list[Span]:
    """Lists the parts of a sequence that are tried, the shortest ones first.

    Example:
        >>> [tuple(span) for span in windows(3)]
        [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)]
    """
    found: dict[Span, None] = {}
    for part in _PARTS:
        size = -(-length // part)
        starts = range(0, length - size + 1, max(1, size // 2))
        found |= {Span(start, start + size - 1): None for start in starts if size < length}
    return list(found)


def _room(analysis: SequenceAnalysis) -> int:
    """Returns how many sequences of this length may be scored."""
    return max(1, _MOST_TIMESTEPS // len(analysis.original))


def _try_all(
    score: SequenceScorer,
    analysis: SequenceAnalysis,
    usual: UsualSequences,
    tried: Sequence[tuple[int, Span | None]],
) -> list[Replacement]:
    """Scores the sequence with each part taken from usual sequences that are like it.

    It is scored twice: as it is then, and on its own level. Where each sequence of the data was
    standardized, one of another level would be unlike all others.
    """
    if not tried:
        return []
    count = min(_MOST_DONORS, max(1, _room(analysis) // (2 * len(tried))))
    donors = usual.nearest(analysis.original, count)
    replaced = [
        variant
        for feature, span in tried
        for donor in donors
        for variant in _replace(analysis.original, donor, feature, span)
    ]
    scores = score(replaced).reshape(len(tried), -1)
    lowest = np.where(np.isfinite(scores), scores, np.inf).min(axis=1).tolist()
    found = [Replacement(*part, least) for part, least in zip(tried, lowest, strict=True)]
    return sorted(found, key=lambda replacement: replacement.score)


def _replace(
    original: np.ndarray, donor: np.ndarray, feature: int, span: Span | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sequence with a part of the donor, as it is and on the level that it had."""
    rows = slice(None) if span is None else slice(span.first, span.last + 1)
    before, after = original[:, feature], original[:, feature].copy()
    # Where either has no value, nothing is made up.
    known = np.isfinite(donor[rows, feature]) & np.isfinite(after[rows])
    after[rows] = np.where(known, donor[rows, feature], after[rows])
    return _with(original, feature, after), _with(original, feature, _on_level(after, before))


def _with(original: np.ndarray, feature: int, values: np.ndarray) -> np.ndarray:
    changed = original.copy()
    changed[:, feature] = values
    return changed


def _on_level(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Brings values to the mean and the deviation of others, `(timesteps,)` each."""
    known = np.isfinite(values)
    if not known.any() or not (deviation := values[known].std()) > 0:
        return values
    scale = like[known].std() / deviation
    return (values - values[known].mean()) * scale + like[known].mean()


def _candidates(analysis: SequenceAnalysis, most: int) -> list[int]:
    """Picks the features to try: of the largest error and of the largest share of the level."""
    error = np.nan_to_num(analysis.feature_error, nan=-1.0)
    by_error = np.argsort(-error, kind="stable").tolist()
    by_level = [share.feature for share in analysis.level]
    turns = [feature for pair in zip(by_error, by_level, strict=False) for feature in pair]
    return list(dict.fromkeys([*turns, *by_error]))[:most]
