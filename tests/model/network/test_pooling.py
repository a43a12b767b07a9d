"""What outputs are pooled to, against NumPy: packed, padded and alone."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.model.network.architecture import POOLINGS
from padless.model.network.pooling import WIDTHS, pool
from padless.pipeline.batching.packing import Packing

WIDTH = 3
PARTS = ("last", "mean", "deviation", "maximum", "first third", "second third", "last third")
falling_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6).map(
    lambda lengths: sorted(lengths, reverse=True)
)


def draw(lengths):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(length, WIDTH)).astype(np.float32) for length in lengths]


def pad(rows, fill):
    padded = np.full((len(rows), max(map(len, rows)), WIDTH), fill, np.float32)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return padded


def pack(rows):
    packing = Packing.of(tf.constant([len(row) for row in rows]))
    return np.stack([rows[r][t] for r, t in zip(packing.row, packing.time, strict=True)]), packing


def statistics_by_hand(row):
    """Computes the parts of `"statistics"` of one sequence `(timesteps, width)`."""
    whole = row.max(axis=0)
    thirds = [part.max(axis=0) if len(part) else whole for part in np.array_split(row, 3)]
    deviation = np.sqrt(row.var(axis=0) + 1e-6)
    return dict(zip(PARTS, [row[-1], row.mean(axis=0), deviation, whole, *thirds], strict=True))


def assert_close(received, expected):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)


def test_each_pooling_has_a_width():
    assert tuple(WIDTHS) == POOLINGS
    assert WIDTHS["statistics"] == len(PARTS)


@pytest.mark.parametrize("number", range(len(PARTS)), ids=PARTS)
@pytest.mark.parametrize("timesteps", [1, 2, 3, 4, 5, 9])
def test_each_part_of_the_statistics(timesteps, number):
    (row,) = draw([timesteps])
    pooled = pool(row[None, -1], row[None], None, "statistics")
    part = pooled[0, number * WIDTH : (number + 1) * WIDTH]
    assert pooled.shape == (1, len(PARTS) * WIDTH)
    assert_close(part, statistics_by_hand(row)[PARTS[number]])


@pytest.mark.parametrize(
    ("pooling", "parts"),
    [("last", ["last"]), ("mean", ["mean"]), ("last_and_mean", ["last", "mean"])],
)
def test_the_other_poolings_are_parts_of_it(pooling, parts):
    rows = draw([4, 4])
    outputs = np.stack(rows)
    by_hand = [np.concatenate([statistics_by_hand(row)[name] for name in parts]) for row in rows]
    assert_close(pool(outputs[:, -1], outputs, None, pooling), by_hand)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5], [5, 5, 5]),
        ([5, -1], [5, -1, 5]),
        ([5, -1, -3], [5, -1, -3]),
        ([-2, -4, 1, 7], [-2, 1, 7]),
        ([-2, -4, 1, 7, 3], [-2, 7, 3]),
        ([-2, -4, 1, 7, 3, 2], [-2, 7, 3]),
    ],
)
def test_a_third_that_is_empty_has_the_maximum_of_all(values, expected):
    outputs = np.float32(values)[None, :, None]
    pooled = pool(outputs[:, -1], outputs, None, "statistics")
    assert pooled[0, 3].numpy() == max(values)
    assert pooled[0, 4:].numpy().tolist() == expected


@settings(max_examples=40, deadline=None)
@given(falling_lengths, st.sampled_from(POOLINGS))
def test_packed_padded_and_single_rows_are_pooled_alike(lengths, pooling):
    rows = draw(lengths)
    last = np.stack([row[-1] for row in rows])
    values, packing = pack(rows)
    packed = pool(last, values, packing, pooling)
    padded = pool(last, pad(rows, fill=np.nan), np.array(lengths), pooling)
    alone = [pool(row[None, -1], row[None], None, pooling)[0] for row in rows]
    assert packed.shape == (len(rows), WIDTHS[pooling] * WIDTH)
    assert_close(packed, alone)
    assert_close(padded, alone)


def gradient_of_sum(outputs, length):
    """Returns the gradient of all statistics, added up, but for the last output."""
    outputs = tf.constant(outputs)
    last = tf.zeros((1, outputs.shape[-1]))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = tf.reduce_sum(pool(last, outputs, length, "statistics"))
    return tf.convert_to_tensor(tape.gradient(total, outputs)).numpy()


@pytest.mark.parametrize(
    ("timesteps", "share"),
    [
        # The mean, the maximum and each third that is not empty. A deviation of 0 has no slope.
        (1, 1 + 1 + 3),
        (2, (1 + 1 + 3) / 2),
        (3, (1 + 1 + 3) / 3),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_equal_outputs_share_a_finite_gradient(timesteps, share, is_packed):
    outputs = np.full((timesteps, 1), 0.25, np.float32)
    if is_packed:
        gradient = gradient_of_sum(outputs, Packing.of(tf.constant([timesteps])))
    else:
        gradient = gradient_of_sum(outputs[None], None)[0]
    np.testing.assert_allclose(gradient[:, 0], share, rtol=1e-6)


def test_what_follows_an_end_has_no_gradient():
    (row,) = draw([4])
    padded = np.concatenate([row, np.full((3, WIDTH), 100, np.float32)])[None]
    gradient = gradient_of_sum(padded, np.array([4]))[0]
    assert_close(gradient[:4], gradient_of_sum(row[None], None)[0])
    assert not gradient[4:].any()


def test_halves_are_pooled_in_float32():
    # Their sum and the squares of their deviations are beyond 65,504, the largest float16.
    outputs = np.tile(np.float16([0, 600]), 500)[None, :, None]
    pooled = pool(outputs[:, -1], tf.constant(outputs), None, "statistics")
    assert pooled.dtype == tf.float32
    assert pooled.numpy().tolist() == [[600, 300, 300, 600, 600, 600, 600]]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_no_row_is_pooled_to_none(pooling):
    last, none = tf.zeros((0, WIDTH)), tf.zeros([0], tf.int32)
    packed = pool(last, tf.zeros((0, WIDTH)), Packing.of(none), pooling)
    padded = pool(last, tf.zeros((0, 5, WIDTH)), none, pooling)
    assert packed.shape == padded.shape == (0, WIDTHS[pooling] * WIDTH)
