"""The model on every kind of architecture, against NumPy and against itself on padded input."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Architecture, SequenceAutoencoder
from padless.pipeline.dataset.moments import Moments

MEAN, VARIANCE = [100.0, -3.0], [25.0, 0.01]
KINDS = [
    pytest.param({"cell": cell, "layers": layers, "bidirectional": both}, id=f"{cell}-{layers}-{n}")
    for cell in ("lstm", "gru")
    for layers in (1, 2)
    for n, both in ((1, False), (2, True))
]
all_kinds = pytest.mark.parametrize("kind", KINDS)


def draw(lengths, seed=0):
    """Draws sequences in raw units whose moments are about `MEAN` and `VARIANCE`."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(MEAN, np.sqrt(VARIANCE), (length, 2)) for length in lengths]
    return [sequence.astype(np.float32) for sequence in drawn]


def pad(sequences, fill, timesteps=9):
    """Pads on the right: `(batch, timesteps, features)` and the lengths."""
    padded = np.full((len(sequences), timesteps, 2), fill, np.float32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded, np.array([len(sequence) for sequence in sequences])


def assert_close(received, expected, rtol=1e-5):
    expected = np.asarray(expected)
    atol = rtol / 10 * np.abs(expected).max()
    np.testing.assert_allclose(received, expected, rtol=rtol, atol=atol)


def gradient_of(model, sequence, length=None, weights=1.0):
    """Returns the gradient of the sum of weighted errors, `(weights of the model,)` float64."""
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(weights * model.analyze(sequence, length)["error"])
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    return np.concatenate([np.ravel(g).astype(np.float64) for g in gradients])


@all_kinds
def test_model_gives_the_shape_it_takes_for_any_length(make_model, kind):
    model = make_model(**kind)
    pooled = 7 * 8 if kind["bidirectional"] else 7 * 4  # seven statistics of 4 units each way
    assert model.embedding_size == model.pooled_size == pooled
    for batch, timesteps in [(1, 1), (3, 2), (2, 9)]:
        sequence = np.zeros((batch, timesteps, 2), np.float32)
        results = model.analyze(sequence)
        assert model(sequence).shape == (batch, timesteps, 2)
        assert model.embed(sequence).shape == results["embedding"].shape == (batch, pooled)
        assert results["level"].shape == (batch, 4)
        assert results["feature_error"].shape == (batch, 2)
        assert results["error"].shape == results["unexplained"].shape == (batch,)


@pytest.mark.parametrize(("own_scale", "size"), [(True, 3 + 2 * 2), (False, 3)])
def test_a_code_is_embedded_where_it_is_asked_for(make_model, own_scale, size):
    model = make_model(embedding="code", own_scale=own_scale)
    sequence = np.stack(draw([6, 6, 6]))
    results = model.analyze(sequence)
    assert model.embedding_size == size
    assert results["embedding"].shape == (3, size)
    np.testing.assert_array_equal(results["embedding"], model.embed(sequence))
    np.testing.assert_array_equal(results["embedding"][:, :3], model.latent(results["pooled"]))
    np.testing.assert_array_equal(results["embedding"][:, 3:], results["level"][:, : size - 3])


@all_kinds
def test_model_has_the_layers_asked_for(make_model, kind):
    model = make_model(**kind)
    cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind["cell"]]
    assert len(model.encoder) == len(model.decoder) == kind["layers"]
    for layer in (*model.encoder, *model.decoder):
        assert isinstance(layer.forward_layer, cell)
        assert layer.forward_layer.built
    for layer in model.encoder:
        assert isinstance(layer.backward_layer, cell if kind["bidirectional"] else type(None))
    assert all(layer.backward_layer is None for layer in model.decoder)


def test_analyze_gives_the_errors_in_units_of_the_training_variance(make_model):
    model = make_model(mean=MEAN, variance=VARIANCE)
    sequence = np.stack(draw([6, 6, 6]))
    results = model.analyze(sequence)
    # Raw values in, raw values out: the error is that of the output, divided by the variance.
    error = (np.square(model(sequence).numpy() - sequence) / np.float32(VARIANCE)).mean(axis=1)
    np.testing.assert_allclose(results["feature_error"], error, rtol=2e-4)
    np.testing.assert_allclose(results["error"], error.mean(axis=-1), rtol=2e-4)
    np.testing.assert_array_equal(results["embedding"], model.embed(sequence))


def unexplained(padded, length, model):
    """Returns the error of each sequence as a share of its variance."""
    own = np.array([row[:n].var(axis=0).mean() for row, n in zip(padded, length, strict=True)])
    return model.analyze(padded, length)["error"] / own


def read_own_scale_alone(model):
    """Sets what the encoder multiplies all but the values on their own scale by to 0."""
    for direction in (model.encoder[0].forward_layer, model.encoder[0].backward_layer):
        kernel = direction.cell.kernel
        is_read = np.arange(kernel.shape[0]) // model.num_features == 1
        kernel.assign(np.where(is_read[:, None], kernel, 0))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("alignment", ["dynamic_repeat", "masked_repeat"])
def test_a_model_of_the_own_scale_alone_follows_a_sequence(make_model, cell, alignment):
    model = make_model(cell=cell, alignment=alignment)
    padded, length = pad([(s - MEAN) / np.sqrt(VARIANCE) for s in draw([9, 6, 4])], fill=0)
    factor, shift = np.float32([3, 0.25]), np.float32([-7, 2])
    moved = factor * padded + shift
    read_everything = model.sequence_losses(moved, length) - model.sequence_losses(padded, length)
    assert np.abs(read_everything).min() > 1e-4
    read_own_scale_alone(model)
    losses, results = model.sequence_losses(padded, length), model.analyze(padded, length)
    moved_results = model.analyze(moved, length)
    np.testing.assert_allclose(model.sequence_losses(moved, length), losses, rtol=1e-4)
    assert_close(moved_results["embedding"], results["embedding"], rtol=1e-4)
    # The shape is the same, and the level tells what differs.
    assert_close(moved_results["unexplained"], unexplained(moved, length, model), rtol=1e-4)
    assert_close(moved_results["level"][:, 2:], results["level"][:, 2:] + np.log(factor), rtol=1e-4)
    expected = results["feature_error"] * factor**2
    np.testing.assert_allclose(moved_results["feature_error"], expected, rtol=1e-4)
    for received, rebuilt, n in zip(
        model(moved, length), model(padded, length), length, strict=True
    ):
        assert_close(received[:n], factor * rebuilt[:n] + shift, rtol=1e-4)


@pytest.mark.parametrize("own_scale", [True, False])
def test_a_loss_is_the_error_on_the_scale_that_is_rebuilt(make_model, own_scale):
    model = make_model(mean=MEAN, variance=VARIANCE, own_scale=own_scale)
    sequences = draw([6, 6, 6])
    # The last one varies a thousandth as much as the others.
    sequences[2] = (MEAN + 0.001 * (sequences[2] - MEAN)).astype(np.float32)
    raw = np.stack(sequences)
    variance = np.ones((3, 2))
    if own_scale:
        variance = (raw / np.sqrt(VARIANCE)).var(axis=1)
    expected = (model.analyze(raw)["feature_error"] / variance).numpy().mean(axis=1)
    np.testing.assert_allclose(model.sequence_losses(raw), expected, rtol=1e-3)


@pytest.mark.parametrize("size", [1e15, 1e20, 1e30, 3e38])
@pytest.mark.parametrize("own_scale", [True, False])
def test_a_value_of_any_size_is_embedded_and_scored(make_model, own_scale, size):
    model = make_model(own_scale=own_scale)
    sequence = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    usual = model.analyze(sequence)
    sequence[1, 2, 0] = size
    results, loss = model.analyze(sequence), model.sequence_losses(sequence)
    assert np.isfinite(results["embedding"]).all()
    assert np.isfinite(results["pooled"]).all()
    assert np.isfinite(results["level"]).all()
    is_held = size < 1e19  # its square is at most what a float32 holds
    for values in (results["score"], results["error"], loss):
        assert np.isfinite(values).tolist() == [True, is_held]
        assert not np.isnan(values).any()
    assert results["score"][1] > 100 * results["score"][0]
    for name, expected in usual.items():
        assert_close(results[name][0], expected[0])


def test_model_sees_the_standardized_values_alone(make_model):
    raw = np.stack(draw([6, 6, 6]))
    standardized = ((raw - MEAN) / np.sqrt(VARIANCE)).astype(np.float32)
    results = make_model(mean=MEAN, variance=VARIANCE).analyze(raw)
    for name, expected in make_model().analyze(standardized).items():
        np.testing.assert_allclose(results[name], expected, rtol=2e-4, atol=2e-5)


def test_for_moments_takes_mean_and_variance(small):
    moments = Moments.of(np.array([[0.0, 5.0], [2.0, 5.0]]))
    model = SequenceAutoencoder.for_moments(moments, small)
    assert (model.mean, model.variance) == ([1.0, 5.0], [1.0, 0.0])
    assert model.architecture == small


def test_a_constant_feature_stays_finite(make_model):
    model = make_model(mean=[100.0, 7.0], variance=[25.0, 0.0])
    sequence = np.stack(draw([5, 5]))
    sequence[..., 1] = 7.0
    sequence[1, :, 1] += np.arange(5)
    results = model.analyze(sequence) | {"reconstruction": model(sequence)}
    assert all(np.isfinite(values).all() for values in results.values())
    # Where there is no scale to divide by, the error is in raw units.
    error = np.square(model(sequence)[..., 1] - sequence[..., 1]).mean(axis=1)
    np.testing.assert_allclose(results["feature_error"][:, 1], error, rtol=1e-4, atol=1e-9)


@all_kinds
def test_padding_behind_the_length_changes_nothing(make_model, kind):
    model = make_model(mean=MEAN, variance=VARIANCE, **kind)
    sequences = draw([1, 4, 9, 4])
    alone = [(model.analyze(s[None]), model(s[None]), model.embed(s[None])) for s in sequences]
    for fill in (0.0, np.nan):  # zeros, and what would spoil all that reads it
        padded, length = pad(sequences, fill)
        results, reconstruction = model.analyze(padded, length), model(padded, length)
        embedding = model.embed(padded, length)
        for i, (analyzed, rebuilt, embedded) in enumerate(alone):
            for name, expected in analyzed.items():
                assert_close(results[name][i], expected[0])
            assert_close(reconstruction[i, : length[i]], rebuilt[0])
            assert not np.any(reconstruction[i, length[i] :])
            assert_close(embedding[i], embedded[0])


@all_kinds
def test_true_zeros_are_data(make_model, kind):
    model = make_model(**kind)
    sequence = np.concatenate(draw([3, 3]))[None]
    ending_in_zeros = np.where(np.arange(6)[:, None] < 3, sequence, np.float32(0))
    whole = model.analyze(ending_in_zeros)
    cut = model.analyze(ending_in_zeros[:, :3])
    assert np.abs(whole["embedding"] - cut["embedding"]).max() > 1e-4
    for name, expected in model.analyze(ending_in_zeros, np.array([6])).items():
        assert_close(expected, whole[name])


@all_kinds
def test_exact_batches_have_the_gradient_of_the_padded_batch(make_model, kind):
    model = make_model(mean=MEAN, variance=VARIANCE, **kind)
    sequences = sorted(draw([5, 2, 2, 9, 5, 1, 5]), key=len)
    weight = dict(zip(map(len, sequences), [1.0, 2.0, 0.5, 3.0, 1.0, 1.0, 0.25], strict=True))

    def gradient(sequence, length=None):
        weights = tf.constant([weight[n] for n in length or [sequence.shape[1]] * len(sequence)])
        return gradient_of(model, sequence, length, weights), float(tf.reduce_sum(weights))

    groups = [np.stack(list(group)) for _, group in itertools.groupby(sequences, key=len)]
    totals, weights = zip(*(gradient(group) for group in groups), strict=True)
    exact = sum(totals) / sum(weights)
    padded, length = pad(sequences, fill=np.nan)
    mixed, mixed_weight = gradient(padded, length.tolist())
    assert len(groups) == 4
    assert sum(weights) == pytest.approx(mixed_weight)
    norm = np.linalg.norm(exact)
    assert np.linalg.norm(mixed / mixed_weight - exact) <= 1e-5 * norm
    assert norm > 1e-2


@all_kinds
def test_padding_gets_no_gradient(make_model, kind):
    model = make_model(mean=MEAN, variance=VARIANCE, **kind)
    sequences = draw([2, 9, 5])
    padded, length = pad(sequences, fill=np.nan)

    def gradient(sequence, length=None):
        sequence = tf.constant(sequence)
        with tf.GradientTape() as tape:
            tape.watch(sequence)
            error = model.analyze(sequence, length)["error"]
        return tape.gradient(error, sequence).numpy()

    mixed = gradient(padded, length)
    for i, sequence in enumerate(sequences):
        assert_close(mixed[i, : len(sequence)], gradient(sequence[None])[0])
        assert not mixed[i, len(sequence) :].any()


def test_lengths_need_one_trace_and_no_loop_over_timesteps(make_model):
    model = make_model(bidirectional=True, layers=2)
    signature = [tf.TensorSpec((None, None, 2)), tf.TensorSpec((None,), tf.int64)]
    analyze = tf.function(model.analyze, input_signature=signature, autograph=False)
    for timesteps in (1, 4):
        sequence = np.stack(draw([timesteps] * 2))
        results = analyze(sequence, [timesteps] * 2)
        for name, expected in model.analyze(sequence).items():
            assert_close(results[name], expected)
    assert analyze.experimental_get_tracing_count() == 1
    operations = {op.type for op in analyze.get_concrete_function().graph.get_operations()}
    assert "BlockLSTM" in operations
    assert "While" not in operations


@all_kinds
def test_dropout_is_off_unless_training(make_model, kind):
    model = make_model(dropout=0.5, **kind)
    whole = make_model(**kind)
    whole.set_weights(model.get_weights())
    sequence = np.stack(draw([5, 5]))
    results, dropped = model.analyze(sequence), model.analyze(sequence, training=True)
    for name, expected in whole.analyze(sequence).items():
        np.testing.assert_array_equal(results[name], expected)
        if name == "level":  # which no layer has a part in
            continue
        assert np.abs(dropped[name] - expected).max() > 1e-4
    np.testing.assert_array_equal(model(sequence), whole(sequence))
    np.testing.assert_array_equal(model.embed(sequence), whole.embed(sequence))


def test_dropout_draws_the_same_again_from_the_variables(make_model):
    model = make_model(dropout=0.5, layers=2, bidirectional=True)
    sequence = np.stack(draw([5, 5]))
    before = [variable.numpy() for variable in model.variables]
    drawn = [model.analyze(sequence, training=True)["error"] for _ in range(3)]
    after = [variable.numpy() for variable in model.variables]
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)
    again = [model.analyze(sequence, training=True)["error"] for _ in range(3)]
    np.testing.assert_array_equal(again, drawn)
    assert len({float(errors[0]) for errors in drawn}) == 3
    # The states of two layers in the encoder and two in the decoder.
    assert sum((old != new).any() for old, new in zip(before, after, strict=True)) == 4


def test_dropout_is_kept_by_a_saved_model(make_model, tmp_path):
    make_model(dropout=0.25).save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert reloaded.architecture.dropout == 0.25


@all_kinds
def test_model_reloads_in_safe_mode(make_model, tmp_path, kind):
    model = make_model(mean=MEAN, variance=VARIANCE, **kind)
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(reloaded) is SequenceAutoencoder
    assert reloaded.architecture == model.architecture
    assert (reloaded.mean, reloaded.variance) == (MEAN, VARIANCE)
    for timesteps in (1, 6):
        sequence = np.stack(draw([timesteps] * 2))
        np.testing.assert_array_equal(reloaded(sequence), model(sequence))
        results = reloaded.analyze(sequence)
        for name, expected in model.analyze(sequence).items():
            np.testing.assert_array_equal(results[name], expected)


def test_model_takes_its_architecture_as_a_dict(small):
    model = SequenceAutoencoder(2, dataclasses.asdict(small))
    assert model.architecture == small
    assert SequenceAutoencoder(2).architecture == Architecture()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_size": 0}, "`latent_size` must be at least 1, got 0"),
        ({"units": -1}, "`units` must be at least 1, got -1"),
        ({"layers": 0}, "`layers` must be at least 1, got 0"),
        ({"dropout": 1.0}, r"`dropout` must be at least 0 and below 1, got 1.0"),
        ({"dropout": -0.1}, r"`dropout` must be at least 0 and below 1, got -0.1"),
        ({"dropout": float("nan")}, r"`dropout` must be at least 0 and below 1, got nan"),
        ({"cell": "rnn"}, r"`cell` must be one of 'gru' and 'lstm', got 'rnn'"),
        ({"embedding": "all"}, r"`embedding` must be one of 'code' and 'pooled', got 'all'"),
        ({"pooling": "max"}, r"`pooling` must be one of 'last', .*'statistics', got 'max'"),
        ({"patch_length": 0}, "`patch_length` must be at least 1, got 0"),
    ],
)
def test_architecture_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**options)


@pytest.mark.parametrize(
    "sizes",
    [
        *({}, {"units": 1}, {"units": 70, "cell": "gru"}, {"layers": 3, "units": 5}),
        *({"latent_size": 50, "units": 2, "layers": 2}, {"patch_length": 40, "units": 1}),
        {"patch_length": 40, "units": 2, "linear_head": False},
        {"latent_size": 50, "initial_state": False, "bidirectional": False, "pooling": "last"},
    ],
)
def test_a_model_has_at_least_as_many_weights_as_its_architecture_counts(sizes):
    architecture = Architecture(**{"latent_size": 3, "units": 4, "own_scale": False, **sizes})
    model = SequenceAutoencoder(2, architecture)
    counted = architecture.count_weights_at_least(2)
    assert counted <= model.count_params() <= 250 * counted
