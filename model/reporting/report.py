"""What a run has come to: the contracts checked on its data, its losses beside two baselines."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from etils import epath

from padless.model.explanation.places import Place, read_places
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.reporting.details import ReportDetails, SequenceCollector, find_details, pick
from padless.model.reporting.epoch_count import EpochCount, count_epoch
from padless.model.reporting.examples import (
    ExampleSequence,
    TrainingMoments,
    pick_rows,
    worst_rows,
)
from padless.model.reporting.length_bias import LengthBias, measure_length_bias
from padless.model.reporting.summary import ErrorSums, Summary, show_loss, show_warning
from padless.model.reporting.trained_data import find_train_labels, find_trained_on, usual_of_run
from padless.model.run_directory.config import RunConfig
from padless.model.run_directory.metrics_files import read_history
from padless.model.scoring.inference import WITH_BASELINES, Inference
from padless.model.scoring.run import Run, open_run
from padless.model.scoring.scores_file import warn_of_other_lengths
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import META, REJECTS_FILE, TRAINING_SPLIT
from padless.pipeline.dataset.rejects import count_rejects
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.wording import shown_key

_KEPT = ("key", "label", "length", "score", "error", "unexplained")


@dataclasses.dataclass(frozen=True, slots=True)
class RunReport:
    """A run's report; `print` shows it, `padless.model.reporting.picture.draw_report` draws it.

    Attributes:
        run: the run directory.
        dataset: the dataset it was checked on.
        is_trained_on: whether this is the dataset that the run was trained on.
        config: the configuration of the run.
        rejects: reason -> number of inputs that were rejected when the dataset was made.
        train_labels: the labels that the training split was limited to when the dataset was made,
            or None where it was not, or where that is not known.
        trained: the moments of the data that the model was trained on.
        plan: the plan of the training split, or None where the dataset has none.
        epoch: what one epoch of it was counted to hold, or None likewise.
        summaries: by split, see `padless.model.reporting.summary`.
        length_bias: how far score and p-value go with the length, on `example_split`.
        history: metric -> its value in each epoch.
        own_scale: whether its losses are on the own scale of each sequence; if not, they are in
            units of the training variance, as the summaries are.
        examples: sequences of low, median and high error, of the first split that is not training.
        example_split: that split.
        other_lengths: a sentence that warns of sequences of lengths that p-values compare with
            nothing like, or None where there are none.
        details: what is shown of single sequences, or None where it was not asked for.
    """

    run: str
    dataset: SequenceDataset
    is_trained_on: bool
    config: RunConfig
    rejects: Mapping[str, int]
    train_labels: tuple[str, ...] | None
    trained: TrainingMoments
    plan: BatchPlan | None
    epoch: EpochCount | None
    summaries: Mapping[str, Summary]
    length_bias: LengthBias
    history: Mapping[str, list[float]]
    own_scale: bool
    examples: list[ExampleSequence]
    example_split: str
    other_lengths: str | None = None
    details: ReportDetails | None = None

    @property
    def rejected(self) -> int:
        """Number of inputs that were rejected when the dataset was made."""
        return sum(self.rejects.values())

    @property
    def lengths(self) -> dict[int, int]:
        """Length in timesteps -> number of sequences of all splits, ascending."""
        counts: collections.Counter[int] = collections.Counter()
        for split in self.dataset.splits.values():
            counts.update(split.lengths)
        return dict(sorted(counts.items()))

    def __str__(self) -> str:
        """Shows the report as text."""
        return "\n".join(
            [
                f"run {self.run} on {self.dataset.name}",
                "",
                *self._contracts(),
                "",
                self._splits_table(),
                "",
                str(self.length_bias),
                "",
                str(self.summaries[self.example_split]),
            ]
        )

    def _contracts(self) -> list[str]:
        """Says what was counted over an epoch, where there is a split to train on."""
        counts = {name: split.num_sequences for name, split in self.dataset.splits.items()}
        sizes = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        accepted = f"{sum(counts.values()):,} accepted ({sizes}), {self.rejected:,} rejected"
        if self.plan is None or (epoch := self.epoch) is None:
            return [f"sequences       {accepted}"]
        padded = "padded" if epoch.padded_timesteps else "nothing padded"
        return [
            (
                f"{padded:<14}  {epoch.padded_timesteps:,} padded among {epoch.timesteps:,} "
                f"timesteps in {epoch.batches:,} packed batches, counted over one epoch"
            ),
            (
                f"nothing lost    {accepted}; {epoch.seen_once:,} of "
                f"{self.plan.num_sequences:,} training keys came exactly once in that epoch"
            ),
        ]

    def _splits_table(self) -> str:
        """Shows the splits, and the warnings of all but the one that is shown in full."""
        shown = self.summaries[self.example_split]
        lines = [
            f"mean squared error per {shown.weighting}, in units of the training variance",
            f"{'split':<12}{'model':>9}{'mean of each feature':>23}{'own mean':>11}  worst feature",
        ]
        for split, summary in self.summaries.items():
            losses, worst = summary.losses, summary.worst_features[0]
            lines.append(
                f"{split:<12}{show_loss(losses.model):>9}{show_loss(losses.feature_mean):>23}"
                f"{show_loss(losses.own_mean):>11}  {worst.name} {show_loss(worst.loss)}"
            )
            if summary is not shown:
                lines += map(show_warning, summary.warnings())
        return "\n".join(lines)


def _count_rejects(directory: epath.Path) -> dict[str, int]:
    path = directory / REJECTS_FILE
    try:
        return count_rejects(path) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def report_run(
    run: Run | epath.PathLike,
    directory: epath.PathLike | None = None,
    *,
    details: bool = False,
    progress: ShowProgress = ignore_progress,
) -> RunReport:
    """Checks a finished run against a dataset and compares its loss with the baselines.

    A dataset without a training split is one of new sequences: no epoch of it is counted.

    Args:
        run: run directory, or the opened run.
        directory: dataset directory; the one that the run was trained on if None.
        details: whether to keep what `write_html` shows of single sequences, in the same pass over
            the data.
        progress: called with how much of each pass over the data is done, see
            `padless.pipeline.Progress`.

    Raises:
        FileNotFoundError: if the run or the dataset is missing.
        ValueError: if the dataset has other features, holds no sequence or is damaged.
    """
    run = run if isinstance(run, Run) else open_run(run)
    dataset = run.open_dataset(directory)
    place = epath.Path(directory or run.config.dataset)
    if not any(split.num_sequences for split in dataset.splits.values()):
        raise ValueError(f"{place}: the dataset must hold at least one sequence, it has none.")
    # What is wrong with the dataset is told before the model is loaded.
    inference, calibration = run.inference(WITH_BASELINES), run.calibration
    trained_on = dataset if run.is_trained_on(dataset) else find_trained_on(run)
    is_trained_on = trained_on is dataset
    other_lengths = warn_of_other_lengths(calibration, dataset)
    held_out = [name for name in dataset.splits if name != TRAINING_SPLIT]
    example_split = held_out[0] if held_out else TRAINING_SPLIT
    errors = {name: ErrorSums(dataset, name, run.options.weighting) for name in dataset.splits}
    collector = None
    if details:
        collector = SequenceCollector(dataset, calibration, is_trained_on=is_trained_on)
    plan = run.plan(dataset) if TRAINING_SPLIT in dataset.splits else None
    scored = _read_splits(errors, inference, example_split, collector, progress=progress)
    report = RunReport(
        run=str(run.directory),
        config=run.config,
        dataset=dataset,
        is_trained_on=is_trained_on,
        rejects=_count_rejects(place),
        train_labels=find_train_labels(run, place, trained_on),
        trained=_moments_of(run.model),
        plan=plan,
        epoch=None if plan is None else _count_epoch_of(run, dataset, plan, progress),
        summaries={
            name: dataclasses.replace(sums.summary(run.model), is_trained_on=is_trained_on)
            for name, sums in errors.items()
        },
        length_bias=measure_length_bias(
            calibration, scored, example_split, is_trained_on=is_trained_on
        ),
        history=read_history(run.directory),
        own_scale=run.model.architecture.own_scale,
        examples=_pick_examples(inference, dataset, example_split, scored, progress=progress),
        example_split=example_split,
        other_lengths=other_lengths,
    )
    if collector is None:
        return report
    rows = collector.describe(example_split, 0, scored)
    typical, worst = (pick(rows, choose(scored["error"])) for choose in (pick_rows, worst_rows))
    found = find_details(
        collector,
        run.model,
        dataset,
        typical,
        worst=worst,
        usual=None if is_trained_on else usual_of_run(run, trained_on, progress=progress),
        progress=progress,
    )
    return dataclasses.replace(report, details=found)


def _moments_of(model: SequenceAutoencoder) -> TrainingMoments:
    layer = model.standardize
    return TrainingMoments(np.array(layer.mean), np.array(layer.variance))


def _count_epoch_of(
    run: Run, dataset: SequenceDataset, plan: BatchPlan, progress: ShowProgress
) -> EpochCount:
    return count_epoch(dataset, plan, run.model, Shuffle(run.options.seed), progress=progress)


def _read_splits(
    errors: Mapping[str, ErrorSums],
    inference: Inference,
    kept_split: str,
    collector: SequenceCollector | None,
    *,
    progress: ShowProgress,
) -> dict[str, np.ndarray]:
    """Reads each split once, and returns what is kept of all sequences of one of them."""
    scored: dict[str, np.ndarray] = {}
    for name, sums in errors.items():
        windows: Iterable[Mapping[str, np.ndarray]] = sums.read(inference, progress)
        if collector is not None:
            windows = collector.watch(name, windows)
        if name == kept_split:
            scored = _keep_columns(windows)
        else:
            collections.deque(windows, maxlen=0)
    return scored


def _keep_columns(windows: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Keeps what examples and the length bias are taken from, of all windows of a split."""
    kept = [
        {name: values for name, values in window.items() if name in _KEPT or name.startswith(META)}
        for window in windows
    ]
    return {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}


def _pick_examples(
    inference: Inference,
    dataset: SequenceDataset,
    split: str,
    scored: Mapping[str, np.ndarray],
    *,
    progress: ShowProgress = ignore_progress,
) -> list[ExampleSequence]:
    """Picks the sequences at the 10th, 50th and 90th percentile of the error."""
    rows = pick_rows(scored["error"])
    places = [Place(split, row) for row in rows.tolist()]
    sequences = read_places(dataset, places, progress=progress)
    return [
        ExampleSequence(
            shown_key(scored["key"][row]),
            float(scored["error"][row]),
            sequences[place],
            inference.model(sequences[place][None])[0].numpy(),
        )
        for row, place in zip(rows, places, strict=True)
    ]
