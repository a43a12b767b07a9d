"""Charts of single sequences: the sequence, its reconstruction, and the timesteps at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from padless.model.explanation.explain import FoundSequence
from padless.model.explanation.replacement import Replacement
from padless.model.explanation.spans import Span
from padless.model.explanation.usual import UsualSequences
from padless.model.html_report.charts import Chart, Figure, axis, layout
from padless.model.html_report.safe_text import as_chart_text, significant
from padless.pipeline.dataset.directory import SequenceDataset

MOST_TIMESTEPS = 1_000
_GAP = 0.09
_FEW_TIMESTEPS = 12
_BAND_POINTS = 64


def draw_sequence(
    name: str,
    sequence: FoundSequence,
    features: Sequence[int],
    dataset: SequenceDataset,
    *,
    usual: UsualSequences | None = None,
    spans: Mapping[int, Sequence[Span]] | None = None,
    replaced: Replacement | None = None,
) -> Chart:
    """Draws some features of a sequence, one above another.

    Args:
        name: of the chart.
        sequence: the sequence.
        features: which features.
        dataset: knows their names and offsets.
        usual: what to draw the usual range of, or None.
        spans: feature -> timesteps at fault, to be shaded.
        replaced: a part of a feature to be underlined, or None.
    """
    length = len(sequence.analysis.original)
    rows = thin(sequence.analysis.original[:, list(features)])
    # The range is a smooth one, of fewer points than a long sequence has.
    points = min(length, _BAND_POINTS)
    course = None if usual is None else usual.at(points)
    times = np.linspace(0, length - 1, points).round(2)
    figure: Figure = layout("timestep", "", hovermode="x unified", shapes=[], annotations=[])
    figure["margin"] |= {"t": 22}
    data: list[Figure] = []
    for i, feature in enumerate(features):
        axes = {"xaxis": "x", "yaxis": "y" if i == 0 else f"y{i + 1}"}
        figure["yaxis" if i == 0 else f"yaxis{i + 1}"] = _feature_axis(i, len(features))
        offset = dataset.offsets[feature] if dataset.offsets else 0.0
        if course is not None:
            data += _band(course[:, :, feature] + offset, times, axes)
        data += _lines(sequence, feature, rows, offset, axes=axes)
        figure["annotations"].append(_title(dataset.feature_name(feature), i, len(features)))
        figure["shapes"] += [_shade(span, axes["yaxis"]) for span in (spans or {}).get(feature, ())]
        if replaced is not None and replaced.feature == feature and replaced.span is not None:
            figure["shapes"].append(_underline(replaced.span, axes["yaxis"]))
    bottom = "y" if len(features) == 1 else f"y{len(features)}"
    figure["xaxis"] |= {"anchor": bottom, "range": [-0.5, length - 0.5], "tickformat": ",d"}
    figure["xaxis"]["zeroline"] = False
    height = 3.5 + 7.5 * max(1, len(features))
    return Chart.of(name, data, figure, alt=_describe(sequence, features, dataset), height=height)


def thin(values: np.ndarray) -> np.ndarray:
    """Picks timesteps to draw: all, or of a long sequence the extremes of each stretch of it.

    Args:
        values: `(timesteps, features)`.

    Returns:
        Timesteps, ascending; about a thousand at most.
    """
    if len(values) <= MOST_TIMESTEPS:
        return np.arange(len(values))
    per_stretch = 2 * values.shape[1]
    chosen = {0, len(values) - 1}
    for part in np.array_split(np.arange(len(values)), MOST_TIMESTEPS // per_stretch):
        known = np.nan_to_num(values[part])
        chosen |= {int(part[i]) for i in (*known.argmin(axis=0), *known.argmax(axis=0))}
    return np.array(sorted(chosen))


def _feature_axis(place: int, count: int) -> Figure:
    """Returns the vertical axis of the feature at a place, the first one at the top."""
    height = (1 - _GAP * (count - 1)) / count
    top = 1 - place * (height + _GAP)
    return axis("", domain=[max(0.0, top - height), top], nticks=4, zeroline=False)


def _band(course: np.ndarray, times: np.ndarray, axes: Figure) -> list[Figure]:
    """Draws the range between what a twentieth of usual sequences is below and above."""
    shared = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    low, high = ({"x": times.tolist(), "y": significant(course[i])} for i in (0, 1))
    fill = {"fill": "tonexty", "fillcolor": "@band"}
    return [shared | low | axes, shared | high | fill | axes]


def _lines(
    sequence: FoundSequence, feature: int, rows: np.ndarray, offset: float, *, axes: Figure
) -> list[Figure]:
    analysis = sequence.analysis
    mode = "lines+markers" if len(analysis.original) < _FEW_TIMESTEPS else "lines"
    drawn = {
        "sequence": (analysis.original, {"color": "@series-1", "width": 2}),
        "reconstruction": (
            analysis.reconstruction,
            {"color": "@series-2", "width": 2, "dash": "dot"},
        ),
    }
    return [
        {
            "type": "scatter",
            "mode": mode,
            "name": name,
            "x": rows.tolist(),
            "y": significant(values[rows, feature] + offset, 5),
            "line": line,
            "marker": {"size": 5},
            "connectgaps": False,
            "hovertemplate": f"{name} %{{y:.4g}}<extra></extra>",
        }
        | axes
        for name, (values, line) in drawn.items()
    ]


def _title(name: str, place: int, count: int) -> Figure:
    """Names the feature above its plot."""
    height = (1 - _GAP * (count - 1)) / count
    return {
        "text": as_chart_text(name),
        "showarrow": False,
        "x": 0,
        "xref": "paper",
        "xanchor": "left",
        "y": 1 - place * (height + _GAP),
        "yref": "paper",
        "yanchor": "bottom",
        "font": {"size": 12, "color": "@text"},
    }


def _shade(span: Span, y: str) -> Figure:
    """Shades the timesteps of a span."""
    return {
        "type": "rect",
        "layer": "below",
        "xref": "x",
        "x0": span.first - 0.5,
        "x1": span.last + 0.5,
        "yref": f"{y} domain",
        "y0": 0,
        "y1": 1,
        "fillcolor": "@fault",
        "line": {"width": 1, "color": "@fault-edge"},
    }


def _underline(span: Span, y: str) -> Figure:
    """Underlines the timesteps of a span, just above the bottom of the plot."""
    ends = {"x0": span.first - 0.5, "x1": span.last + 0.5, "y0": 0.03, "y1": 0.03}
    line = {"width": 4, "color": "@text"}
    return {"type": "line", "xref": "x", "yref": f"{y} domain", "line": line} | ends


def _describe(sequence: FoundSequence, features: Sequence[int], dataset: SequenceDataset) -> str:
    names = ", ".join(dataset.feature_name(feature) for feature in features)
    return (
        f"Line chart of {sequence.key}, {len(sequence.analysis.original):,} timesteps: {names}, "
        f"each beside its reconstruction, with an error of {sequence.analysis.error:.3g}."
    )
