"""The graph of ONNX computes what the model does, whatever the architecture."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.model import ALIGNMENTS, Architecture, SequenceAutoencoder
from padless.model.network.architecture import CELLS, EMBEDDINGS, POOLINGS
from padless.model.onnx_export.build import build_onnx

MEAN, VARIANCE = [1.0, -200.0], [4.0, 0.25]
# Shorter than a patch, of fewer timesteps than thirds, and shorter than the rectangle.
LENGTHS = np.array([1, 2, 3, 5, 7, 9, 8, 1])
TIMESTEPS = 10
FORMS = [
    {},
    {"cell": "gru"},
    {"cell": "gru", "layers": 2, "patch_length": 3, "embedding": "code"},
    {"layers": 3, "bidirectional": False, "pooling": "last", "patch_length": 4},
    {"pooling": "mean", "own_scale": False, "embedding": "code", "initial_state": False},
    {"pooling": "last_and_mean", "linear_head": False, "position": False, "dropout": 0.5},
    {"masks_missing": True, "patch_length": 2},
    {"masks_missing": True, "cell": "gru", "own_scale": False, "linear_head": False},
    {"alignment": "masked_repeat", "bidirectional": False, "cell": "gru"},
    {"alignment": "cropped_output"},
    {"alignment": "propagated_mask", "masks_missing": True},
    {"alignment": "padded", "patch_length": 3, "layers": 2},
]


def draw_rows(num_features=2, *, missing=False, seed=0):
    """Draws rows that hold NaN after their ends."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(len(LENGTHS), TIMESTEPS, num_features)) * 2 + [1.0, -200.0]
    if missing:
        values[rng.uniform(size=values.shape) < 0.4] = np.nan
        values[3, :, 1] = np.nan
    values[np.arange(TIMESTEPS) >= LENGTHS[:, None]] = np.nan
    return values.astype(np.float32)


def shake(model, seed=0):
    """Sets all biases, which are 0 or 1 in a new model, to numbers that differ."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if weight.name == "bias":
            weight.assign(rng.normal(scale=0.5, size=weight.shape))


def make(make_model, **form):
    longest = TIMESTEPS + 2 if form.get("alignment") == "padded" else None
    model = make_model(mean=MEAN, variance=VARIANCE, longest=longest, **form)
    shake(model)
    return model


def assert_close(received, expected, rtol=1e-5, atol=1e-5):
    assert received.keys() == expected.keys() | {"p_value"}
    for name, values in expected.items():
        np.testing.assert_allclose(received[name], values, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_outputs_are_those_of_the_model(make_model, exported, form):
    model = make(make_model, **form)
    rows = draw_rows(missing=model.architecture.masks_missing)
    assert_close(*exported(model, rows, LENGTHS))


def test_forms_have_every_choice_of_every_option():
    forms = [dataclasses.asdict(Architecture(**form)) for form in FORMS]
    choices = {"cell": CELLS, "embedding": EMBEDDINGS, "pooling": POOLINGS, "alignment": ALIGNMENTS}
    for name, values in choices.items():
        assert {form[name] for form in forms} == set(values)
    sizes = {"units", "latent_size"}
    for name in forms[0].keys() - choices.keys() - sizes:
        assert len({form[name] for form in forms}) > 1, name


@settings(max_examples=12, deadline=None)
@given(
    form=st.builds(
        dict,
        cell=st.sampled_from(CELLS),
        layers=st.integers(1, 2),
        units=st.integers(1, 5),
        latent_size=st.integers(1, 4),
        patch_length=st.integers(1, 4),
        bidirectional=st.booleans(),
        pooling=st.sampled_from(POOLINGS),
        embedding=st.sampled_from(EMBEDDINGS),
        own_scale=st.booleans(),
        position=st.booleans(),
        initial_state=st.booleans(),
        linear_head=st.booleans(),
        masks_missing=st.booleans(),
    ),
    seed=st.integers(0, 99),
)
def test_outputs_of_any_form_are_those_of_the_model(make_model, exported, form, seed):
    model = make(make_model, **form)
    rows = draw_rows(missing=model.architecture.masks_missing, seed=seed)
    assert_close(*exported(model, rows, LENGTHS))


def test_a_row_does_not_depend_on_its_mates(make_model, calibration, run_onnx):
    model = build_onnx(make(make_model, patch_length=3), calibration)
    rows = draw_rows()
    together = run_onnx(model, rows, LENGTHS)
    for i, length in enumerate(LENGTHS):
        alone = run_onnx(model, rows[i : i + 1, :length], [length])
        for name, values in alone.items():
            np.testing.assert_allclose(together[name][i], values[0], rtol=1e-5, atol=1e-6)


def test_the_recurrent_layers_are_standard_operations_with_lengths(make_model, calibration):
    for cell, operation in (("lstm", "LSTM"), ("gru", "GRU")):
        made = build_onnx(make_model(cell=cell, layers=2), calibration)
        assert {opset.domain for opset in made.opset_import} == {""}
        found = [node for node in made.graph.node if node.op_type == operation]
        assert len(found) == 4
        assert all(node.input[4] for node in found)  # `sequence_lens`
        assert not {node.op_type for node in made.graph.node} & {"Loop", "If"}


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_becomes_float32(fit_score, exported, precision):
    architecture = Architecture(latent_size=3, units=4)
    model = SequenceAutoencoder(2, architecture, MEAN, VARIANCE, dtype=precision)
    fit_score(model)
    assert_close(*exported(model, draw_rows(), LENGTHS), rtol=0.05, atol=0.05)


def test_sequences_longer_than_the_model_pads_to_are_rejected(make_model, exported):
    model = make_model(longest=4, alignment="padded")
    assert_close(*exported(model, np.ones((1, 4, 2), np.float32), [4]))
    with pytest.raises(Exception, match="sequences must have at most 4 timesteps"):
        exported(model, np.ones((1, 5, 2), np.float32), [5])


def test_values_beyond_the_usual_are_scored_alike(make_model, exported):
    rows = np.ones((4, 6, 2), np.float32)
    rows[0] *= 1e12
    rows[1] = 0.0
    rows[2, 3] = [1e6, -1e-6]
    assert_close(*exported(make_model(), rows, [6, 6, 6, 4]), rtol=1e-4)


def test_offsets_are_subtracted_in_float64(make_model, calibration, run_onnx):
    model, offsets = make_model(), (0.0, 5812345.0)
    rows = np.array([[[1.0, 0.25], [2.0, 0.375], [3.0, 0.125]]])
    made = build_onnx(model, calibration, offsets=offsets)
    received = run_onnx(made, rows + np.array(offsets), [3])
    expected = model.analyze(rows.astype(np.float32))
    assert_close(received, {name: np.asarray(values) for name, values in expected.items()})
