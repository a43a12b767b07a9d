"""The autoencoder on packed sequences, against itself on padded rows of known length."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import SequenceAutoencoder
from padless.pipeline.batching.packing import PackedSequences, Packing

LENGTHS = np.array([7, 5, 5, 2, 1])
KINDS = [
    pytest.param(
        {"cell": cell, "layers": layers, "bidirectional": both, "pooling": pooling},
        id=f"{cell}-{layers}-{'both' if both else 'forward'}-{pooling}",
    )
    for cell in ("lstm", "gru")
    for layers, both, pooling in ((1, True, "last_and_mean"), (2, False, "last"), (2, True, "mean"))
]
OTHERS = [
    pytest.param({"initial_state": False}, id="no initial state"),
    pytest.param({"linear_head": False}, id="no head"),
    pytest.param({"units": 65}, id="65 units"),
    pytest.param({"patch_length": 3}, id="patches"),
    pytest.param({"patch_length": 2, "linear_head": False}, id="patches without a head"),
]
MEAN, VARIANCE = [100.0, -3.0], [25.0, 0.01]


@pytest.fixture(scope="module")
def both_layouts():
    """Draws sequences in raw units: packed, and padded with what must not count."""
    rng = np.random.default_rng(0)
    padded = rng.normal(MEAN, np.sqrt(VARIANCE), (len(LENGTHS), max(LENGTHS), 2))
    packing = Packing.of(tf.constant(LENGTHS))
    values = tf.gather_nd(padded.astype(np.float32), tf.stack((packing.row, packing.time), 1))
    padded[np.arange(max(LENGTHS)) >= LENGTHS[:, None]] = 1e6
    return PackedSequences(values, tf.constant(LENGTHS)), padded.astype(np.float32)


def losses_and_gradients(model, sequence, length=None):
    weights = tf.constant([1.0, 0.5, 2.0, 1.0, 3.0])
    with tf.GradientTape() as tape:
        losses = model.sequence_losses(sequence, length, training=True)
        total = tf.reduce_sum(weights * losses)
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    return losses, np.concatenate([np.ravel(g).astype(np.float64) for g in gradients])


def assert_close(received, expected, tolerance=1e-5):
    received, expected = (np.asarray(value, np.float64) for value in (received, expected))
    assert np.linalg.norm(received - expected) <= tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("kind", KINDS + OTHERS)
def test_packed_and_padded_rows_have_one_loss_and_gradient(make_model, both_layouts, kind):
    model, (packed, padded) = make_model(mean=MEAN, variance=VARIANCE, **kind), both_layouts
    losses, gradient = losses_and_gradients(model, packed)
    expected_losses, expected_gradient = losses_and_gradients(model, padded, LENGTHS)
    assert_close(losses, expected_losses)
    assert_close(gradient, expected_gradient)


@pytest.mark.parametrize("kind", KINDS + OTHERS)
def test_packed_and_padded_rows_have_the_same_outputs(make_model, both_layouts, kind):
    model, (packed, padded) = make_model(mean=MEAN, variance=VARIANCE, **kind), both_layouts
    expected = model.analyze(padded, LENGTHS)
    received = model.analyze(packed)
    assert set(received) == set(expected)
    for name, values in expected.items():
        assert_close(received[name], values, 1e-4 if name == "score" else 1e-5)
    assert_close(model.embed(packed), expected["embedding"])
    reconstruction = PackedSequences(model(packed), packed.length).to_ragged()
    for row, length, whole in zip(reconstruction, LENGTHS, model(padded, LENGTHS), strict=True):
        assert_close(row, whole[:length])
    losses, reconstruction = model.reconstruct(packed)
    assert_close(losses, model.sequence_losses(packed))
    assert_close(reconstruction, model(packed))


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_halves_have_the_loss_of_padded_rows(both_layouts, cell, precision):
    keras.utils.set_random_seed(1)
    architecture = {"units": 4, "latent_size": 3, "cell": cell}
    model = SequenceAutoencoder(2, architecture, MEAN, VARIANCE, dtype=precision)
    packed, padded = both_layouts
    losses, gradient = losses_and_gradients(model, packed)
    expected_losses, expected_gradient = losses_and_gradients(model, padded, LENGTHS)
    assert losses.dtype == tf.float32
    assert_close(losses, expected_losses, 1e-2)
    assert_close(gradient, expected_gradient, 3e-2)


@pytest.fixture(scope="module")
def total_and_gradients(make_model):
    """Traces once the loss of packed rows, added up, and its gradients."""
    model = make_model(mean=MEAN, variance=VARIANCE)
    signature = [tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int32)]

    @tf.function(autograph=False, input_signature=signature)
    def run(values, length):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(model.sequence_losses(PackedSequences(values, length)))
        return [total, *tape.gradient(total, [v.value for v in model.trainable_variables])]

    return run


@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_pieces_of_a_step_add_up_to_its_loss_and_gradient(
    total_and_gradients, both_layouts, pieces
):
    packed, _ = both_layouts
    rows = packed.to_ragged()
    dealt = (tf.range(len(packed.length))[piece::pieces] for piece in range(pieces))
    cut = [PackedSequences.of(tf.gather(rows, part))[0] for part in dealt]
    whole, _ = PackedSequences.of(rows)
    parts = [total_and_gradients(*piece) for piece in cut]
    for received, expected in zip(
        map(sum, zip(*parts, strict=True)), total_and_gradients(*whole), strict=True
    ):
        assert_close(received, expected)


def test_no_row_has_no_loss_and_a_gradient_of_zero(total_and_gradients):
    results = total_and_gradients(tf.zeros((0, 2)), tf.zeros([0], tf.int32))
    assert not any(np.asarray(result).any() for result in results)


def test_dropout_acts_on_packed_rows_in_training_alone(make_model, both_layouts):
    model, (packed, _) = make_model(dropout=0.5), both_layouts
    first, second = (model.sequence_losses(packed, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 1e-6
    np.testing.assert_array_equal(model.sequence_losses(packed), model.sequence_losses(packed))


@pytest.mark.parametrize("alignment", ["masked_repeat", "cropped_output", "propagated_mask"])
def test_alignments_that_pad_take_packed_rows_as_padded_ones(make_model, both_layouts, alignment):
    packed, padded = both_layouts
    model = make_model(mean=MEAN, variance=VARIANCE, alignment=alignment)
    assert_close(model.sequence_losses(packed), model.sequence_losses(padded, LENGTHS))
    rows, expected = model(packed), model(padded, LENGTHS)
    packing = Packing.of(packed.length)
    assert_close(rows, packing.unpad(expected))


def test_packed_rows_come_without_another_length(make_model, both_layouts):
    packed, _ = both_layouts
    with pytest.raises(ValueError, match="have their own length"):
        make_model().analyze(packed, LENGTHS)


def test_a_saved_model_of_your_own_may_take_packed_rows(make_model, both_layouts, tmp_path):
    model, (packed, _) = make_model(mean=MEAN, variance=VARIANCE), both_layouts
    signature = [tf.TensorSpec((None, 2)), tf.TensorSpec((None,), tf.int64)]

    @tf.function(input_signature=signature, autograph=False)
    def analyze(values, length):
        return model.analyze(PackedSequences(values, length))

    module = tf.Module()
    module.model, module.analyze = model, analyze
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    results = loaded.analyze(packed.values, packed.length)
    for name, expected in model.analyze(packed).items():
        assert_close(results[name], expected)
