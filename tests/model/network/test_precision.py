"""Mixed precision against float32: what is rounded, what is not, and what is saved."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture, Inference, SequenceAutoencoder
from padless.pipeline.dataset.moments import Moments

# Relative error of a gradient of rounded layers: about the dtype's own rounding, and more where it
# decides which of two outputs is the maximum that is pooled.
TOLERANCE = {"mixed_float16": 8e-3, "mixed_bfloat16": 4e-2}
all_precisions = pytest.mark.parametrize("precision", TOLERANCE)
KINDS = [
    pytest.param({"cell": cell, "units": units, "bidirectional": both}, id=f"{cell}-{units}-{n}")
    for cell, units in (("lstm", 8), ("lstm", 66), ("gru", 8))
    for n, both in ((1, False), (2, True))
]
all_kinds = pytest.mark.parametrize("kind", KINDS)


def draw(batch=4, timesteps=9):
    """Draws walks around a million, of which float16 knows nothing."""
    steps = np.random.default_rng(0).normal(size=(batch, timesteps, 3))
    return (1e6 + 1e5 * np.cumsum(steps, axis=1)).astype(np.float32)


@pytest.fixture(scope="module")
def make(fit_score):
    """Builds a small model for those walks, with the same weights in every precision."""

    def build(precision="float32", **kind):
        keras.utils.set_random_seed(0)
        moments = Moments.of(draw().reshape(-1, 3))
        architecture = Architecture(latent_size=4, **{"units": 8} | kind)
        model = SequenceAutoencoder.for_moments(moments, architecture, precision=precision)
        fit_score(model)
        return model

    return build


def results_of(model, sequence, length=None):
    """Returns results and, under `"gradient"`, the gradient of the sum of the errors."""
    with tf.GradientTape() as tape:
        results = model.analyze(sequence, length)
        total = tf.reduce_sum(results["error"])
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    assert {gradient.dtype for gradient in gradients} == {tf.float32}
    return results | {"gradient": np.concatenate([np.ravel(gradient) for gradient in gradients])}


def assert_close_by_norm(received, expected, tolerance):
    assert np.linalg.norm(received - expected) <= tolerance * np.linalg.norm(expected)


@all_precisions
@all_kinds
def test_mixed_precision_is_close_to_float32_and_rounded(make, precision, kind):
    results = results_of(make(precision, **kind), draw())
    for name, expected in results_of(make(**kind), draw()).items():
        assert_close_by_norm(results[name], expected, TOLERANCE[precision])
        # Levels are computed in float32 before any layer.
        assert (np.abs(results[name] - expected).max() > 0) == (name != "level")


@all_precisions
def test_mixed_precision_gives_float32_and_keeps_float32_weights(make, precision):
    model = make(precision)
    results = model.analyze(draw()) | {"call": model(draw()), "embed": model.embed(draw())}
    assert {value.dtype for value in results.values()} == {tf.float32}
    assert {variable.dtype for variable in model.weights} == {"float32"}
    layers = (*model.encoder, *model.decoder)
    assert {layer.compute_dtype for layer in layers} == {precision.removeprefix("mixed_")}


@all_precisions
@all_kinds
def test_mixed_precision_runs_padded_rows_as_if_alone(make, precision, kind):
    model, sequence, length = make(precision, **kind), draw(batch=2), np.array([9, 4])
    padded = sequence.copy()
    padded[1, 4:] = np.nan
    results = results_of(model, padded, length)
    alone = [results_of(model, row[None, :n]) for row, n in zip(sequence, length, strict=True)]
    gradient = sum(single.pop("gradient") for single in alone)
    # A sum over more timesteps is rounded at other places.
    assert_close_by_norm(results["gradient"], gradient, TOLERANCE[precision])
    for i, name in itertools.product(range(2), alone[0]):
        np.testing.assert_allclose(
            results[name][i], alone[i][name][0], rtol=TOLERANCE[precision], atol=1e-3
        )


@all_precisions
def test_mixed_precision_keeps_values_out_of_the_range_of_float16(make, precision):
    model = make(precision)
    raw = draw() * np.float32(1e30)
    huge = SequenceAutoencoder(
        3, model.architecture, raw.mean((0, 1)), raw.astype(float).var((0, 1)), dtype=precision
    )
    huge.set_weights(model.get_weights())
    results = huge.analyze(raw)
    for name, expected in model.analyze(draw()).items():
        np.testing.assert_allclose(results[name], expected, rtol=0.05, atol=0.01)
    assert np.abs(huge(raw)).max() > 1e35


def test_float16_takes_sequences_far_out_of_its_range(make):
    mean, deviation = draw().mean((0, 1)), draw().std((0, 1))
    # 300,000 deviations, as after a sensor has failed.
    raw = (mean + deviation * 3e5 * np.sign(draw() - mean)).astype(np.float32)
    results = make("mixed_float16").analyze(raw)
    for name, expected in make().analyze(raw).items():
        assert np.isfinite(results[name]).all()
        np.testing.assert_allclose(results[name], expected, rtol=0.05, atol=0.05)


@all_precisions
def test_embeddings_are_not_rounded_to_16_bits(make, precision):
    embedding = make(precision).embed(draw())
    rounded = tf.cast(tf.cast(embedding, make(precision).compute_dtype), tf.float32)
    # The means and deviations, 2 of the 7 parts of what is pooled; the others are outputs.
    assert np.mean(rounded != embedding) > 0.25


@all_precisions
def test_mixed_precision_is_saved_with_the_model(make, precision, tmp_path):
    model = make(precision, bidirectional=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.dtype_policy.name == precision
    results = loaded.analyze(draw())
    for name, expected in model.analyze(draw()).items():
        np.testing.assert_array_equal(results[name], expected)


@all_precisions
def test_mixed_precision_is_exported(make, precision, tmp_path):
    model = make(precision)
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec((None, None, 3), tf.float32)]
    archive.add_endpoint("serve", model.analyze, input_signature=signature)
    archive.write_out(str(tmp_path / "saved_model"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    results = loaded.serve(draw())
    for name, expected in model.analyze(draw()).items():
        np.testing.assert_allclose(results[name], expected, rtol=1e-3, atol=1e-3)


@all_precisions
def test_inference_gives_float32(make, precision):
    sequence = draw()[0]
    results = Inference(make(precision))._run(sequence, [len(sequence)])
    assert {value.dtype for value in results.values()} == {tf.float32}


def test_model_follows_the_global_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = SequenceAutoencoder(2, {"units": 4})
    finally:
        keras.config.set_dtype_policy(before)
    assert model.encoder[0].compute_dtype == "bfloat16"
    assert model.analyze(np.ones((1, 2, 2), np.float32))["error"].dtype == tf.float32


def test_for_moments_rejects_another_precision():
    with pytest.raises(ValueError, match=r"`precision` must be one of .*got 'float16'"):
        SequenceAutoencoder.for_moments(Moments.of(np.eye(2)), precision="float16")


def test_model_rejects_another_dtype():
    with pytest.raises(ValueError, match=r"`dtype` must be one of .*got 'float64'"):
        SequenceAutoencoder(2, dtype="float64")
