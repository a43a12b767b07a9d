"""Patches of sequences, packed and padded, against patches cut by hand."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from padless.model.network.patches import Patches
from padless.pipeline.batching.packing import Packing

any_lengths = st.lists(st.integers(1, 12), min_size=1, max_size=6)
sizes = st.integers(1, 5)


def draw(lengths):
    rng = np.random.default_rng(0)
    return [rng.normal(size=(length, 2)).astype(np.float32) for length in lengths]


def cut_by_hand(sequence, size):
    """Cuts a sequence into patches `(patches, size * features)`, the last one at its end."""
    if len(sequence) < size:
        sequence = np.concatenate([sequence[:1].repeat(size - len(sequence), 0), sequence])
    starts = [*range(0, len(sequence) - size, size), len(sequence) - size]
    return np.stack([sequence[start : start + size].ravel() for start in starts])


def packed(sequences):
    sequences = sorted(sequences, key=len, reverse=True)
    packing = Packing.of(tf.constant([len(sequence) for sequence in sequences]))
    values = [sequences[row][time] for row, time in zip(packing.row, packing.time, strict=True)]
    return sequences, tf.constant(np.array(values)), packing


@settings(max_examples=40, deadline=None)
@given(any_lengths, sizes)
def test_packed_patches_are_those_of_each_row(lengths, size):
    sequences, values, packing = packed(draw(lengths))
    patches = Patches.of(values, packing, size)
    cut = patches.length.pad(patches.cut(values)).numpy()
    for row, count, sequence in zip(cut, patches.length.length, sequences, strict=True):
        np.testing.assert_array_equal(row[:count], cut_by_hand(sequence, size))
    np.testing.assert_array_equal(patches.join(patches.cut(values)), values)


@settings(max_examples=40, deadline=None)
@given(any_lengths, sizes)
def test_padded_patches_are_those_of_each_row(lengths, size):
    sequences, values, packing = packed(draw(lengths))
    padded = packing.pad(values)
    patches = Patches.of(padded, packing.length, size)
    cut = patches.cut(padded).numpy()
    assert cut.shape == (len(lengths), -(-max(lengths) // size), 2 * size)
    for row, count, sequence in zip(cut, patches.length, sequences, strict=True):
        np.testing.assert_array_equal(row[:count], cut_by_hand(sequence, size))
    joined = patches.join(patches.cut(padded))
    np.testing.assert_array_equal(packing.unpad(joined), values)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 6, 7])
def test_patches_of_rows_of_one_length(length):
    batch = np.stack(draw([length] * 3))
    patches = Patches.of(tf.constant(batch), None, 3)
    assert patches.length is None
    for row, sequence in zip(patches.cut(batch).numpy(), batch, strict=True):
        np.testing.assert_array_equal(row, cut_by_hand(sequence, 3))
    np.testing.assert_array_equal(patches.join(patches.cut(batch)), batch)


def test_a_timestep_is_taken_from_the_patch_that_has_it_first_but_for_the_last_patch():
    numbers = tf.range(7.0)[None, :, None]
    patches = Patches.of(numbers, None, 3)
    assert patches.cut(numbers)[0].numpy().tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    number_of_patch = tf.repeat(tf.range(1.0, 4)[None, :, None], 3, axis=2)
    assert patches.join(number_of_patch)[0, :, 0].numpy().tolist() == [1, 1, 1, 2, 2, 2, 3]


def test_no_row_has_no_patch():
    packing = Packing.of(tf.zeros([0], tf.int32))
    patches = Patches.of(tf.zeros((0, 2)), packing, 3)
    assert patches.cut(tf.zeros((0, 2))).shape == (0, 6)
    assert patches.join(tf.zeros((0, 6))).shape == (0, 2)
