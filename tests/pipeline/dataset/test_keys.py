"""Draws from a key: never changing, stable under new shares, and as the shares say."""

import collections

import hypothesis
import pytest
from hypothesis import strategies as st

from padless.pipeline.dataset.keys import draw_held_out, draw_split, hash_key

SHARES = (("train", 0.8), ("validation", 0.1), ("test", 0.1))


def test_draws_never_change():
    assert hash_key(3, b"run/17") == (6948484881229174751, 10490139061316979117)
    assert draw_split(b"b", 0, SHARES) == "train"
    assert draw_split(b"c", 0, SHARES) == "test"


@hypothesis.given(st.binary(max_size=100), st.integers(0, 2**63 - 1))
def test_hash_key_depends_on_seed_and_key(key, seed):
    assert hash_key(seed, key) != hash_key(seed, key + b".")
    assert hash_key(seed, key) != hash_key((seed + 1) % 2**63, key)


@hypothesis.given(st.binary(max_size=100))
def test_a_larger_first_split_keeps_what_it_had(key):
    if draw_split(key, 0, [("a", 0.3), ("b", 0.7)]) == "a":
        assert draw_split(key, 0, [("a", 0.4), ("b", 0.6)]) == "a"


def test_draw_split_follows_the_shares():
    counts = collections.Counter(draw_split(b"%d" % i, 0, SHARES) for i in range(20_000))
    assert counts["train"] == pytest.approx(16_000, abs=250)
    assert counts["validation"] == pytest.approx(2_000, abs=200)


def test_what_is_held_out_never_changes():
    assert draw_held_out(b"a", 0, [("validation", 0.5)]) is None
    assert draw_held_out(b"b", 0, [("validation", 0.5)]) == "validation"


def test_draw_held_out_follows_the_shares_in_each_split():
    """The draw of the split has no part in it, or a tenth of the keys in `train` would not do."""
    keys = [key for i in range(20_000) if draw_split(key := b"%d" % i, 0, SHARES) == "train"]
    hold_out = (("a", 0.1), ("b", 0.2))
    counts = collections.Counter(draw_held_out(key, 0, hold_out) for key in keys)
    assert counts["a"] == pytest.approx(0.1 * len(keys), abs=200)
    assert counts["b"] == pytest.approx(0.2 * len(keys), abs=250)
