"""Draws a comparison: a bar per answer and measure, and the loss by length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etils import epath

from padless.model.comparison.compare import Comparison
from padless.pipeline.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_comparison(comparison: Comparison, path: epath.PathLike) -> None:
    """Draws a comparison into an image file.

    Args:
        comparison: what `compare_alignments` returned.
        path: file to write; its extension tells the format.

    Raises:
        FileNotFoundError, ImportError, IsADirectoryError, ValueError: if it cannot be written
            there, see `padless.pipeline.figures.check_picture`.
    """
    measures = {
        "seconds per epoch": [run.seconds_per_epoch for run in comparison.runs],
        "computed / valid timesteps": [
            run.computed_timesteps / run.valid_timesteps for run in comparison.runs
        ],
        "peak memory (MiB)": [run.peak_bytes / 2**20 for run in comparison.runs],
        f"loss at valid timesteps of {comparison.split}": [run.loss for run in comparison.runs],
    }
    accuracies = [run.accuracy for run in comparison.runs if run.accuracy is not None]
    if len(accuracies) == len(comparison.runs):
        hidden = f"labels of {comparison.split} that the embedding hides"
        measures[hidden] = [1 - accuracy for accuracy in accuracies]
    figure = new_figure(figsize=(13, 7), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    for i, (name, values) in enumerate(measures.items()):
        _draw_bars(figure.add_subplot(grid[i // 3, i % 3]), comparison, name, values)
    _draw_by_length(figure.add_subplot(grid[1, 2]), comparison)
    figure.suptitle(f"{comparison.dataset}, {comparison.epochs} epochs each: less is better")
    save_figure(figure, path)


def _draw_bars(axes: Axes, comparison: Comparison, name: str, values: list[float]) -> None:
    names = [run.alignment for run in comparison.runs]
    bars = axes.barh(names, values, color=[f"C{i}" for i in range(len(names))])
    axes.bar_label(bars, [f"{value:,.3g}" for value in values], padding=3)
    axes.set_xlim(0, 1.3 * max(values) or 1)
    axes.invert_yaxis()
    axes.set_title(name)


def _draw_by_length(axes: Axes, comparison: Comparison) -> None:
    """Draws the loss of each range of lengths: padding hurts the short ones most."""
    for run in comparison.runs:
        names = [f"{a}-{b}" if a != b else f"{a}" for a, b, _ in run.losses_by_length]
        axes.plot(names, [loss for *_, loss in run.losses_by_length], "o-", label=run.alignment)
    axes.set_ylim(bottom=0)
    axes.set_title("the loss by length (timesteps)")
    axes.legend(fontsize="small")
