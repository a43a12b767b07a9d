"""p-values in a graph of ONNX, with the scores that they compare with as constants."""

from __future__ import annotations

import numpy as np
import onnx

from padless.model.onnx_export.graph import Graph, Tensor
from padless.model.scoring.calibration import ROUNDING, Calibration
from padless.model.scoring.window_table import WindowTable


def add_p_values(calibration: Calibration, length: Tensor, score: Tensor) -> Tensor:
    """Computes what `Calibration.p_values` does.

    Args:
        calibration: the scores to compare with.
        length: `(batch,)` int64, in timesteps.
        score: `(batch,)` float32.

    Returns:
        `(batch,)` float32.
    """
    table, graph = WindowTable.of(calibration), length.graph
    length = length.at_least(table.first).at_most(table.last)
    start, stop, slope = (
        _gather(graph.constant(part), length - table.first)
        for part in (table.start, table.stop, table.slope)
    )
    lengths = graph.constant(table.length)
    known = length.at_least(_gather(lengths, start)).at_most(_gather(lengths, stop - 1))
    logarithm = score.cast(np.float64).apply("Log")
    own = logarithm - slope * known.cast(np.float64) - ROUNDING
    constants = lengths.cast(np.float64), graph.constant(table.logarithm)
    body = _compare_one(graph, *constants)
    found = graph.add(
        "Scan", start, stop, slope, own, dtype=np.float64, body=body, num_scan_inputs=4
    )
    is_missing = graph.add("IsNaN", logarithm, dtype=bool)
    return graph.where(is_missing, logarithm, found).cast(np.float32)


def _compare_one(outer: Graph, length: Tensor, logarithm: Tensor) -> onnx.GraphProto:
    """Makes the graph that compares one sequence with its neighbours."""
    graph = Graph(outer)
    start, stop = (graph.input(f"row_{name}", np.int64, ()) for name in ("start", "stop"))
    slope, own = (graph.input(f"row_{name}", np.float64, ()) for name in ("slope", "own"))
    length, logarithm = (
        graph.add("Slice", part, start.reshape(1), stop.reshape(1)) for part in (length, logarithm)
    )
    as_high = (logarithm - length * slope >= own).cast(np.int64).sum(0)
    share = (as_high + 1).cast(np.float64) / (stop - start + 1).cast(np.float64)
    graph.output("row_p_value", share, ())
    return graph.as_body("compare_one")


def _gather(values: Tensor, index: Tensor) -> Tensor:
    return values.graph.add("Gather", values, index)
