"""The map of the embeddings: a point per sequence, coloured by label, p-value or split."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from padless.model.explanation.projection import Projection
from padless.model.html_report.charts import (
    NUM_COLORS,
    SYMBOLS,
    Chart,
    Figure,
    color_of,
    layout,
    log10,
)
from padless.model.html_report.safe_text import as_chart_text, significant
from padless.model.reporting.details import NUM_ANOMALIES, ReportDetails
from padless.pipeline.wording import shown_key

_MOST_GROUPS = 12
_HOVER = (
    "<b>%{customdata[0]}</b><br>%{customdata[1]}length %{customdata[2]:,}, "
    "score %{customdata[3]:.3g}, p-value %{customdata[4]:.3g}<extra></extra>"
)


def draw_map(details: ReportDetails, projection: Projection) -> Chart:
    """Draws the embeddings, once by each property that a reader may choose."""
    rows = {name: column[projection.rows] for name, column in details.points.items()}
    points = _Points(details, rows, projection.points)
    figures = {}
    if details.labels:
        figures["label"] = points.by_group(rows["label"], details.labels)
    figures["p-value"] = points.by_p_value()
    if len(details.splits) > 1:
        figures["split"] = points.by_group(rows["split"], details.splits)
    shares = [f"{share:.0%}" for share in projection.explained]
    for name, figure in figures.items():
        # In the place of the legend p-values have a scale.
        figure["layout"] = _map_layout(*shares) | {"showlegend": name != "p-value"}
    alt = (
        f"Scatter plot of {len(projection.rows):,} embeddings in the two directions in which they "
        f"vary most, which hold {shares[0]} and {shares[1]} of their variance."
    )
    return Chart("map", alt, figures, height=34)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Returns what sorts 2 before 10."""
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _map_layout(first: str, second: str) -> Figure:
    """Lays the map out; where there is a mouse, the page lets it zoom."""
    figure = layout(f"first direction ({first} of the variance)", "", hovermode="closest")
    figure["yaxis"]["title"]["text"] = f"second direction ({second})"
    for name in ("xaxis", "yaxis"):
        figure[name] |= {"zeroline": False, "nticks": 6}
    figure["legend"] |= {"itemsizing": "constant"}
    return figure


class _Points:
    """The points of the map, and what a reader sees of each on hover."""

    def __init__(self, details: ReportDetails, rows: Mapping[str, np.ndarray], points: np.ndarray):
        self._details, self._rows, self._points = details, rows, points
        labels = [as_chart_text(label) for label in details.labels]
        named = rows.get("label")
        texts = (
            [""] * len(points)
            if named is None
            else [f"label {labels[number]}, " for number in named.tolist()]
        )
        self._hover = [
            list(row)
            for row in zip(
                [as_chart_text(shown_key(key)) for key in rows["key"].tolist()],
                texts,
                rows["length"].tolist(),
                significant(rows["score"]),
                significant(rows["p_value"]),
                strict=True,
            )
        ]

    def trace(self, chosen: np.ndarray, name: str, **marker: Any) -> Figure:
        """Returns some of the points as a series."""
        return {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": significant(self._points[chosen, 0]),
            "y": significant(self._points[chosen, 1]),
            "customdata": [self._hover[i] for i in chosen.tolist()],
            "hovertemplate": _HOVER,
            "marker": {"size": 7, "opacity": 0.8, "line": {"width": 0}, **marker},
        }

    def by_group(self, group: np.ndarray, names: list[str]) -> Figure:
        """Colours by label or split; the rarest of many share a colour."""
        counts = collections.Counter(group.tolist())
        shown = [number for number, _ in counts.most_common(_MOST_GROUPS)]
        shown.sort(key=lambda number: _natural(names[number]))
        data = []
        for place, number in enumerate(shown):
            # Neighbouring groups differ in colour and in shape, so that colours are not needed.
            symbol = SYMBOLS[(place + place // NUM_COLORS) % len(SYMBOLS)]
            rows = np.flatnonzero(group == number)
            marker = {"color": color_of(place), "symbol": symbol}
            data.append(self.trace(rows, as_chart_text(names[number]), **marker))
        if others := np.flatnonzero(~np.isin(group, shown)).tolist():
            name = f"{len(counts) - len(shown):,} others"
            marker = {"color": "@bar-2", "symbol": "circle-open"}
            data.insert(0, self.trace(np.array(others), name, **marker))
        return {"data": [*data, self.most_anomalous()]}

    def by_p_value(self) -> Figure:
        """Colours by the logarithm of the p-value, the small ones drawn last and larger."""
        p_value = self._rows["p_value"]
        rows = np.argsort(-np.nan_to_num(p_value, nan=2.0), kind="stable")
        known = np.nan_to_num(p_value[rows], nan=1.0)
        ticks = [1.0, 0.1, 0.01, 0.001]
        shown = [tick for tick in ticks if tick >= min(known.min(initial=1.0), 0.1) / 1.5]
        bar = {
            "title": {"text": "p-value", "side": "top", "font": {"color": "@text", "size": 12}},
            "tickvals": log10(np.array(shown)),
            "ticktext": [f"{tick:g}" for tick in shown],
            "tickfont": {"color": "@muted", "size": 11},
            "orientation": "h",
            "thickness": 10,
            "len": 0.5,
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "outlinewidth": 0,
        }
        scale = [[0, "@p-low"], [0.5, "@p-middle"], [1, "@p-high"]]
        color = {"color": [round(value, 3) for value in log10(known)], "colorscale": scale}
        limits = {"cmin": round(min(log10(known), default=-1.0), 3), "cmax": 0.0}
        size = [9 if value <= 0.05 else 6 for value in known.tolist()]
        marker = color | limits | {"size": size, "colorbar": bar, "showscale": True}
        return {"data": [self.trace(rows, "sequences", **marker), self.most_anomalous()]}

    def most_anomalous(self) -> Figure:
        """Rings the most anomalous sequences."""
        order = self._details.order(self._rows)[:NUM_ANOMALIES]
        line = {"width": 2, "color": "@text"}
        ring = {"symbol": "circle-open", "size": 13, "color": "@text", "line": line, "opacity": 1}
        return self.trace(order, f"the {len(order)} most anomalous", **ring)
