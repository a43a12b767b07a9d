"""All answers side by side on one data set: trained alike, and compared where sequences are valid.

1. Each alignment is trained in a process of its own, from the same weights, for as many epochs of
   as many steps.
2. Its run is evaluated on the split that was held out, at valid timesteps alone.
3. The numbers are shown in one table, and a sentence says what they mean.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

from etils import epath

from padless.model.comparison.compared_run import ComparedRun, run_in_process
from padless.model.comparison.label_accuracy import check_scikit_learn
from padless.model.network.alignment import ALIGNMENTS, DYNAMIC_REPEAT
from padless.model.network.architecture import Architecture
from padless.model.run_directory.choices import choose
from padless.model.run_directory.training_options import TrainingOptions
from padless.pipeline.dataset.directory import SequenceDataset, open_dataset
from padless.pipeline.dataset.names import TRAINING_SPLIT, VALIDATION_SPLIT
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.protected import check_unprotected
from padless.pipeline.wording import list_names, plural

_logger = logging.getLogger(__name__)
_MIB = 2**20
# Losses that differ by less are called the same: two seeds of one option differ by more.
_SAME_LOSS = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """What the alignments came to; `print` shows it.

    Attributes:
        dataset: name of the dataset.
        split: what the losses and the accuracy are measured on.
        epochs: that each was trained for.
        runs: one per alignment, in their order.
    """

    dataset: str
    split: str
    epochs: int
    runs: tuple[ComparedRun, ...]

    def __str__(self) -> str:
        """Shows the table and what it means."""
        return "\n".join([*self._table(), "", self.conclusion()])

    def conclusion(self) -> str:
        """Returns a sentence on what the table means for this data set."""
        found = {run.alignment: run for run in self.runs}
        first = found.pop(DYNAMIC_REPEAT, None)
        if first is None or not found:
            return f"On {self.dataset} nothing was compared with {DYNAMIC_REPEAT!r}."
        others = list(found.values())
        if all(run.computed_timesteps == run.valid_timesteps for run in self.runs):
            return (
                f"On {self.dataset} all sequences have one length: nothing is padded, and the "
                "answers are the same model."
            )
        padding = max(run.computed_timesteps for run in others) / first.computed_timesteps
        fastest = min(others, key=lambda run: run.seconds_per_epoch)
        ratio = first.seconds_per_epoch / fastest.seconds_per_epoch
        time, reason = (
            (f"{ratio:.2f} of the time of", "as")
            if ratio < 1
            else (f"{ratio:.2f} times as long as", "although")
        )
        return (
            f"On {self.dataset} packed steps take {time} the fastest other answer "
            f"({fastest.alignment}), {reason} padding computes up to {padding:.2f} times the "
            f"timesteps; {_compare_losses(first, others)}."
        )

    def _table(self) -> list[str]:
        has_labels = any(run.accuracy is not None for run in self.runs)
        title = f"{plural(self.epochs, 'epoch')} each from the same weights; loss at valid "
        title += f"timesteps{' and accuracy' if has_labels else ''} on {self.split}"
        columns = ["alignment", "s / epoch", "computed / valid", "peak MiB", "loss"]
        rows = [columns + ["accuracy"] * has_labels]
        for run in self.runs:
            row = [
                run.alignment,
                f"{run.seconds_per_epoch:.2f}",
                f"{run.computed_timesteps / run.valid_timesteps:.2f}",
                f"{run.peak_bytes / _MIB:,.0f}",
                f"{run.loss:.4f}",
            ]
            rows.append(row + ["-" if run.accuracy is None else f"{run.accuracy:.4f}"] * has_labels)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        note = "computed / valid: timesteps computed, with padding, per timestep of the sequences"
        return [title, *(_align(row, widths) for row in rows), note]


def compare_alignments(
    directory: epath.PathLike,
    *,
    architecture: Architecture | None = None,
    options: TrainingOptions | None = None,
    alignments: Sequence[str] | None = None,
    split: str | None = None,
    runs: epath.PathLike | None = None,
    progress: ShowProgress = ignore_progress,
) -> Comparison:
    """Trains an autoencoder with each alignment and compares what they came to.

    Args:
        directory: dataset directory.
        architecture: what to build; its own alignment is not read. The default one if None.
        options: how to train; the default if None.
        alignments: what to compare, names of `ALIGNMENTS`, each once; if None, all that can be
            trained on the dataset: where it masks missing values, some cannot.
        split: what to measure on; the test split, or else the validation split, or else the
            training split if None.
        runs: directory to keep the run directories in, `RUNS/<alignment>`; must not exist.
            Nothing is kept if None.
        progress: called with how far each training is, see `train`.

    Raises:
        FileExistsError: if `runs` exists.
        FileNotFoundError: if the dataset or a part of it is missing.
        ImportError: if there are labels to tell and scikit-learn is not installed.
        RuntimeError: if a run fails.
        ValueError: if an option does not fit the data, or an alignment is unknown or named twice.
    """
    if runs is not None:
        check_unprotected(runs, "runs")
    dataset = open_dataset(directory)
    lengths = dataset.split(TRAINING_SPLIT).lengths
    chosen = choose(
        architecture or Architecture(),
        options or TrainingOptions(),
        lengths,
        masks_missing=dataset.masks_missing,
    )
    options = chosen.options
    if alignments is None:
        alignments = _possible(chosen.architecture)
    elif not alignments or len(set(alignments)) < len(alignments):
        raise ValueError(
            f"`alignments` must be at least one, each named once, got {list_names(alignments)}."
        )
    aligned = [dataclasses.replace(chosen.architecture, alignment=name) for name in alignments]
    split = split or _held_out(dataset)
    dataset.split(split)
    for name in {TRAINING_SPLIT, VALIDATION_SPLIT} & set(dataset.splits):
        options.plan(dataset.split(name).lengths, options.replicas or 1)
    spec = {
        "directory": str(directory),
        "options": dataclasses.asdict(options),
        "split": split,
        "labels": dataset.record_format.label is not None and split != TRAINING_SPLIT,
    }
    if spec["labels"]:
        check_scikit_learn()
    if runs is not None:
        pathlib.Path(runs).mkdir(parents=True)
        return _run_all(dataset, aligned, spec, runs=pathlib.Path(runs), progress=progress)
    with tempfile.TemporaryDirectory(prefix="padless-compare-") as folder:
        return _run_all(dataset, aligned, spec, runs=pathlib.Path(folder), progress=progress)


def _run_all(
    dataset: SequenceDataset,
    aligned: Sequence[Architecture],
    spec: dict[str, Any],
    *,
    runs: pathlib.Path,
    progress: ShowProgress,
) -> Comparison:
    compared = []
    for architecture in aligned:
        run = runs / architecture.alignment
        described = {"run": str(run), "architecture": dataclasses.asdict(architecture)}
        result = runs / f"{architecture.alignment}.json"
        compared.append(run_in_process(spec | described, result, progress))
    if spec["labels"] and all(run.accuracy is None for run in compared):
        _logger.info("accuracy of labels: left out, as the training split has one label alone")
    return Comparison(dataset.name, spec["split"], spec["options"]["epochs"], tuple(compared))


def _possible(architecture: Architecture) -> list[str]:
    """Lists the alignments that an architecture can have, and says which are left out."""
    names = [
        name
        for name, alignment in ALIGNMENTS.items()
        if alignment.can_mask_missing or not architecture.masks_missing
    ]
    if left_out := [name for name in ALIGNMENTS if name not in names]:
        _logger.info("left out: %s, which cannot mask missing values", list_names(left_out))
    return names


def _held_out(dataset: SequenceDataset) -> str:
    names = ("test", VALIDATION_SPLIT)
    return next((name for name in names if name in dataset.splits), TRAINING_SPLIT)


def _compare_losses(first: ComparedRun, others: list[ComparedRun]) -> str:
    """Names the answers whose loss at valid timesteps is that of the first, and the others."""
    groups: dict[str, list[ComparedRun]] = {"matched": [], "missed": [], "beaten": []}
    for run in others:
        ratio = run.loss / first.loss
        is_same = abs(ratio - 1) <= _SAME_LOSS
        groups["matched" if is_same else "missed" if ratio > 1 else "beaten"].append(run)
    said = [
        f"{kind} by {' and '.join(f'{run.alignment} ({run.loss:.4f})' for run in runs)}"
        for kind, runs in groups.items()
        if runs
    ]
    return f"their loss of {first.loss:.4f} is {', '.join(said)}"


def _align(row: list[str], widths: list[int]) -> str:
    name, *numbers = row
    cells = [f"{cell:>{width}}" for cell, width in zip(numbers, widths[1:], strict=True)]
    return "  ".join([f"{name:<{widths[0]}}", *cells]).rstrip()
