"""The table of sequences, as columns of JSON that the page's script sorts and filters."""

from __future__ import annotations

from typing import Any

import numpy as np

from padless.model.html_report.safe_text import significant
from padless.model.reporting.details import ReportDetails, pick
from padless.pipeline.dataset.names import meta_feature
from padless.pipeline.wording import shown_key


def list_columns(details: ReportDetails) -> list[dict[str, Any]]:
    """Lists the columns of the table, the most anomalous sequence in the first row.

    Returns:
        For each column its `name`, `kind` and `values`. A `"text"` has strings, a `"choice"` the
        numbers of its `choices`, a `"number"` numbers.
    """
    rows = pick(details.rows, details.order(details.rows))
    columns = [_text("key", rows["key"]), _choice("split", rows["split"], details.splits)]
    if details.labels:
        columns.append(_choice("label", rows["label"], details.labels))
    columns += [_text(name, rows[meta_feature(name)]) for name in details.meta_columns]
    columns.append({"name": "length", "kind": "number", "values": rows["length"].tolist()})
    numbers = {name: rows[name] for name in ("score", "p_value", "error")}
    numbers["explained"] = 1 - rows["unexplained"]
    titles = {"p_value": "p-value", "explained": "R²"}
    return columns + [
        {"name": titles.get(name, name), "kind": "number", "values": significant(values)}
        for name, values in numbers.items()
    ]


def _text(name: str, values: np.ndarray) -> dict[str, Any]:
    return {"name": name, "kind": "text", "values": [shown_key(value) for value in values.tolist()]}


def _choice(name: str, values: np.ndarray, choices: list[str]) -> dict[str, Any]:
    return {"name": name, "kind": "choice", "values": values.tolist(), "choices": choices}
