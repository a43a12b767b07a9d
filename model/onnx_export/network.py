"""What `SequenceAutoencoder.analyze` computes, as a graph of ONNX.

1. `_read` standardizes sequences to what the encoder reads and what is to be reconstructed.
2. `_encode` pools the outputs of the encoder, `_decode` gives sequences back.
3. `_errors` and `_score` compare them.

Every alignment comes to the same here but `padded`, which reads padding as if it were data.
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np

from padless.model.network.anomaly_score import SMALLEST_ERROR, WEIGHTS, AnomalyScore
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.network.own_scale import TOLD_AMPLITUDE
from padless.model.network.prepared import SMALLEST_VARIANCE, TOLD
from padless.model.onnx_export.graph import Tensor
from padless.model.onnx_export.patches import Patches
from padless.model.onnx_export.recurrent import run_layer
from padless.model.onnx_export.rows import OwnScale, Rows, standardized


class _Read(NamedTuple):
    """Sequences as the layers take them, see `padless.model.network.prepared.Prepared`."""

    inputs: Tensor
    target: Tensor
    scale: OwnScale
    seen: Tensor | None


def analyze(model: SequenceAutoencoder, sequence: Tensor, length: Tensor) -> dict[str, Tensor]:
    """Adds a model to the graph of its inputs.

    Args:
        model: the model.
        sequence: `(batch, timesteps, features)` float32, raw units, less the offsets.
        length: valid timesteps of each row, `(batch,)` int64.

    Returns:
        What `SequenceAutoencoder.analyze` does, but for `timestep_error`.
    """
    rows = Rows.of(length.expand_dims(1), sequence.size(1))
    read = _read(model, sequence, rows)
    inputs, known = _pad(model, read.inputs, rows)
    patches = Patches.of(known, model.patch_length)
    pooled = _encode(model, patches.cut(inputs, _width(model)), patches.rows)
    latent = _dense(model.latent, pooled)
    given = patches.join(_decode(model, latent, patches.rows), model.num_features)
    if model.alignment.counts_padding:
        given = given.slice(0, rows.timesteps, axis=1)
    level = read.scale.level()
    found = _errors(model, read, given, rows) | {"pooled": pooled, "level": level}
    score = _score(model.anomaly_score, found)
    return {"embedding": _embedding(model, pooled, latent, level), "score": score, **found}


def _width(model: SequenceAutoencoder) -> int:
    """Returns how many values of a timestep the encoder reads."""
    return model.num_features * model.architecture.inputs_per_feature


def _read(model: SequenceAutoencoder, sequence: Tensor, rows: Rows) -> _Read:
    architecture, graph = model.architecture, sequence.graph
    values, seen = sequence, None
    if architecture.masks_missing:
        seen = ~graph.add("IsNaN", values, dtype=bool)
        values = graph.where(seen, values, 0.0)
    values = rows.blank(values)
    scale = rows.own_scale(values, seen, model.standardize)
    if seen is not None:
        values = rows.carry_forward(values, seen, scale.centre)
    target = rows.blank(standardized(values, model.standardize))
    parts = [target]
    if architecture.own_scale:
        target = rows.blank(scale.apply(values))
        amplitude = scale.deviation.apply("Log") * TOLD_AMPLITUDE
        parts += [target, rows.blank(amplitude.expand_dims(1))]
    if seen is not None:
        parts.append(rows.blank(seen.cast(np.float32) * TOLD))
    return _Read(graph.concat(parts, 2), target, scale, seen)


def _pad(model: SequenceAutoencoder, inputs: Tensor, rows: Rows) -> tuple[Tensor, Rows]:
    """Returns what the encoder reads, and what the layers know of its ends.

    A rectangle that is longer than the model pads to fails when the graph runs, as it would lack a
    number of timesteps below 0; the name of the node says why.
    """
    if not model.alignment.counts_padding:
        return inputs, rows
    graph, longest = inputs.graph, inputs.graph.constant(np.array(model.longest, np.int64))
    missing = longest - rows.timesteps
    shape = inputs.size(0).reshape(1), missing.reshape(1), np.array([_width(model)])
    rule = f"sequences must have at most {model.longest} timesteps"
    sizes = graph.concat(shape, 0)
    padding = graph.add("ConstantOfShape", sizes, dtype=np.float32, name=rule)
    return graph.concat([inputs, padding], 1), Rows.of(rows.length * 0 + longest, longest)


def _encode(model: SequenceAutoencoder, values: Tensor, rows: Rows) -> Tensor:
    """Returns what the encoder's outputs are pooled to."""
    for layer in model.encoder:
        values, last = run_layer(layer, values, rows)
    return rows.pool(last, values, model.architecture.pooling)


def _decode(model: SequenceAutoencoder, latent: Tensor, rows: Rows) -> Tensor:
    """Returns what the decoder gives for each patch."""
    graph = latent.graph
    values = latent.expand_dims(1).broadcast(1, rows.timesteps, 1)
    if model.architecture.position:
        values = graph.concat([values, rows.positions()], 2)
    for i, layer in enumerate(model.decoder):
        states = None
        if model.initial_state:
            given = _dense(model.initial_state[i], latent).apply("Tanh")
            count = model.initial_state[i].units // layer.units
            states = given.split([layer.units] * count, axis=1)
        values, _ = run_layer(layer, values, rows, states)
    return values if model.head is None else _dense(model.head, values)


def _dense(layer: keras.layers.Dense, values: Tensor) -> Tensor:
    return values @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def _embedding(model: SequenceAutoencoder, pooled: Tensor, latent: Tensor, level: Tensor) -> Tensor:
    if model.architecture.embedding == "pooled":
        return pooled
    return latent.graph.concat([latent, level], 1) if model.architecture.own_scale else latent


def _errors(
    model: SequenceAutoencoder, read: _Read, given: Tensor, rows: Rows
) -> dict[str, Tensor]:
    """Returns the errors of the reconstruction, in units of the training variance."""
    error = rows.mean((given - read.target).square(), read.seen)
    variance = read.scale.deviation.square()
    if model.architecture.own_scale:
        error = error * variance
    else:
        variance = variance.at_least(SMALLEST_VARIANCE)
    of_values = None if read.seen is None else rows.mean(read.seen.cast(np.float32)) > 0
    whole = _mean_of_features(error, of_values)
    variance = _mean_of_features(variance, of_values)
    if of_values is not None:
        error = error.graph.where(of_values, error, float("nan"))
    return {"feature_error": error, "error": whole, "unexplained": whole / variance}


def _mean_of_features(values: Tensor, of_values: Tensor | None) -> Tensor:
    """Computes the mean over the features that have a value, 0 where none has."""
    if of_values is None:
        return values.mean(1)
    count = of_values.cast(np.float32).sum(1)
    return values.graph.where(of_values, values, 0.0).sum(1) / count.at_least(1.0)


def _score(layer: AnomalyScore, traits: dict[str, Tensor]) -> Tensor:
    """Computes the anomaly score, see `AnomalyScore`."""
    weights = {weight.name: np.asarray(weight) for weight in layer.weights}
    level = traits["level"]
    along = (level - weights["level_mean"]) @ weights["slope"]
    logs = [_log(traits["error"]) - along, _log(traits["unexplained"])]
    # Before it is fitted the score is not a number.
    deviation = np.where(weights["deviation"] > 0, weights["deviation"], np.float32("nan"))
    pairs = zip(logs, weights["expected"], deviation, strict=True)
    terms = [
        _distance(traits["pooled"], weights["pooled_mean"], weights["pooled_whitening"]),
        _distance(level, weights["level_mean"], weights["level_whitening"]),
        *(((log - mean) / scale).square() for log, mean, scale in pairs),
    ]
    first, *others = (term * weight for term, weight in zip(terms, WEIGHTS, strict=True))
    return sum(others, start=first)


def _log(error: Tensor) -> Tensor:
    return error.at_least(SMALLEST_ERROR).apply("Log")


def _distance(vectors: Tensor, mean: np.ndarray, whitening: np.ndarray) -> Tensor:
    return ((vectors - mean) @ whitening).square().mean(1)
