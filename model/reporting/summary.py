"""What a model has learned of a split, by feature and by length, beside two baselines.

The baselines need no model: to predict each feature's mean over the training split, and each
sequence's own mean. An autoencoder worth training is below both.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.network.own_scale import SMALLEST_DEVIATION
from padless.model.run_directory.training_options import WEIGHTINGS
from padless.model.scoring.inference import BASELINES, WITH_BASELINES, Inference
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress
from padless.pipeline.wording import as_range, list_names, shorten

_MAX_RANGES = 5
# Of the variance of a sequence that a decoder worth its name explains.
_LEAST_EXPLAINED = 0.1
# Where, among all sequences, those are whose share is shown.
_QUANTILES = (0.1, 0.5, 0.9)
_FEATURES_SHOWN = 8
_LEARNED = {
    "mean of each feature": "it has learned nothing more",
    "mean of each sequence": "it has learned the level of a sequence, not its shape over time",
}


@dataclasses.dataclass(frozen=True, slots=True)
class BaselineComparison:
    """The error of the model beside those of the two baselines, all in one unit.

    Attributes:
        model: of the model's reconstruction.
        feature_mean: of each feature's mean over the training split.
        own_mean: of each sequence's own mean.
    """

    model: float
    feature_mean: float
    own_mean: float

    def unbeaten(self) -> str | None:
        """Names the baseline that the model is not below; that of the features before the other.

        An own mean whose error is rounding is left out: of constant sequences, as all of one
        timestep are, it tells everything.
        """
        if not self.model < self.feature_mean:
            return "mean of each feature"
        if self.own_mean > SMALLEST_DEVIATION**2 and not self.model < self.own_mean:
            return "mean of each sequence"
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class LengthRange:
    """The loss of the sequences of neighbouring lengths.

    Attributes:
        shortest: timesteps of the shortest.
        longest: timesteps of the longest.
        num_sequences: how many there are.
        losses: mean squared errors, in units of the training variance.
    """

    shortest: int
    longest: int
    num_sequences: int
    losses: BaselineComparison

    def __str__(self) -> str:
        """Names the range."""
        return as_range((self.shortest, self.longest))


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureErrors:
    """How well one feature is reconstructed.

    Attributes:
        name: the feature's.
        loss: mean squared error of the model, in units of the feature's training variance.
        rmse: root mean squared errors, in the feature's raw units.
    """

    name: str
    loss: float
    rmse: BaselineComparison


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What a model has learned of a split; `print` shows it.

    All means weigh the sequences as the loss of the run does.

    Attributes:
        split: name of the split.
        weighting: what weighs the same, each `"sequence"` or each `"timestep"`.
        losses: mean squared errors, in units of the training variance; that of a model without
            `own_scale` is its loss on the split.
        explained: R², the share of its variance that is explained, of the sequences at the tenth,
            the half and nine tenths of all.
        ranges: the same by length, ascending; at most five, of about as many sequences each.
        features: by feature, in the order of the dataset.
        is_trained_on: whether the split is one of the data that the model was trained on.
    """

    split: str
    weighting: str
    losses: BaselineComparison
    explained: tuple[float, ...]
    ranges: tuple[LengthRange, ...]
    features: tuple[FeatureErrors, ...]
    is_trained_on: bool = True

    @property
    def num_sequences(self) -> int:
        """Number of sequences in the split."""
        return sum(part.num_sequences for part in self.ranges)

    @property
    def worst_features(self) -> list[FeatureErrors]:
        """The features, that of the highest loss first; last those without a value, that is NaN."""
        return sorted(self.features, key=lambda feature: (math.isnan(feature.loss), -feature.loss))

    @property
    def has_shapes(self) -> bool:
        """Whether any sequence varies from timestep to timestep."""
        return not self.losses.own_mean <= SMALLEST_DEVIATION**2

    def warnings(self) -> list[str]:
        """Returns sentences that say where the model is no better than a mean, or cannot be."""
        if self.losses.feature_mean <= SMALLEST_DEVIATION**2:
            return [f"on {self.split} no feature varies: there is nothing to learn."]
        if not self.has_shapes:
            what = "no sequence varies from timestep to timestep: there is no shape to learn"
            return [f"on {self.split} {what}, and scores tell of levels alone."]
        if (baseline := self.losses.unbeaten()) is not None:
            advice = "Train longer, or with another learning rate or size."
            cause = self._cause(f": {_LEARNED[baseline]}. {advice}")
            return [self._warn(baseline, cause)]
        found = {part: part.losses.unbeaten() for part in self.ranges}
        return self._warn_of_flatness() + [
            self._warn(
                baseline, f" at {lengths} timesteps" + self._cause(f": {_LEARNED[baseline]} there.")
            )
            for baseline in _LEARNED
            if (lengths := _enumerate([part for part in found if found[part] == baseline]))
        ]

    def _warn_of_flatness(self) -> list[str]:
        if self.explained[1] >= _LEAST_EXPLAINED:
            return []
        found = (
            f"on {self.split} less than {_LEAST_EXPLAINED:.0%} of the variance of half of the "
            "sequences is explained: their reconstruction is flat"
        )
        return [found + self._cause(". Train longer, or with longer patches (`patch_length`).")]

    def _cause(self, learned: str) -> str:
        """Returns the end of a warning: `learned`, if it is of data that the model learned of."""
        if self.is_trained_on:
            return learned
        return ". If it is otherwise on the data of the run, these are unlike them."

    def _warn(self, baseline: str, rest: str) -> str:
        return f"on {self.split} the model does not beat the {baseline}{rest}"

    def __str__(self) -> str:
        """Shows the summary as two tables, followed by its warnings."""
        low, median, high = self.explained
        explained = f"median {median:.2f}, of four fifths of them {low:.2f} to {high:.2f}"
        lines = [*self._length_table(), f"R² of a sequence: {explained}"]
        lines += ["", *self._feature_table()]
        if warnings := self.warnings():
            lines += ["", *map(show_warning, warnings)]
        return "\n".join(lines)

    def _length_table(self) -> list[str]:
        rows = [(str(part), part.num_sequences, part.losses) for part in self.ranges]
        rows.append(("all", self.num_sequences, self.losses))
        title = f"mean squared error per {self.weighting} of {self.split}, by length"
        return [
            f"{title}, in units of the training variance",
            _row("timesteps", f"{'sequences':>12}", ("model", "mean of each feature", "own mean")),
            *(
                _row(name, f"{count:>12,}", [show_loss(e) for e in dataclasses.astuple(losses)])
                for name, count, losses in rows
            ),
        ]

    def _feature_table(self) -> list[str]:
        shown = self.worst_features[:_FEATURES_SHOWN]
        lines = [
            f"root mean squared error of {self.split} in raw units, by feature, worst first",
            _row("feature", f"{'loss':>12}", ("model", "mean of the feature", "own mean")),
            *(
                _row(
                    f.name,
                    f"{show_loss(f.loss):>12}",
                    [f"{e:.4g}" for e in dataclasses.astuple(f.rmse)],
                )
                for f in shown
            ),
        ]
        if left := len(self.features) - len(shown):
            lines.append(f"and {left} more with a smaller loss")
        return lines


def show_loss(loss: float) -> str:
    """Returns a loss as a table shows it, a small one in a form that does not round it to 0.

    Example:
        >>> [show_loss(loss) for loss in (0.26, 0.00052, 5.07e-8, 0.0)]
        ['0.2600', '0.0005', '5.1e-08', '0.0000']
    """
    return f"{loss:.1e}" if 0 < loss < 0.0005 else f"{loss:.4f}"


def show_warning(warning: str) -> str:
    """Returns the line that a report shows for one of the warnings of a summary."""
    return f"warning: {warning}"


def summarize(
    model: SequenceAutoencoder | Inference,
    dataset: SequenceDataset,
    split: str,
    weighting: str = "sequence",
    *,
    progress: ShowProgress = ignore_progress,
) -> Summary:
    """Measures a model and the two baselines on a split, in one pass over its records.

    Only sums are kept, by range of lengths and feature.

    Args:
        model: the model, or one that runs already, `WITH_BASELINES`.
        dataset: the dataset.
        split: name of the split.
        weighting: `"sequence"` or `"timestep"`, see `Trainer`.
        progress: called with how much of the split is read, see `padless.pipeline.Progress`.

    Raises:
        ValueError: if the weighting or the split is unknown, or the records are damaged.
    """
    errors = ErrorSums(dataset, split, weighting)
    inference = model if isinstance(model, Inference) else Inference(model, WITH_BASELINES)
    collections.deque(errors.read(inference, progress), maxlen=0)
    return errors.summary(inference.model)


class ErrorSums:
    """The errors of a split, added up by range of lengths and feature, window by window.

    One number per sequence is kept, its share of the variance.

    Args:
        dataset: the dataset.
        split: name of the split.
        weighting: `"sequence"` or `"timestep"`, see `Trainer`.

    Raises:
        ValueError: if the weighting or the split is unknown.
    """

    def __init__(self, dataset: SequenceDataset, split: str, weighting: str):
        if weighting not in WEIGHTINGS:
            raise ValueError(
                f"`weighting` must be one of {list_names(WEIGHTINGS)}, got {weighting!r}."
            )
        self.dataset, self.split, self.weighting = dataset, split, weighting
        self.ranges = divide_lengths(dataset.split(split).lengths)
        self.counts = np.zeros(len(self.ranges), np.int64)
        num_features = dataset.record_format.num_features
        self.weights = np.zeros((len(self.ranges), num_features))
        self.sums = np.zeros((len(self.ranges), 3, num_features))
        self.unexplained: list[np.ndarray] = []

    def add(self, window: Mapping[str, np.ndarray]) -> None:
        """Adds what `Inference.windows` yields, with the errors of the baselines."""
        length = window["length"]
        starts = [shortest for shortest, _ in self.ranges]
        place = np.searchsorted(starts, length, side="right") - 1
        weight = length if self.weighting == "timestep" else np.ones_like(length)
        names = ("feature_error", *BASELINES)
        errors = np.stack([window[name] for name in names], axis=1).astype(np.float64)
        self.unexplained.append(window["unexplained"])
        # A feature of which a sequence has no value has no error there.
        weights = weight[:, None] * ~np.isnan(window["feature_error"])
        np.add.at(self.counts, place, 1)
        np.add.at(self.weights, place, weights)
        np.add.at(self.sums, place, np.where(weights[:, None] > 0, weights[:, None] * errors, 0))

    def read(
        self, inference: Inference, progress: ShowProgress = ignore_progress
    ) -> Iterator[Mapping[str, np.ndarray]]:
        """Yields the windows of the split as the inference computes them, and adds each."""
        total = self.dataset.split(self.split).num_sequences
        start = Progress(f"errors of {self.split}", 0, total, "sequences")
        windows = self.watch(inference.windows(self.dataset, self.split))
        return counted(windows, progress, start, size=lambda window: len(window["length"]))

    def watch(self, windows: Iterable[Mapping[str, np.ndarray]]) -> Iterator[Mapping]:
        """Yields the windows as they are, and adds each."""
        for window in windows:
            self.add(window)
            yield window

    def summary(self, model: SequenceAutoencoder) -> Summary:
        """Returns what the errors of all windows come to, those of this model."""
        with np.errstate(invalid="ignore"):  # 0 / 0 where there is no value
            by_range = np.nanmean(self.sums / self.weights[:, None], axis=2)
            by_feature = self.sums.sum(axis=0) / self.weights.sum(axis=0)
        of_features = zip(model.standardize.scale, by_feature.T, strict=True)
        return Summary(
            split=self.split,
            weighting=self.weighting,
            losses=_errors(np.nanmean(by_feature, axis=1)),
            explained=self._explained(),
            ranges=tuple(
                LengthRange(*ends, int(count), _errors(losses))
                for ends, count, losses in zip(self.ranges, self.counts, by_range, strict=True)
            ),
            features=tuple(
                FeatureErrors(
                    self.dataset.feature_name(i), float(losses[0]), _errors(scale * losses**0.5)
                )
                for i, (scale, losses) in enumerate(of_features)
            ),
        )

    def _explained(self) -> tuple[float, ...]:
        shares = 1 - np.concatenate(self.unexplained)
        return tuple(np.quantile(shares, _QUANTILES).tolist())


def divide_lengths(lengths: Mapping[int, int]) -> list[tuple[int, int]]:
    """Divides lengths into at most five ranges of about as many sequences each.

    It cuts at the fifths of the sequences, wherever one length ends near enough to them: no
    farther than half a fifth, so that a rare length does not get a range of its own.

    Args:
        lengths: length in timesteps -> number of sequences.

    Returns:
        Shortest and longest of each range, ascending.

    Example:
        >>> divide_lengths({7: 10, 8: 10, 9: 10, 11: 10, 15: 1, 40: 9})
        [(7, 7), (8, 8), (9, 9), (11, 11), (15, 40)]
        >>> divide_lengths({7: 1, 8: 99})
        [(7, 8)]
    """
    values = sorted(length for length, count in lengths.items() if count)
    ends = np.cumsum([lengths[length] for length in values])
    wanted = ends[-1] * np.arange(1, _MAX_RANGES) / _MAX_RANGES
    nearest = np.abs(ends[:-1] - wanted[:, None])
    last = [
        int(distances.argmin())
        for distances in nearest
        if len(values) > 1 and distances.min() <= ends[-1] / (2 * _MAX_RANGES)
    ]
    last = [*sorted(set(last)), len(values) - 1]
    first = [0, *(place + 1 for place in last[:-1])]
    return [(values[start], values[end]) for start, end in zip(first, last, strict=True)]


def _errors(three: np.ndarray) -> BaselineComparison:
    return BaselineComparison(*map(float, three))


def _enumerate(parts: list[LengthRange]) -> str:
    *others, last = [str(part) for part in parts] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def _row(name: str, count: str, columns: Sequence[str]) -> str:
    model, feature_mean, own_mean = columns
    return f"{shorten(name, 20):<20}{count}{model:>12}{feature_mean:>23}{own_mean:>12}"
