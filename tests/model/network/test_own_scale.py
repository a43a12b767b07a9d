"""The own scales of sequences and the positions of timesteps, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from own_scales import deviation_of

from padless.model.network.layers import Standardize
from padless.model.network.own_scale import (
    NUM_POSITIONS,
    SMALLEST_DEVIATION,
    SMALLEST_SHARE,
    TOLD_AMPLITUDE,
    OwnScale,
    positions,
)
from padless.pipeline.batching.packing import PackedSequences, Packing

LENGTHS = [7, 4, 2, 1]
falling_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6).map(
    lambda lengths: sorted(lengths, reverse=True)
)


def draw(lengths=LENGTHS):
    """Draws sequences of two features, each of another level and amplitude."""
    rng = np.random.default_rng(0)
    sizes = [rng.normal(scale=3, size=2) for _ in lengths]
    return [
        (level + np.abs(level) * rng.normal(size=(length, 2))).astype(np.float32)
        for length, level in zip(lengths, sizes, strict=True)
    ]


def pad(rows, fill=0.0):
    padded = np.full((len(rows), max(map(len, rows)), 2), fill, np.float32)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded, np.array([len(row) for row in rows])


def pack(rows):
    packing = Packing.of(tf.constant([len(row) for row in rows]))
    return np.stack([rows[r][t] for r, t in zip(packing.row, packing.time, strict=True)]), packing


def scale_of(values, length):
    """Computes the scale of values that are on that of the training set."""
    features = values.shape[-1]
    return OwnScale.of(values, length, Standardize([0.0] * features, [1.0] * features))


def assert_close(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)


def test_scale_is_the_mean_and_the_deviation_of_each_sequence():
    rows = draw()
    deviation = list(map(deviation_of, rows))
    for scale in (scale_of(*pad(rows)), scale_of(*pack(rows))):
        assert_close(scale.mean, [row.mean(axis=0) for row in rows])
        assert_close(scale.deviation, deviation)
    for row, expected in zip(rows, deviation, strict=True):
        assert_close(scale_of(row[None], None).deviation[0], expected)


def test_on_its_own_scale_a_sequence_has_mean_0_and_deviation_1():
    (row,) = draw([50])
    applied = scale_of(row[None], None).apply(row[None])[0].numpy()
    assert_close(applied, (row - row.mean(axis=0)) / row.std(axis=0))
    np.testing.assert_allclose(applied.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(applied.std(axis=0), 1, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(falling_lengths)
def test_what_is_applied_can_be_inverted(lengths):
    rows = draw(lengths)
    values, packing = pack(rows)
    packed, padded = scale_of(values, packing), pad(rows)
    assert_close(packed.invert(packed.apply(values)), values)
    scale = scale_of(*padded)
    assert_close(scale.invert(scale.apply(padded[0])), padded[0])
    assert_close(packing.unpad(scale.apply(padded[0])), packed.apply(values))


@pytest.mark.parametrize(
    ("amplitude", "scaled"), [(0.0, 0.0), (2e-7, 0.2), (1e-6, 1.0), (2e-6, 1.0), (100.0, 1.0)]
)
def test_a_deviation_as_small_as_rounding_is_not_scaled_up(amplitude, scaled):
    values = np.float32([[-amplitude], [amplitude]])[None]
    scale = scale_of(values, None)
    smallest = max(amplitude, SMALLEST_DEVIATION)
    np.testing.assert_allclose(scale.deviation, [[smallest]], rtol=1e-4)
    np.testing.assert_allclose(scale.apply(values)[0, :, 0], [-scaled, scaled], rtol=1e-4)


def test_rounding_grows_with_the_mean():
    # The two values of a float32 that are next to each other.
    values = np.float32([[300], [np.nextafter(np.float32(300), np.float32(301))]])[None]
    scale = scale_of(values, None)
    np.testing.assert_allclose(scale.deviation, [[300 * SMALLEST_SHARE]], rtol=1e-4)
    assert np.abs(scale.apply(values)).max() < 0.5


@pytest.mark.parametrize("amplitude", [1e-5, 1e-2])
def test_a_small_shape_is_the_same_however_far_from_0_and_however_it_is_laid_out(amplitude):
    """The mean of 400 values is rounded by as much as the smaller deviation here."""
    rng = np.random.default_rng(0)
    rows = [(0.7 + amplitude * rng.normal(size=(n, 2))).astype(np.float32) for n in (400, 70)]
    packed, packing = pack(rows)
    padded, length = pad(rows)
    shapes = scale_of(packed, packing).apply(packed)
    assert_close(packing.unpad(scale_of(padded, length).apply(padded)).numpy(), shapes.numpy())
    for i, row in enumerate(rows):
        exact = row.astype(np.float64)
        expected = (exact - exact.mean(axis=0)) / exact.std(axis=0)
        assert_close(shapes.numpy()[packing.row == i], expected)


def test_the_mean_of_the_training_set_rounds_no_shape():
    rng = np.random.default_rng(0)
    values = (2e-6 + 1e-6 * rng.normal(size=(1, 50, 2))).astype(np.float32)
    exact = values.astype(np.float64)
    expected = (exact - exact.mean(axis=1)) / exact.std(axis=1)
    standardize = Standardize([50.0, -3.0], [0.25, 0.04])
    scale = OwnScale.of(values, None, standardize)
    assert_close(scale.apply(values), expected)
    assert_close(scale.deviation, exact.std(axis=1) / [0.5, 0.2])
    assert_close(scale.mean, [[-100, 15]])
    assert_close(scale.invert(expected), standardize(values))


def test_amplitude_is_told_at_each_timestep():
    rows = draw()
    told = [TOLD_AMPLITUDE * np.log(deviation_of(row)) for row in rows]
    values, packing = pack(rows)
    received = scale_of(values, packing).amplitude(values)
    assert_close(received, [told[row] for row in packing.row])
    padded, length = pad(rows)
    received = scale_of(padded, length).amplitude(padded)
    assert_close(received, np.repeat(np.stack(told)[:, None], padded.shape[1], axis=1))


@pytest.mark.parametrize("size", [1e20, 1e30, 3e38])
def test_a_deviation_whose_square_is_too_large_stays_finite(size):
    values = np.float32([[size], [-size], [0]])[None]
    scale = scale_of(values, None)
    np.testing.assert_allclose(scale.deviation, [[1e18]])
    np.testing.assert_allclose(scale.level(), [[0, np.log(1e18)]], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scale.apply(values), values / 1e18, rtol=1e-6)
    np.testing.assert_allclose(scale.invert(scale.apply(values)), values, rtol=1e-6)


@pytest.mark.parametrize("fill", [1e6, np.nan])
def test_values_after_the_end_do_not_matter(fill):
    rows = draw()
    received, expected = scale_of(*pad(rows, fill)), scale_of(*pad(rows))
    np.testing.assert_array_equal(received.mean, expected.mean)
    np.testing.assert_array_equal(received.deviation, expected.deviation)


def test_level_is_the_mean_and_the_deviation_bent():
    values = np.float32([[[-2.0, 1000.0], [6.0, 1000.0]]])
    level = scale_of(values, None).level()
    smallest = 1000 * SMALLEST_SHARE
    expected = [np.arcsinh(2), np.arcsinh(1000), np.log(4), np.log(smallest)]
    np.testing.assert_allclose(level, [expected], rtol=1e-6)


@pytest.mark.parametrize("timesteps", [1, 3])
def test_a_sequence_that_does_not_vary_has_a_finite_gradient(timesteps):
    values = tf.fill([1, timesteps, 1], 2.0)
    with tf.GradientTape() as tape:
        tape.watch(values)
        scale = scale_of(values, None)
        first = scale.apply(values)[0, 0, 0] + tf.reduce_sum(scale.deviation)
    # Of (value - mean) / smallest deviation: its own timestep less its share of the mean.
    share = (np.eye(timesteps)[0] - 1 / timesteps) / SMALLEST_DEVIATION
    received = tape.gradient(first, values)[0, :, 0]
    np.testing.assert_allclose(received, share, rtol=1e-5, atol=1)


def test_scales_of_no_row():
    scale = scale_of(tf.zeros((0, 2)), Packing.of(tf.zeros([0], tf.int32)))
    assert scale.level().shape == (0, 4)
    assert scale.apply(tf.zeros((0, 2))).shape == (0, 2)


@pytest.mark.parametrize(
    ("timesteps", "shares"), [(1, [1 / 2]), (2, [1 / 4, 3 / 4]), (3, [1 / 6, 1 / 2, 5 / 6])]
)
def test_positions_are_of_half_a_turn_and_of_a_whole_one(timesteps, shares):
    share = np.array(shares)
    waves = [function(np.pi * k * share) for function in (np.sin, np.cos) for k in (1, 2)]
    received = positions(tf.zeros((2, timesteps, 5)), None)
    assert received.shape == (2, timesteps, NUM_POSITIONS)
    assert received.dtype == tf.float32
    np.testing.assert_allclose(received, [np.stack(waves, axis=1)] * 2, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(falling_lengths)
def test_positions_do_not_depend_on_the_batch_mates(lengths):
    rows = [np.zeros((length, 2), np.float32) for length in lengths]
    padded, length = pad(rows)
    packed = PackedSequences(positions(*pack(rows)), tf.constant(lengths)).to_ragged()
    padded = positions(padded, length)
    assert padded.shape == (len(rows), max(lengths), NUM_POSITIONS)
    for i, row in enumerate(rows):
        alone = positions(row[None], None)[0]
        # But for the last digit: sines of many values at once are rounded otherwise than of one.
        np.testing.assert_allclose(packed[i], alone, rtol=0, atol=2e-7)
        np.testing.assert_allclose(padded[i, : len(row)], alone, rtol=0, atol=2e-7)


def test_positions_are_counted_from_the_own_start_and_end():
    # The turn of both sequences is over at their own end, and all timesteps differ.
    for row, length in zip(positions(tf.zeros((2, 9, 1)), np.array([9, 4])), (9, 4), strict=True):
        valid = row[:length].numpy()
        assert len(np.unique(valid.round(5), axis=0)) == length
        np.testing.assert_allclose(valid[:, 0], valid[::-1, 0], atol=1e-6)
        np.testing.assert_allclose(valid[:, 2], -valid[::-1, 2], atol=1e-6)
