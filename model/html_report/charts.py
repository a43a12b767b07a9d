"""Charts as plotly's JSON: data and layout, in colours that the page chooses by its scheme.

A colour `"@name"` is the property `--name` of the style sheet, so that light and dark have one
palette each, in one file.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padless.model.explanation.detection import DetectionCurves
from padless.model.html_report.safe_text import as_chart_text, significant
from padless.model.reporting.length_bins import LengthBin
from padless.model.reporting.summary import Summary
from padless.pipeline.wording import plural

NUM_COLORS = 7
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x")
_FEW_POINTS = 10
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', sans-serif"
Figure = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the page.

    Attributes:
        name: of the chart, once in a page.
        alt: what one sees, for those who do not see it.
        figures: the figure, by the name of what it is coloured by; mostly one, of no name.
        height: in rem.
    """

    name: str
    alt: str
    figures: Mapping[str, Figure]
    height: float = 18

    @classmethod
    def of(
        cls,
        name: str,
        data: Sequence[Figure],
        layout: Figure,
        *,
        alt: str,
        height: float = 18,
    ) -> Chart:
        """Makes a chart of one figure."""
        return cls(name, alt, {"": {"data": list(data), "layout": layout}}, height)


def layout(x_title: str, y_title: str, **options: Any) -> Figure:
    """Returns the layout that charts share, with titles of both axes."""
    shared = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": _FONT, "size": 12, "color": "@muted"},
        "margin": {"l": 56, "r": 12, "t": 12, "b": 44},
        "xaxis": axis(x_title),
        "yaxis": axis(y_title),
        "showlegend": False,
        "legend": legend(),
        "dragmode": False,
        "hoverlabel": {
            "bgcolor": "@surface",
            "bordercolor": "@line",
            "font": {"family": _FONT, "color": "@text", "size": 12},
            "align": "left",
        },
    }
    return merge(shared, options)


def merge(one: Figure, other: Figure) -> Figure:
    """Merges two nested dicts; where both have a value, the other one's counts."""
    merged = dict(one)
    for name, value in other.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value) if both else value
    return merged


def axis(title: str, **options: Any) -> Figure:
    """Returns an axis that cannot be dragged, so that a finger scrolls the page."""
    shared = {
        "title": {"text": title, "standoff": 8, "font": {"size": 12, "color": "@muted"}},
        "gridcolor": "@grid",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "tickfont": {"size": 11, "color": "@muted"},
        "fixedrange": True,
        "automargin": True,
    }
    return merge(shared, options)


def legend() -> Figure:
    """Returns a legend above the plot."""
    place = {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}
    font = {"size": 12, "color": "@text"}
    return place | {"font": font, "bgcolor": "rgba(0,0,0,0)", "traceorder": "normal"}


def color_of(number: int) -> str:
    """Returns the colour of a series; they repeat after seven."""
    return f"@series-{number % NUM_COLORS + 1}"


def draw_lengths(bins: Mapping[str, Sequence[LengthBin]]) -> Chart:
    """Draws how many sequences have each length, by split, one bar upon another."""
    data = [
        {
            "type": "bar",
            "name": as_chart_text(split),
            "x": [part.middle for part in parts],
            "y": [part.num_sequences for part in parts],
            "width": 0.9 * parts[0].width,
            "marker": {"color": color_of(i)},
            "customdata": [str(part) for part in parts],
            "hovertemplate": "%{customdata} timesteps: %{y:,} sequences",
        }
        for i, (split, parts) in enumerate(bins.items())
    ]
    counts = [
        sum(part.num_sequences for part in column) for column in zip(*bins.values(), strict=True)
    ]
    some = next(iter(bins.values()))
    most = some[int(np.argmax(counts))]
    alt = (
        f"Bar chart of the lengths of {sum(counts):,} sequences, from {some[0].first:,} to "
        f"{some[-1].last:,} timesteps. Most, {max(counts):,}, have {most} timesteps."
    )
    width = some[0].width
    per_bar = "" if width == 1 else f", {width:,} lengths per bar"
    shown = layout(f"length (timesteps{per_bar})", "sequences")
    options = {"barmode": "stack", "showlegend": len(data) > 1}
    return Chart.of("lengths", data, shown | options, alt=alt)


def draw_losses(
    history: Mapping[str, Sequence[float]], levels: Mapping[str, float], unit: str
) -> Chart:
    """Draws the losses of the epochs, and levels to compare them with, as lines."""
    names = {"loss": "training", "val_loss": "validation"}
    shown = {title: history[name] for name, title in names.items() if name in history}
    epochs = len(next(iter(shown.values())))
    mode = "lines+markers" if epochs < _FEW_POINTS else "lines"
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": mode,
            "name": title,
            "x": list(range(1, epochs + 1)),
            "y": significant(np.array(losses)),
            "line": {"color": color_of(i), "width": 2},
            "marker": {"symbol": SYMBOLS[i], "size": 7},
            "hovertemplate": f"{title}: %{{y:.4g}}<extra></extra>",
        }
        for i, (title, losses) in enumerate(shown.items())
    ]
    for dash, (title, level) in zip(("dash", "dot"), levels.items(), strict=False):
        line = {"color": "@muted", "width": 1.5, "dash": dash}
        ends = {"x": [1, max(epochs, 2)], "y": [level, level], "mode": "lines"}
        text = f"{title}: {level:.4g}<extra></extra>"
        data.append({"type": "scatter", "name": title, "line": line, "hovertemplate": text} | ends)
    last = ", ".join(f"{title} {losses[-1]:.4g}" for title, losses in shown.items())
    beside = " and ".join(f"{title} at {level:.4g}" for title, level in levels.items())
    alt = f"Line chart of the loss of {plural(epochs, 'epoch')}. It ends at {last}"
    alt += f", beside {beside}." if levels else "."
    most = 1.15 * max([*levels.values(), *(min(losses[0], 3) for losses in shown.values())])
    figure = layout("epoch", unit, showlegend=True, hovermode="x unified")
    figure["xaxis"] |= {"tickformat": ",d", "range": [0.5, max(epochs, 2) + 0.5]}
    figure["yaxis"] |= {"range": [0, most], "rangemode": "tozero"}
    return Chart.of("losses", data, figure, alt=alt)


def draw_ranges(summary: Summary) -> Chart:
    """Draws the error of the model and of both baselines by length, as groups of bars."""
    names = {
        "model": "model",
        "feature_mean": "mean of each feature",
        "own_mean": "the sequence's own mean",
    }
    colors = ("@series-1", "@bar-1", "@bar-2")
    ranges = [f"{part} ({part.num_sequences:,})" for part in summary.ranges]
    data = [
        {
            "type": "bar",
            "name": title,
            "x": ranges,
            "y": significant(np.array([getattr(part.losses, name) for part in summary.ranges])),
            "marker": {"color": color},
            "hovertemplate": f"{title}: %{{y:.4g}}<extra></extra>",
        }
        for color, (name, title) in zip(colors, names.items(), strict=True)
    ]
    alt = f"Bar chart of the error on {summary.split} by length: " + "; ".join(
        f"{part} timesteps, model {part.losses.model:.3g}, mean of each feature "
        f"{part.losses.feature_mean:.3g}, own mean {part.losses.own_mean:.3g}"
        for part in summary.ranges
    )
    shown = layout("timesteps (sequences)", "squared error / training variance")
    shown["xaxis"] |= {"type": "category"}
    options = {"barmode": "group", "bargap": 0.3, "showlegend": True, "hovermode": "x unified"}
    return Chart.of("ranges", data, shown | options, alt=alt)


def draw_timesteps(names: Sequence[str], ratios: Sequence[float]) -> Chart:
    """Draws how many timesteps each way to form batches computes per timesteps of the data."""
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [round(ratio, 3) for ratio in ratios],
        "y": list(names),
        "text": [f"{ratio:.2f}" for ratio in ratios],
        "textposition": "outside",
        "textfont": {"color": "@text"},
        "cliponaxis": False,
        "marker": {"color": ["@series-1", *["@bar-1"] * (len(names) - 1)]},
        "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
    }
    alt = "Bar chart of computed per valid timesteps: " + "; ".join(
        f"{name} {ratio:.2f}" for name, ratio in zip(names, ratios, strict=True)
    )
    shown = layout("timesteps computed / timesteps of the sequences", "")
    shown["yaxis"] |= {"autorange": "reversed", "ticksuffix": " "}
    shown["xaxis"] |= {"range": [0, 1.15 * max(ratios)]}
    return Chart.of("timesteps", [bars], shown, alt=alt, height=4 + 2.4 * len(names))


def draw_detection(curves: Mapping[str, DetectionCurves], share_abnormal: float) -> list[Chart]:
    """Draws ROC and precision-recall curves by the measures that they are of."""
    roc: list[Figure] = []
    precision: list[Figure] = []
    for i, (name, curve) in enumerate(curves.items()):
        line = {"color": color_of(i), "width": 2, "dash": ("solid", "dash")[i % 2]}
        shared = {"type": "scatter", "mode": "lines", "name": name, "line": line}
        x, y = significant(curve.false_alarms), significant(curve.hits)
        text = f"{name}: %{{y:.1%}} found at %{{x:.1%}} false alarms<extra></extra>"
        roc.append(shared | {"x": x, "y": y, "hovertemplate": text})
        x, y = significant(curve.recall), significant(curve.precision)
        text = f"{name}: precision %{{y:.1%}} where %{{x:.1%}} are found<extra></extra>"
        precision.append(shared | {"x": x, "y": y, "hovertemplate": text})
    guess: Figure = {"type": "scatter", "mode": "lines", "name": "by chance", "hoverinfo": "skip"}
    guess["line"] = {"color": "@muted", "width": 1.5, "dash": "dot"}
    roc.append(guess | {"x": [0, 1], "y": [0, 1]})
    precision.append(guess | {"x": [0, 1], "y": [share_abnormal] * 2})
    areas = ", ".join(f"by {name} {curve.auroc:.3f}" for name, curve in curves.items())
    averages = ", ".join(f"by {n} {curve.average_precision:.3f}" for n, curve in curves.items())
    return [
        _draw_shares("roc", roc, "false alarms", "found", alt=f"ROC curve, its area is {areas}."),
        _draw_shares(
            *("precision", precision, "found (recall)", "precision"),
            alt=f"Precision-recall curve, the average precision is {averages}.",
        ),
    ]


def _draw_shares(name: str, data: list[Figure], x: str, y: str, *, alt: str) -> Chart:
    """Draws lines whose both axes are shares from none to all."""
    shown = layout(x, y, showlegend=True)
    for title in ("xaxis", "yaxis"):
        shown[title] |= {"range": [-0.01, 1.03], "tickformat": ".0%", "dtick": 0.25}
    return Chart.of(name, data, shown, alt=alt)


def log10(values: np.ndarray) -> list[float]:
    """Returns logarithms of p-values, for a scale of colours."""
    return [math.log10(value) if value > 0 else 0.0 for value in values.tolist()]
