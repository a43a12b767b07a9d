"""What a report shows of single sequences: the most anomalous, typical ones, a sample of all.

1. While the splits are read for their errors, `SequenceCollector` keeps rows.
2. The sequences to show are then read again, by their places, and analyzed (`find_details`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from padless.model.explanation.analysis import SequenceAnalysis, SequenceScorer, analyze_sequences
from padless.model.explanation.explain import Explanation, FoundSequence, explain_anomaly
from padless.model.explanation.places import Place, read_places
from padless.model.explanation.row_sample import RowSample, order_by_anomaly
from padless.model.explanation.usual import USUAL_P_VALUE, UsualSequences, count_usual
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.scoring.calibration import Calibration, smallest_p_value
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, meta_feature
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress
from padless.pipeline.wording import shown_key

MAX_ROWS = 10_000
MAX_POINTS = 2_000
NUM_ANOMALIES = 12
SMALL_P_VALUE = 0.05
_SCALARS = ("length", "score", "error", "unexplained")
Rows = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class LabelledScores:
    """Scores of all sequences that the run was not trained on, by label.

    Attributes:
        labels: the labels.
        label: which of them each sequence has, int32 `(sequences,)`.
        score: float32 `(sequences,)`.
        p_value: float32 `(sequences,)`.
        splits: names of the splits.
    """

    labels: list[str]
    label: np.ndarray
    score: np.ndarray
    p_value: np.ndarray
    splits: list[str]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ReportDetails:
    """What a report shows of single sequences.

    Attributes:
        num_sequences: number of all sequences.
        num_small: number of those whose p-value is at most `SMALL_P_VALUE`.
        rows: name -> column of a sample of all sequences and of the most anomalous: `split` and
            `label` (numbers in `splits` and `labels`), `position`, `key`, `length`, `score`,
            `p_value`, `error`, `unexplained` and the columns that the dataset carries,
            each by the name that `meta_feature` returns.
        points: the same of fewer, with their `embedding`.
        splits: names of the splits.
        labels: the labels; none where the dataset has none.
        meta_columns: names of the columns that the dataset carries.
        smallest_p_value: that a comparison without ties gives; smaller ones count as this one where
            sequences are ordered by how anomalous they are.
        typical: sequences of low, median and high error of the split that examples are from.
        worst: those of the highest error of it.
        anomalies: the most anomalous of all splits, explained.
        usual: what usual sequences are like, or None where none are known.
        is_usual_of_run: whether these are of the dataset that the run was trained on; if not, they
            are of the dataset of the report, as the other is lost.
        labelled: scores by label, or None where there are no labels.
    """

    num_sequences: int
    num_small: int
    rows: Rows
    points: Rows
    splits: list[str]
    labels: list[str]
    meta_columns: tuple[str, ...]
    smallest_p_value: float
    typical: list[FoundSequence]
    worst: list[FoundSequence]
    anomalies: list[Explanation]
    usual: UsualSequences | None
    is_usual_of_run: bool
    labelled: LabelledScores | None

    def order(self, rows: Rows) -> np.ndarray:
        """Orders some of the rows, the most anomalous first."""
        return order_by_anomaly(rows["p_value"], rows["score"], self.smallest_p_value)


class SequenceCollector:
    """Keeps rows of the windows of all splits while they pass.

    Args:
        dataset: the dataset.
        calibration: of the run.
        is_trained_on: whether the run was trained on the dataset, so that usual sequences are those
            of the split that p-values compare with; if not, they are of any split but training.
    """

    def __init__(
        self, dataset: SequenceDataset, calibration: Calibration, *, is_trained_on: bool = True
    ):
        self._calibration = calibration
        self.is_trained_on = is_trained_on
        self.splits = list(dataset.splits)
        self.meta_columns = dataset.record_format.meta_columns
        self.labels: dict[str, int] = {}
        self.num_small = 0
        self.smallest_p_value = smallest_p_value(len(calibration.score))
        self.table, self.points = (
            RowSample(most, most_anomalous=NUM_ANOMALIES, smallest=self.smallest_p_value)
            for most in (MAX_ROWS, MAX_POINTS)
        )
        unseen = [split for split in self.splits if split != TRAINING_SPLIT]
        self.usual_splits = [calibration.split] if is_trained_on else unseen or self.splits
        longest = max(max(dataset.split(split).lengths) for split in self.usual_splits)
        self.usual = RowSample(count_usual(longest, dataset.record_format.num_features))
        self.held_out: list[tuple[np.ndarray, ...]] = []

    def watch(self, split: str, windows: Iterable[Rows]) -> Iterator[Rows]:
        """Yields the windows of a split as they are, and keeps rows of each."""
        begin = 0
        for window in windows:
            self._add(split, begin, window)
            begin += len(window["length"])
            yield window

    def _add(self, split: str, begin: int, window: Rows) -> None:
        rows = self.describe(split, begin, window)
        self.num_small += int((rows["p_value"] <= SMALL_P_VALUE).sum())
        self.table.add(rows)
        self.points.add(rows | {"embedding": window["embedding"]})
        if split in self.usual_splits:
            self.usual.add(pick(rows, rows["p_value"] > USUAL_P_VALUE))
        if split != TRAINING_SPLIT and "label" in rows:
            self.held_out.append(tuple(rows[name] for name in ("label", "score", "p_value")))

    def describe(self, split: str, begin: int, window: Rows) -> dict[str, np.ndarray]:
        """Returns the columns of a window that are kept; its first record is the one at `begin`."""
        length, score = window["length"], window["score"]
        rows: dict[str, np.ndarray] = {
            "split": np.full(len(length), self.splits.index(split), np.int32),
            "position": begin + np.arange(len(length)),
            "key": window["key"],
            "p_value": self._calibration.p_values(length, score).astype(np.float32),
            **{name: window[name] for name in _SCALARS},
            **{name: window[name] for name in map(meta_feature, self.meta_columns)},
        }
        if "label" in window:
            names = [shown_key(label) for label in window["label"].tolist()]
            numbers = [self.labels.setdefault(name, len(self.labels)) for name in names]
            rows["label"] = np.array(numbers, np.int32)
        return rows

    def places(self, rows: Rows) -> list[Place]:
        """Returns where the sequences of some rows are."""
        splits = [self.splits[number] for number in rows["split"].tolist()]
        return [Place(*pair) for pair in zip(splits, rows["position"].tolist(), strict=True)]

    def find(self, rows: Rows, analyses: Mapping[Place, SequenceAnalysis]) -> list[FoundSequence]:
        """Returns the sequences of some rows with what was computed of them."""
        labels = list(self.labels)
        has_label = "label" in rows
        return [
            FoundSequence(
                place=place,
                key=shown_key(rows["key"][i]),
                label=labels[rows["label"][i]] if has_label else None,
                p_value=float(rows["p_value"][i]),
                analysis=analyses[place],
            )
            for i, place in enumerate(self.places(rows))
        ]

    def labelled(self) -> LabelledScores | None:
        """Returns the scores by label of all splits but that of training."""
        if not self.held_out:
            return None
        label, score, p_value = map(np.concatenate, zip(*self.held_out, strict=True))
        splits = [split for split in self.splits if split != TRAINING_SPLIT]
        return LabelledScores(list(self.labels), label, score, p_value, splits)


def find_details(
    collector: SequenceCollector,
    model: SequenceAutoencoder,
    dataset: SequenceDataset,
    typical: Rows,
    *,
    worst: Rows,
    usual: UsualSequences | None = None,
    progress: ShowProgress = ignore_progress,
) -> ReportDetails:
    """Reads and analyzes the sequences that a report shows.

    Args:
        collector: what has seen all splits.
        model: the trained model.
        dataset: the dataset.
        typical: rows of the sequences to show as such, with the columns of `ReportDetails.rows`.
        worst: likewise.
        usual: usual sequences of the data that the run was trained on, where that is another
            dataset; those that the collector has seen if None.
        progress: called with how much is done.
    """
    table = collector.table.rows
    order = order_by_anomaly(table["p_value"], table["score"], collector.smallest_p_value)
    groups = [typical, worst, pick(table, order[:NUM_ANOMALIES])]
    usual_places = [] if usual is not None else collector.places(collector.usual.rows)
    shown = [place for rows in groups for place in collector.places(rows)]
    sequences = read_places(dataset, [*usual_places, *shown], progress=progress)
    is_usual_of_run = usual is not None or collector.is_trained_on
    if usual_places:
        (split, *others) = collector.usual_splits
        found_usual = [sequences[place] for place in usual_places]
        usual = _measure_usual(model, None if others else split, found_usual)
    of_shown = analyze_sequences(model, [sequences[place] for place in shown])
    by_place = dict(zip(shown, of_shown, strict=True))
    found = [collector.find(rows, by_place) for rows in groups]
    start = Progress("explanations", 0, len(found[2]), "sequences")
    anomalous, score = counted(found[2], progress, start), SequenceScorer(model)
    return ReportDetails(
        num_sequences=collector.table.num_seen,
        num_small=collector.num_small,
        rows=table,
        points=collector.points.rows,
        splits=collector.splits,
        labels=list(collector.labels),
        meta_columns=collector.meta_columns,
        smallest_p_value=collector.smallest_p_value,
        typical=found[0],
        worst=found[1],
        anomalies=[explain_anomaly(score, sequence, usual) for sequence in anomalous],
        usual=usual,
        is_usual_of_run=is_usual_of_run,
        labelled=collector.labelled(),
    )


def _measure_usual(
    model: SequenceAutoencoder, split: str | None, sequences: Sequence[np.ndarray]
) -> UsualSequences:
    errors = [analysis.timestep_error for analysis in analyze_sequences(model, sequences)]
    return UsualSequences.of(split, sequences, errors)


def pick(rows: Rows, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """Picks some of the rows, by their numbers or by whether they are wanted."""
    return {name: column[chosen] for name, column in rows.items()}
