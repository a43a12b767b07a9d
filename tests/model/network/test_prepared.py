"""Targets, errors and losses against NumPy, on both scales."""

import numpy as np
import pytest
import tensorflow as tf
from own_scales import deviation_of

from padless.model.network.alignment import ALIGNMENTS
from padless.model.network.layers import Standardize
from padless.model.network.own_scale import TOLD_AMPLITUDE, OwnScale
from padless.model.network.prepared import Prepared
from padless.pipeline.batching.packing import Packing

LENGTHS = np.array([6, 3, 1])
LONGEST = 9
AS_THEY_ARE = Standardize([0.0, 0.0], [1.0, 1.0])
LEVELS = np.float32([[5.0, -2.0], [0.0, 40.0], [-7.0, 1.0]])
AMPLITUDES = np.float32([[3.0, 0.4], [0.01, 20.0], [1.0, 1.0]])
both_scales = pytest.mark.parametrize("own_scale", [True, False])
layouts = pytest.mark.parametrize("is_packed", [False, True], ids=["padded", "packed"])


def draw(timesteps=LENGTHS[0], seed=0):
    drawn = np.random.default_rng(seed).normal(size=(len(LENGTHS), timesteps, 2))
    return drawn.astype(np.float32)


@pytest.fixture
def prepare():
    """Prepares rows whose padding is of no meaning: (prepared, the rows)."""

    def of(own_scale=True, longest=None, is_packed=False):
        padded = LEVELS[:, None] + AMPLITUDES[:, None] * draw()
        rows = [row[:length] for row, length in zip(padded, LENGTHS, strict=True)]
        if is_packed:
            values, length = lay(padded, is_packed), Packing.of(tf.constant(LENGTHS))
        else:
            padded[np.arange(LENGTHS[0]) >= LENGTHS[:, None]] = np.nan
            values, length = tf.constant(padded), tf.constant(LENGTHS)
        return Prepared.of(values, length, AS_THEY_ARE, own_scale=own_scale, longest=longest), rows

    return of


def lay(padded, is_packed):
    """Returns padded values in the layout asked for."""
    return Packing.of(tf.constant(LENGTHS)).unpad(padded) if is_packed else tf.constant(padded)


def cut(values, is_packed):
    """Returns the rows of values in that layout, without what is after their ends."""
    if is_packed:
        values = Packing.of(tf.constant(LENGTHS)).pad(values)
    return [row[:length] for row, length in zip(np.array(values), LENGTHS, strict=True)]


def deviations(rows):
    return list(map(deviation_of, rows))


def on_own_scale(row):
    return (row - row.mean(axis=0)) / deviation_of(row)


def mean_errors(given, targets):
    """Means over timesteps of the squared errors `(rows, features)`."""
    pairs = zip(given, targets, strict=True)
    return np.array([np.square(np.float64(one) - other).mean(axis=0) for one, other in pairs])


def assert_close(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


@layouts
def test_a_sequence_is_read_on_both_scales_and_rebuilt_on_its_own(prepare, is_packed):
    prepared, rows = prepare(is_packed=is_packed)
    read, targets = cut(prepared.inputs, is_packed), cut(prepared.target, is_packed)
    for i, row in enumerate(rows):
        told = np.broadcast_to(TOLD_AMPLITUDE * np.log(deviation_of(row)), row.shape)
        assert_close(read[i], np.concatenate([row, on_own_scale(row), told], axis=1))
        assert_close(targets[i], on_own_scale(row))


@layouts
def test_without_its_own_scale_it_is_read_and_rebuilt_as_it_is(prepare, is_packed):
    prepared, rows = prepare(own_scale=False, is_packed=is_packed)
    assert not prepared.is_own
    for part in (prepared.inputs, prepared.target):
        for received, row in zip(cut(part, is_packed), rows, strict=True):
            np.testing.assert_array_equal(received, row)


@both_scales
def test_what_is_read_after_an_end_is_0(prepare, own_scale):
    prepared, _ = prepare(own_scale)
    ended = np.arange(LENGTHS[0]) >= LENGTHS[:, None]
    assert not np.any(prepared.inputs[ended])
    assert not np.any(prepared.target[ended])


@layouts
@both_scales
def test_errors_are_means_over_valid_timesteps(prepare, own_scale, is_packed):
    prepared, rows = prepare(own_scale, is_packed=is_packed)
    given = draw(seed=1)
    targets = map(on_own_scale, rows) if own_scale else rows
    received = prepared.errors(lay(given, is_packed))
    assert_close(received, mean_errors(cut(given, False), targets))


@layouts
@both_scales
def test_errors_on_the_training_scale_are_those_of_what_is_inverted(prepare, own_scale, is_packed):
    prepared, rows = prepare(own_scale, is_packed=is_packed)
    given = lay(draw(seed=1), is_packed)
    inverted = cut(prepared.on_training_scale(given), is_packed)
    if own_scale:
        of_given = zip(cut(given, is_packed), rows, deviations(rows), strict=True)
        assert_close(np.concatenate(inverted), np.concatenate(
            [one * deviation + row.mean(axis=0) for one, row, deviation in of_given]
        ))  # fmt: skip
    assert_close(prepared.errors_on_training_scale(given), mean_errors(inverted, rows))


@pytest.mark.parametrize(
    ("alignment", "is_packed"),
    [
        ("dynamic_repeat", True),
        ("dynamic_repeat", False),
        ("cropped_output", False),
        ("propagated_mask", False),
    ],
)
def test_losses_are_errors_in_units_of_the_own_variance(prepare, alignment, is_packed):
    prepared, rows = prepare(is_packed=is_packed)
    given = lay(draw(seed=1), is_packed)
    on_training_scale = prepared.errors_on_training_scale(given)
    expected = (on_training_scale / np.square(deviations(rows))).numpy().mean(axis=1)
    assert_close(prepared.losses(given, ALIGNMENTS[alignment]), expected)


@layouts
def test_without_an_own_scale_losses_are_errors(prepare, is_packed):
    prepared, rows = prepare(own_scale=False, is_packed=is_packed)
    given = draw(seed=1)
    received = prepared.losses(lay(given, is_packed), ALIGNMENTS["dynamic_repeat"])
    assert_close(received, mean_errors(cut(given, False), rows).mean(axis=1))


@both_scales
def test_a_tail_is_compared_with_the_last_target(prepare, own_scale):
    prepared, rows = prepare(own_scale)
    given = draw(seed=1)
    targets = list(map(on_own_scale, rows)) if own_scale else rows
    expected = []
    for one, target in zip(given, targets, strict=True):
        repeated = np.concatenate([target, target[-1:].repeat(len(one) - len(target), axis=0)])
        expected.append(np.square(one - repeated).mean(axis=1).sum() / len(target))
    assert_close(prepared.losses(given, ALIGNMENTS["masked_repeat"]), expected)


@both_scales
def test_the_control_is_padded_to_the_longest_and_knows_no_end(prepare, own_scale):
    prepared, _ = prepare(own_scale, longest=LONGEST)
    short, _ = prepare(own_scale)
    assert prepared.known is None
    np.testing.assert_array_equal(prepared.length, LENGTHS)
    for padded, values in ((prepared.inputs, short.inputs), (prepared.target, short.target)):
        np.testing.assert_array_equal(padded[:, : LENGTHS[0]], values)
        assert padded.shape[1] == LONGEST
        assert not np.any(padded[:, LENGTHS[0] :])


@both_scales
def test_the_loss_of_the_control_counts_padding_and_its_errors_do_not(prepare, own_scale):
    prepared, rows = prepare(own_scale, longest=LONGEST)
    given = draw(LONGEST, seed=1)
    targets = list(map(on_own_scale, rows)) if own_scale else rows
    filled = [np.pad(target, ((0, LONGEST - len(target)), (0, 0))) for target in targets]
    received = prepared.losses(given, ALIGNMENTS["padded"])
    assert_close(received, mean_errors(given, filled).mean(axis=1))
    assert_close(prepared.errors(given), mean_errors(cut(given, False), targets))
    # As many timesteps as came in, the padding of the batch among them.
    inverted = prepared.on_training_scale(given)
    assert inverted.shape == (len(LENGTHS), LENGTHS[0], 2)
    errors = prepared.errors_on_training_scale(given)
    assert_close(errors, mean_errors(cut(inverted, False), rows))


def test_the_scale_of_the_control_is_that_of_its_valid_timesteps(prepare):
    padded, short = prepare(longest=LONGEST)[0], prepare()[0]
    np.testing.assert_array_equal(padded.scale.mean, short.scale.mean)
    np.testing.assert_array_equal(padded.scale.deviation, short.scale.deviation)


def test_the_control_rejects_what_is_longer():
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequences of at most 5 timesteps"):
        Prepared.of(tf.zeros((1, 6, 2)), None, AS_THEY_ARE, own_scale=True, longest=5)


@pytest.mark.parametrize("factor", [3.0, 0.25])
def test_the_target_is_the_same_at_another_scale_and_level(factor):
    values = draw()
    target = Prepared.of(tf.constant(values), None, AS_THEY_ARE, own_scale=True).target
    moved = tf.constant(np.float32(factor) * values + np.float32([7.0, -3.0]))
    assert_close(Prepared.of(moved, None, AS_THEY_ARE, own_scale=True).target, target)


@pytest.mark.parametrize("alignment", ["dynamic_repeat", "masked_repeat", "padded"])
@both_scales
def test_a_loss_is_infinite_where_the_error_is(alignment, own_scale):
    values = draw()
    values[1, 2, 0] = 1e30
    prepared = Prepared.of(tf.constant(values), None, AS_THEY_ARE, own_scale=own_scale)
    given = draw(seed=1)
    expected = np.isfinite(prepared.errors_on_training_scale(given)).all(axis=1)
    losses = prepared.losses(given, ALIGNMENTS[alignment]).numpy()
    assert expected.tolist() == np.isfinite(losses).tolist() == [True, False, True]
    assert np.isposinf(losses[1])


def test_no_row_has_no_error_and_no_loss():
    packing = Packing.of(tf.zeros([0], tf.int32))
    prepared, given = (
        Prepared.of(tf.zeros((0, 2)), packing, AS_THEY_ARE, own_scale=True),
        tf.zeros((0, 2)),
    )
    assert isinstance(prepared.scale, OwnScale)
    assert prepared.errors_on_training_scale(given).shape == (0, 2)
    assert prepared.losses(given, ALIGNMENTS["dynamic_repeat"]).shape == (0,)
