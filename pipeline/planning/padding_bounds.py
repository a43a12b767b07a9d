"""What a bound on the padding buys: the plans of several bounds, as a table and as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from padless.pipeline.figures import new_figure, save_figure
from padless.pipeline.planning.plan import BatchPlan

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE_BOUNDS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
PICTURE_BOUNDS = (0.0, *np.geomspace(1e-4, 1.0, 120).tolist())


def list_frontier(plans: Sequence[BatchPlan]) -> str:
    """Lists the plans of ascending bounds, one line each, up to the first that pads the most.

    A higher bound changes nothing then: more padding is not predicted to save any time.
    """
    head = (
        f"{'at most':>8} {'padded':>8} {'batches':>9} {'steps':>8} {'in a row':>12} "
        f"{'predicted seconds':>18} {'full batches':>13} {'mean fill':>10}"
    )
    most = max(plan.padded_timesteps for plan in plans)
    below = itertools.takewhile(lambda plan: plan.padded_timesteps < most, plans)
    last = next(plan for plan in plans if plan.padded_timesteps == most)
    return "\n".join([head, *map(_frontier_line, [*below, last])])


def _frontier_line(plan: BatchPlan) -> str:
    return (
        f"{100 * plan.max_padding:>6g} % {100 * plan.padding:>6.2f} % {plan.num_batches:>9,} "
        f"{plan.steps_per_epoch:>8,} {plan.timesteps_in_a_row:>12,} "
        f"{plan.predicted_seconds:>18.3g} {100 * plan.full_share:>11.0f} % "
        f"{100 * plan.mean_fill:>8.0f} %"
    )


def draw_frontier(plans: Sequence[BatchPlan], path: epath.PathLike) -> None:
    """Draws batches and steps, predicted time and full batches against the bound.

    Args:
        plans: plans of ascending bounds, as `plan_frontier` returns them for `PICTURE_BOUNDS`.
        path: file to write; its extension decides the format.

    Raises:
        ImportError: if matplotlib is not installed.
        ValueError: if the extension names no format.
    """
    plans = list({plan.padded_timesteps: plan for plan in plans}.values())
    figure = new_figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    _draw_steps(axes[0], plans, {"batches": "num_batches", "steps": "steps_per_epoch"})
    axes[0].set_title("batches and steps per epoch")
    _draw_steps(axes[1], plans, {"by the cost given": "predicted_seconds"})
    axes[1].set_title("predicted seconds per epoch")
    _draw_steps(axes[2], plans, {"share that is full": "full_share", "mean fill": "mean_fill"})
    axes[2].set_title("how full the batches are")
    axes[2].set_ylim(0, 1.05)
    save_figure(figure, path)


def _draw_steps(axes: Axes, plans: list[BatchPlan], values: dict[str, str]) -> None:
    """Draws each value as it stays until the bound allows the next plan."""
    reached = [100 * plan.padding for plan in plans]
    end, marked = 1.1 * reached[-1] or 1.0, range(len(plans))
    style: dict[str, Any] = {
        "drawstyle": "steps-post",
        "marker": "o",
        "markersize": 3,
        "markevery": marked,
    }
    for label, name in values.items():
        heights = [getattr(plan, name) for plan in plans]
        axes.plot([*reached, end], [*heights, heights[-1]], label=label, **style)
    axes.set_ylim(0, 1.05 * axes.dataLim.ymax)
    axes.grid(alpha=0.3)
    axes.set_xlabel("bound: padded timesteps, % of the sequences' own")
    axes.legend()
