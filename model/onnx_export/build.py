"""Makes the ONNX model of a trained model: its inputs, its outputs and what readers are told."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import onnx

import padless
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.onnx_export.graph import Graph, Tensor
from padless.model.onnx_export.network import analyze
from padless.model.onnx_export.p_values import add_p_values
from padless.model.scoring.calibration import Calibration

# Output -> what it is.
_MEANINGS = {
    "embedding": "one vector per sequence",
    "score": "how unusual the sequence is, 1 on average",
    "p_value": "share of the calibration's sequences of similar length that score as high",
    "feature_error": "error of each feature, in units of its training variance",
    "error": "their mean",
    "unexplained": "the error as a share of the variance of the sequence itself, 1 - R2",
    "pooled": "what the outputs of the encoder are pooled to",
    "level": "mean and deviation of each feature, bent to be of moderate size",
}


def build_onnx(
    model: SequenceAutoencoder,
    calibration: Calibration,
    *,
    offsets: Sequence[float] | None = None,
    feature_names: Sequence[str] | None = None,
) -> onnx.ModelProto:
    """Makes the ONNX model of a trained model, see `export_onnx`.

    Args:
        model: a model whose anomaly score is fitted.
        calibration: the scores that p-values compare with.
        offsets: what is subtracted from the features, or None.
        feature_names: names of the features, or None; they become the property `features`.
    """
    graph = Graph()
    sequence, length = _add_inputs(graph, model.num_features, offsets)
    found = analyze(model, sequence, length)
    found["p_value"] = add_p_values(calibration, length, found["score"])
    sizes = {
        "embedding": model.embedding_size,
        "feature_error": model.num_features,
        "pooled": model.pooled_size,
        "level": 2 * model.num_features,
    }
    for name, meaning in _MEANINGS.items():
        width = [sizes[name]] if name in sizes else []
        graph.output(name, found[name], ["batch", *width], meaning)
    made = graph.as_model("padless", producer_name="padless", producer_version=padless.__version__)
    if feature_names:
        onnx.helper.set_model_props(made, {"features": json.dumps(list(feature_names))})
    return made


def _add_inputs(
    graph: Graph, num_features: int, offsets: Sequence[float] | None
) -> tuple[Tensor, Tensor]:
    """Adds both inputs, and subtracts the offsets from the sequences."""
    dtype = np.float32 if offsets is None else np.float64
    shape = ("batch", "timesteps", num_features)
    meaning = "in raw units; after its length a sequence may have any value"
    sequence = graph.input("sequence", dtype, shape, meaning)
    length = graph.input("length", np.int64, ("batch",), "timesteps of each sequence, at least 1")
    if offsets is None:
        return sequence, length
    return (sequence - np.array(offsets, np.float64)).cast(np.float32), length
