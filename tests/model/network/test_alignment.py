"""The five answers on the same weights and sequences: where they agree, and by how much not."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import (
    ALIGNMENTS,
    Architecture,
    SequenceAutoencoder,
    TrainingOptions,
    open_run,
    report_run,
)
from padless.model.reporting.epoch_count import count_epoch
from padless.model.run_directory.metrics_files import read_history
from padless.pipeline import Shuffle

LENGTHS = [1, 3, 6, 3, 4]
LONGEST = max(LENGTHS)
EQUAL = ("dynamic_repeat", "cropped_output", "propagated_mask")
KINDS = [
    pytest.param(
        {"cell": cell, "layers": layers, "bidirectional": both, "initial_state": both}
        | {"linear_head": head},
        id=f"{cell}-{layers}-{'both' if both else 'plain'}-{'head' if head else 'literal'}",
    )
    for cell, layers, both, head in (
        ("lstm", 1, False, False),
        ("lstm", 2, True, True),
        ("gru", 2, False, True),
        ("gru", 1, True, False),
    )
]
KINDS.append(pytest.param({"patch_length": 3}, id="patches"))
# Where the loss of a sequence is its error.
ON_ONE_SCALE = {"own_scale": False}
all_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def make_aligned(make_model):
    """Builds a model whose weights are the same for each alignment."""

    def make(alignment, **kind):
        return make_model(alignment=alignment, longest=LONGEST, **kind)

    return make


def draw(seed=0):
    """Draws sequences, padded with zeros, their lengths, and weights for the loss."""
    rng = np.random.default_rng(seed)
    padded = rng.normal(size=(len(LENGTHS), LONGEST, 2)).astype(np.float32)
    length = np.array(LENGTHS)
    padded[np.arange(LONGEST) >= length[:, None]] = 0
    return padded, length, rng.uniform(0.5, 2, len(LENGTHS)).astype(np.float32)


def loss_and_gradient(model, sequence, length, weight, per_sequence=None):
    with tf.GradientTape() as tape:
        losses = (per_sequence or model.sequence_losses)(sequence, length)
        loss = tf.reduce_sum(weight * losses) / tf.reduce_sum(weight)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return float(loss), np.concatenate([np.ravel(g).astype(np.float64) for g in gradients])


def relative_distance(received, expected):
    return np.linalg.norm(np.subtract(received, expected)) / np.linalg.norm(expected)


def valid_errors(model, padded, length):
    """Takes the squared error of each valid timestep, 0 behind them: `(batch, timesteps)`."""
    squared = np.square(model(padded, length) - padded).mean(axis=-1)
    return np.where(np.arange(LONGEST) < length[:, None], squared, 0)


@pytest.fixture(scope="module")
def computed_alone(make_aligned):
    """Computes what each sequence gives alone, once for each kind: (reconstruction, results)."""
    done = {}

    def compute(kind):
        if (known := repr(kind)) not in done:
            model, (padded, *_) = make_aligned("dynamic_repeat", **kind), draw()
            rows = [padded[i, :n][None] for i, n in enumerate(LENGTHS)]
            done[known] = [(model(row)[0], model.analyze(row)) for row in rows]
        return done[known]

    return compute


@all_kinds
@pytest.mark.parametrize("alignment", [*EQUAL, "masked_repeat"])
def test_options_reconstruct_what_each_sequence_gives_alone(
    make_aligned, computed_alone, kind, alignment
):
    model, (padded, length, _) = make_aligned(alignment, **kind), draw()
    reconstruction, results = model(padded, length), model.analyze(padded, length)
    for i, (alone, analyzed) in enumerate(computed_alone(kind)):
        np.testing.assert_allclose(reconstruction[i, : len(alone)], alone, rtol=1e-5, atol=1e-6)
        for name, expected in analyzed.items():
            np.testing.assert_allclose(results[name][i], expected[0], rtol=1e-5, atol=1e-6)


@all_kinds
@pytest.mark.parametrize("alignment", ["cropped_output", "propagated_mask"])
def test_options_1_3_and_4_have_one_loss_and_gradient(make_aligned, kind, alignment):
    padded, length, weight = draw()
    model = make_aligned("dynamic_repeat", **kind)
    batches = [  # what option 1 is given: one batch per length, nothing padded
        (padded[length == n, :n], None, weight[length == n]) for n in np.unique(length)
    ]
    parts = [(loss_and_gradient(model, *batch), batch[2].sum()) for batch in batches]
    loss = sum(part * share for (part, _), share in parts) / weight.sum()
    gradient = sum(part * share for (_, part), share in parts) / weight.sum()
    masked = loss_and_gradient(make_aligned(alignment, **kind), padded, length, weight)
    assert masked[0] == pytest.approx(loss, rel=1e-5)
    assert relative_distance(masked[1], gradient) < 1e-5
    assert np.linalg.norm(gradient) > 1e-2


@all_kinds
def test_option_2_also_counts_the_repeated_tail(make_aligned, kind):
    padded, length, _ = draw()
    model = make_aligned("masked_repeat", **kind | ON_ONE_SCALE)
    errors = valid_errors(model, padded, length)
    last = errors[np.arange(len(length)), length - 1]
    tail = (LONGEST - length) * last / length
    expected = model.analyze(padded, length)["error"] + tail
    np.testing.assert_allclose(model.sequence_losses(padded, length), expected, rtol=1e-5)
    assert (tail[length < LONGEST] > 1e-3).all()


@all_kinds
def test_option_2_restricted_to_valid_timesteps_is_option_1(make_aligned, kind):
    padded, length, weight = draw()
    names = ("dynamic_repeat", "masked_repeat")
    first, second = (make_aligned(name, **kind | ON_ONE_SCALE) for name in names)
    expected = loss_and_gradient(first, padded, length, weight)

    def restricted(sequence, length):
        return second.analyze(sequence, length)["error"]

    received = loss_and_gradient(second, padded, length, weight, restricted)
    assert received[0] == pytest.approx(expected[0], rel=1e-5)
    assert relative_distance(received[1], expected[1]) < 1e-5
    whole = loss_and_gradient(second, padded, length, weight)
    assert relative_distance(whole[1], expected[1]) > 0.1


@all_kinds
def test_the_control_reads_and_counts_padding(make_aligned, kind):
    padded, length, _ = draw()
    names = ("padded", "dynamic_repeat")
    model, option_1 = (make_aligned(name, **kind | ON_ONE_SCALE) for name in names)
    as_data = option_1.analyze(padded)  # zeros of full length, as if they were measured
    np.testing.assert_allclose(model.sequence_losses(padded, length), as_data["error"], rtol=1e-5)
    embedding = model.analyze(padded, length)["embedding"]
    np.testing.assert_allclose(embedding, as_data["embedding"], rtol=1e-5, atol=1e-7)
    moved = np.linalg.norm(embedding - option_1.embed(padded, length), axis=1)
    full = length == LONGEST
    assert (moved[full] < 1e-5).all()
    assert (moved[~full] > 0.05 * np.linalg.norm(embedding[~full], axis=1)).all()


def test_the_control_pads_what_is_short_and_rejects_what_is_long(make_aligned):
    model = make_aligned("padded")
    padded, length, _ = draw()
    alone = model.analyze(padded[1:2, :3])
    for name, expected in model.analyze(padded, length).items():
        np.testing.assert_allclose(alone[name][0], expected[1], rtol=1e-5, atol=1e-6)
    assert model(padded[1:2, :3]).shape == (1, 3, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most 6 timesteps"):
        model.embed(np.zeros((1, 7, 2), np.float32))


def test_the_control_must_know_the_longest(make_model):
    with pytest.raises(ValueError, match="`longest` must be given for the alignment 'padded'"):
        make_model(alignment="padded")


def test_a_mean_over_padding_dilutes_the_loss_of_short_sequences(make_aligned):
    # Option 3 as it is usually written: the cropped output against the padded target, `mse`.
    padded, length, _ = draw()
    model = make_aligned("cropped_output", **ON_ONE_SCALE)
    diluted = np.square(model(padded, length) - padded).mean(axis=(1, 2))
    share = diluted / model.sequence_losses(padded, length)
    np.testing.assert_allclose(share, length / LONGEST, rtol=1e-5)  # 1/6 at one timestep of six


def test_a_mask_of_values_that_are_not_zero_loses_true_zeros(make_aligned):
    plain = {"bidirectional": False, "pooling": "last", "embedding": "code", **ON_ONE_SCALE}
    model = make_aligned("propagated_mask", **plain)
    sequence = np.random.default_rng(0).normal(size=(1, 6, 2)).astype(np.float32)
    sequence[:, 3] = 0
    layer, dense = model.encoder[0].forward_layer, model.latent
    _, lost, *_ = layer(keras.layers.Masking(0.0)(sequence))  # the mask comes along
    expected = make_aligned("dynamic_repeat", **plain).embed(sequence)
    np.testing.assert_allclose(model.embed(sequence, [6]), expected, rtol=1e-5, atol=1e-7)
    assert relative_distance(dense(lost), expected) > 0.01


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_alignment_is_kept_by_a_saved_model(make_aligned, tmp_path, alignment):
    model = make_aligned(
        alignment=alignment, bidirectional=True, initial_state=True, linear_head=False
    )
    model.save(tmp_path / "model.keras")
    reloaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(reloaded) is SequenceAutoencoder
    assert (reloaded.architecture, reloaded.longest) == (model.architecture, LONGEST)
    padded, length, _ = draw()
    np.testing.assert_array_equal(
        reloaded.sequence_losses(padded, length), model.sequence_losses(padded, length)
    )


def test_weights_are_interchangeable(make_model):
    kind = {"layers": 2, "bidirectional": True, "initial_state": True}
    weights = make_model(**kind).get_weights()
    for alignment in ALIGNMENTS:
        model = make_model(alignment=alignment, longest=LONGEST, **kind)
        for drawn, expected in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(drawn, expected)  # the same seed, the same weights


def test_literal_decoder_gives_values_between_minus_one_and_one(make_model):
    sequence = 100 * np.ones((1, 5, 2), np.float32)
    literal = make_model(linear_head=False, own_scale=False)
    headed = make_model(own_scale=False)
    assert np.abs(literal(sequence)).max() <= 1
    assert literal.decoder[-1].units == 2
    assert (literal.head, headed.decoder[-1].units) == (None, 4)
    headed.head.bias.assign([50.0, 50.0])
    assert headed(sequence).numpy().max() > 40


@pytest.fixture(scope="module")
def train_aligned(train_small, validated_dataset, small):
    """Trains as the run `finished` with another alignment, once: (run directory, report)."""

    @functools.cache
    def train_with(alignment):
        architecture = dataclasses.replace(small, alignment=alignment)
        return train_small(validated_dataset, architecture=architecture)

    return train_with


@pytest.fixture(scope="module")
def count_padding(validated_dataset):
    """Counts what an epoch holds for a model, as a report does."""
    options = TrainingOptions(batch_size=8)
    plan = options.plan(validated_dataset.split("train").lengths, 1)
    return functools.partial(count_epoch, validated_dataset, plan, shuffle=Shuffle(options.seed))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_an_epoch_pads_the_sequences_of_a_step(make_model, count_padding, alignment):
    epoch = count_padding(make_model(alignment=alignment, longest=7))
    assert (epoch.batches, epoch.timesteps, epoch.seen_once) == (4, 120, 25)
    to_the_longest = 25 * 7 - 120
    if alignment in ("dynamic_repeat", "padded"):
        assert epoch.padded_timesteps == (to_the_longest if alignment == "padded" else 0)
    else:
        assert 0 < epoch.padded_timesteps <= to_the_longest


# Has the loss and the gradient of `propagated_mask`.
CROPPED = pytest.param("cropped_output", marks=pytest.mark.slow)


@pytest.mark.parametrize("alignment", ["masked_repeat", "propagated_mask", "padded", CROPPED])
def test_train_lowers_the_loss_of_what_is_padded(train_aligned, alignment):
    run, trained = train_aligned(alignment)
    assert trained.steps == 2 * 4
    history = read_history(run)
    assert history["loss"][-1] < history["loss"][0]


def test_report_counts_the_padding(train_aligned, count_padding):
    run, _ = train_aligned("padded")
    assert report_run(run).epoch == count_padding(open_run(run).model)


@pytest.mark.parametrize("alignment", ["propagated_mask", CROPPED])
def test_train_is_the_same_run_for_options_1_3_and_4(finished, train_aligned, alignment):
    first, other = (read_history(run) for run, _ in (finished, train_aligned(alignment)))
    for name in ("loss", "val_loss"):
        assert other[name] == pytest.approx(first[name][:2], rel=1e-4)


def test_architecture_rejects_an_unknown_alignment():
    with pytest.raises(ValueError, match=r"`alignment` must be one of 'cropped_output', .*'mask'"):
        Architecture(alignment="mask")
