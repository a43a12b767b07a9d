"""The packed layout against the sequences that it holds."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.pipeline.batching.packing import Bands, PackedSequences, Packing, assert_packed

any_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=9)


def draw(lengths, num_features=2):
    """Draws sequences `(length, features)` whose values say which they are."""
    return [
        np.stack([np.full(length, i), np.arange(length)], 1).astype(np.float32)[:, :num_features]
        for i, length in enumerate(lengths)
    ]


def ragged(sequences):
    lengths = [len(sequence) for sequence in sequences]
    return tf.RaggedTensor.from_row_lengths(np.concatenate(sequences), lengths)


@settings(max_examples=40)
@given(any_lengths)
def test_values_come_timestep_by_timestep_of_falling_rows(lengths):
    packed, order = PackedSequences.of(ragged(draw(lengths)))
    by_length = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    assert order.numpy().tolist() == by_length
    assert packed.length.numpy().tolist() == [lengths[row] for row in by_length]
    expected = [
        [row, time] for time in range(max(lengths)) for row in by_length if lengths[row] > time
    ]
    np.testing.assert_array_equal(packed.values, expected)


@settings(max_examples=40)
@given(any_lengths)
def test_packing_says_where_each_value_is(lengths):
    lengths = sorted(lengths, reverse=True)
    packed, _ = PackedSequences.of(ragged(draw(lengths)))
    packing = Packing.of(packed.length)
    np.testing.assert_array_equal(tf.stack((packing.row, packing.time), 1), packed.values)
    np.testing.assert_array_equal(
        packing.live, [sum(length > time for length in lengths) for time in range(max(lengths))]
    )
    np.testing.assert_array_equal(
        tf.gather(packed.values, packing.last), [[i, n - 1] for i, n in enumerate(lengths)]
    )
    mirrored = tf.gather(packed.values, packing.mirrored).numpy()
    np.testing.assert_array_equal(mirrored[:, 0], packing.row)
    np.testing.assert_array_equal(
        mirrored[:, 1], np.array(lengths)[packing.row] - 1 - packing.time.numpy()
    )


@settings(max_examples=40)
@given(any_lengths)
def test_ragged_rows_come_back_where_they_were(lengths):
    sequences = ragged(draw(lengths))
    packed, order = PackedSequences.of(sequences)
    back = packed.to_ragged(order)
    np.testing.assert_array_equal(back.row_splits, sequences.row_splits)
    np.testing.assert_array_equal(back.values, sequences.values)
    np.testing.assert_array_equal(packed.to_ragged().row_lengths(), sorted(lengths, reverse=True))


def test_bands_are_blocks_of_neighbouring_timesteps():
    bands = Bands.of(tf.constant([7, 7, 7, 4, 3]))
    assert bands.rows.numpy().tolist() == [5, 4, 3]
    assert bands.timesteps.numpy().tolist() == [3, 1, 3]


def test_there_may_be_no_row():
    packing = Packing.of(tf.zeros([0], tf.int64))
    assert all(tf.size(part) == 0 for part in (*packing, packing.last, packing.mirrored))
    assert tf.size(Bands.of(packing.length).rows) == 0


def test_a_row_without_a_timestep_is_rejected():
    sequences = tf.RaggedTensor.from_row_lengths(np.zeros((3, 2), np.float32), [2, 0, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one timestep"):
        PackedSequences.of(sequences)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 3], "sorted by falling length"),
        ([3, 1], "add up to the number of values"),
        ([5, 0], "at least one timestep"),
    ],
)
def test_lengths_that_do_not_fit_are_rejected(lengths, message):
    packed = PackedSequences(tf.zeros((5, 1)), tf.constant(lengths))
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        assert_packed(packed)
