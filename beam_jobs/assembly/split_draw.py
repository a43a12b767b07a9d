"""Which split a sequence goes to, or whether the training split is left without it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from padless.beam_jobs.fragments import Rows, Whole
from padless.beam_jobs.options import needs_training_split
from padless.pipeline.dataset.keys import draw_held_out, draw_split
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names, sort_naturally

LEFT_OUT = "left_out"
# What the last step must know of all sequences, as names in a tally.
_CAME_WITH, _LABEL, _TRAINING_LABEL = "came with split ", "label ", "training label "


@dataclasses.dataclass(frozen=True, slots=True)
class SplitDraw:
    """How the split of a sequence is found.

    Attributes:
        seed: of the hash of the key.
        splits: share of the sequences per split, for those that do not come with one.
        hold_out: splits that are taken from the training split, and their shares of it.
        train_labels: labels that stay in the training split and in what is held out of it, or None
            for all.
    """

    seed: int
    splits: Sequence[tuple[str, float]]
    hold_out: Sequence[tuple[str, float]] = ()
    train_labels: Sequence[str] | None = None

    def split_of(self, key: bytes, part: Rows | Whole, seen: collections.Counter) -> str | None:
        """Returns the split of a sequence, or None where it is left out.

        Args:
            key: its key.
            part: any part of it.
            seen: counts what `explain_unmet` must know, and what was left out.
        """
        if part.split is None:
            split = draw_split(key, self.seed, self.splits)
        else:
            split = part.split.decode()
            if self.hold_out or self.train_labels:
                seen[f"{_CAME_WITH}{split}"] += 1
        if self.train_labels is not None and part.label is not None:
            label = part.label.decode()
            seen[f"{_TRAINING_LABEL if split == TRAINING_SPLIT else _LABEL}{label}"] += 1
            if split == TRAINING_SPLIT and label not in self.train_labels:
                seen[LEFT_OUT] += 1
                return None
        if split != TRAINING_SPLIT or not self.hold_out:
            return split
        name = key if part.group is None else part.group
        return draw_held_out(name, self.seed, self.hold_out) or split

    def explain_unmet(self, seen: Mapping[str, int]) -> str | None:
        """Returns why the input lacks what the options name, or None.

        Args:
            seen: what `split_of` has counted of all sequences.
        """
        came = _list_named(seen, _CAME_WITH)
        option = "hold_out" if self.hold_out else "train_labels"
        for name, _ in self.hold_out:
            if name in came:
                return (
                    f"`hold_out` must name a split that the input does not have, got {name!r}, "
                    f"with which {came[name]:,} sequences come."
                )
        if came and TRAINING_SPLIT not in came:
            return needs_training_split(option, "the input", sort_naturally(came))
        return self._explain_labels(seen) if self.train_labels else None

    def _explain_labels(self, seen: Mapping[str, int]) -> str | None:
        of_training = _list_named(seen, _TRAINING_LABEL)
        labels = sort_naturally(of_training | _list_named(seen, _LABEL))
        wanted = self.train_labels or ()
        for name in wanted:
            if labels and name not in labels:
                return (
                    "`train_labels` must name labels of the input, which are "
                    f"{list_names(labels)}, got {name!r}.{did_you_mean(name, labels)}"
                )
        if of_training and not any(name in of_training for name in wanted):
            return (
                f"`train_labels` must leave a sequence in {TRAINING_SPLIT!r}, whose labels are "
                f"{list_names(sort_naturally(of_training))}, got {list_names(wanted)}."
            )
        return None


def _list_named(seen: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {k.removeprefix(prefix): n for k, n in seen.items() if n and k.startswith(prefix)}
