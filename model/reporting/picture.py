"""Draws a run's report: lengths with their batches, loss curves, reconstructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from padless.model.reporting.examples import ExampleSequence, TrainingMoments
from padless.model.reporting.length_bins import bin_lengths
from padless.model.reporting.report import RunReport
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.figures import new_figure, save_figure
from padless.pipeline.wording import plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NUM_FEATURES_DRAWN = 3
_FEW_POINTS = 10


def draw_report(report: RunReport, path: epath.PathLike) -> None:
    """Draws a report into an image file.

    Args:
        report: what `report_run` returned.
        path: file to write; its extension tells the format.

    Raises:
        FileNotFoundError, ImportError, IsADirectoryError, ValueError: if it cannot be written
            there, see `padless.pipeline.figures.check_picture`.
    """
    figure = new_figure(figsize=(13, 8), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    _draw_lengths(figure.add_subplot(grid[0, :3]), report)
    _draw_losses(figure.add_subplot(grid[0, 3:]), report)
    width = 6 // max(len(report.examples), 1)
    for i, example in enumerate(report.examples):
        axes = figure.add_subplot(grid[1, width * i : width * (i + 1)])
        draw_example(axes, example, report.dataset, report.trained, with_unit=i == 0)
    save_figure(figure, path)


def draw_examples(
    examples: Sequence[ExampleSequence], dataset: SequenceDataset, *, title: str
) -> bytes:
    """Draws sequences with their reconstructions side by side.

    Args:
        examples: what to draw; at least one.
        dataset: knows the moments and the names of the features.
        title: text above them.

    Returns:
        The picture, a PNG.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if the dataset has no moments.
    """
    if (moments := dataset.moments) is None:
        raise ValueError(f"Dataset {dataset.name!r} must have moments, it has none.")
    trained = TrainingMoments(moments.mean, moments.variance)
    figure = new_figure(figsize=(13, 4))
    # To have matplotlib look for the margins takes as long as all the rest.
    figure.subplots_adjust(left=0.05, right=0.99, bottom=0.13, top=0.83, wspace=0.12)
    figure.suptitle(title)
    for i, example in enumerate(examples):
        axes = figure.add_subplot(1, len(examples), i + 1)
        draw_example(axes, example, dataset, trained, with_unit=i == 0)
    buffer = io.BytesIO()
    save_figure(figure, buffer)
    return buffer.getvalue()


def _draw_lengths(axes: Axes, report: RunReport) -> None:
    """Draws a bar per length, or per bin of lengths where one length would be too thin to see."""
    plan, epoch = report.plan, report.epoch
    lengths = report.lengths if plan is None else plan.lengths
    bins = bin_lengths(lengths)
    middles, counts = [part.middle for part in bins], [part.num_sequences for part in bins]
    axes.bar(middles, counts, width=0.9 * bins[0].width, color="C0")
    if plan is None or epoch is None:
        axes.set_title(
            f"{plural(sum(lengths.values()), 'sequence')} of {plural(len(lengths), 'length')}"
        )
    else:
        axes.set_title(
            f"{plan.num_sequences:,} training sequences of {len(lengths):,} lengths,\n"
            f"{plan.steps_per_epoch:,} packed steps per epoch, "
            f"{epoch.padded_timesteps:,} padded timesteps"
        )
    axes.locator_params(axis="x", integer=True)
    width = bins[0].width
    axes.set_xlabel(f"length (timesteps{'' if width == 1 else f', {width:,} per bar'})")
    axes.set_ylabel("sequences")


def _draw_losses(axes: Axes, report: RunReport) -> None:
    names = {"loss": "training", "val_loss": "validation"}
    for name in (name for name in names if name in report.history):
        values = report.history[name]
        marker = "o" if len(values) < _FEW_POINTS else None
        axes.plot(range(1, len(values) + 1), values, marker=marker, label=names[name])
    if report.own_scale:
        _draw_unit(axes)
    elif report.is_trained_on:
        _draw_baselines(axes, report)
    else:
        _draw_no_level(axes)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epoch")
    axes.legend(loc="upper right", ncols=2)


def _draw_unit(axes: Axes) -> None:
    """Draws the unit of losses on the own scale; those of the summaries are in another one."""
    axes.axhline(1, color="gray", linestyle="--", label="variance of the sequence")
    axes.set_ylim(0, 1.4)
    axes.set_title("loss: the share of its variance that is left of each sequence")
    axes.set_ylabel("squared error / variance of the sequence")


def _draw_no_level(axes: Axes) -> None:
    """Draws losses alone: the baselines are known of other data than that of the losses."""
    axes.set_ylim(bottom=0)
    axes.set_title("loss on the data that the run was trained on")
    axes.set_ylabel("squared error / training variance")


def _draw_baselines(axes: Axes, report: RunReport) -> None:
    split = report.example_split
    losses = report.summaries[split].losses
    axes.axhline(losses.feature_mean, color="gray", linestyle=":", label="mean of each feature")
    axes.axhline(losses.own_mean, color="gray", linestyle="--", label="the sequence's own mean")
    axes.set_ylim(0, 1.4 * max(losses.feature_mean, losses.own_mean))
    axes.set_title(f"loss, and on {split} the loss of two baselines")
    axes.set_ylabel("squared error / training variance")


def draw_example(
    axes: Axes,
    example: ExampleSequence,
    dataset: SequenceDataset,
    trained: TrainingMoments,
    *,
    with_unit: bool,
) -> None:
    """Draws the features that vary most in a sequence: lines, and the model's dashed.

    In units of the training standard deviation, so that features of any size share the axis.

    Args:
        axes: matplotlib's, to draw into.
        example: the sequence and its reconstruction.
        dataset: knows the names of the features.
        trained: the moments of the data that the model was trained on.
        with_unit: whether to name the unit beside the axis.
    """
    original, reconstruction = map(trained.standardize, (example.original, example.reconstruction))
    spread = np.ptp(original, axis=0)
    marker = "o" if len(original) < _FEW_POINTS else None
    for i, feature in enumerate(np.argsort(-spread)[:_NUM_FEATURES_DRAWN].tolist()):
        options: dict[str, Any] = {"color": f"C{i}", "marker": marker, "markersize": 3}
        axes.plot(original[:, feature], **options, label=_label(dataset, feature))
        axes.plot(reconstruction[:, feature], **options, linestyle="--")
    key = shorten(example.key, 40)
    # A key is data: it may hold what matplotlib would read as a formula.
    axes.set_title(f"{key}, error {example.error:.3f}", parse_math=False)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("timestep (original solid, reconstruction dashed)")
    axes.legend()
    if with_unit:
        axes.set_ylabel("standard deviations from the training mean")


def _label(dataset: SequenceDataset, feature: int) -> str:
    """Names a feature for a legend, which reads `$` as a formula and leaves `_name` out."""
    name = dataset.feature_name(feature).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
