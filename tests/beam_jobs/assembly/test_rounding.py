"""What is lost where the numbers of an input become float32, and what an offset keeps."""

import numpy as np
import pytest

from padless.beam_jobs.assembly.rounding import (
    LostDigits,
    Rounding,
    Spread,
    describe_lost_digits,
    find_lost_digits,
    merge_spreads,
)
from padless.beam_jobs.fragments import Reject, RejectedPart, Source, Whole

PLACE = Source(0, "x.jsonl").place(1)
UTM = 5812345.0


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def whole(values):
    return b"a", Whole(PLACE, np.asarray(values), None)


def spread_of(*sequences, offsets=None):
    rounding = Rounding(offsets)
    for sequence in sequences:
        rounding.round(whole(sequence))
    ((_, spread),) = rounding.take_spreads().items()
    return spread


def walks(rng, *, offset, scale, count=20):
    return [offset + scale * rng.normal(size=(n + 2, 1)) for n in range(count)]


def test_a_spread_is_that_of_all_values_and_within_the_fragments(rng):
    parts = [rng.normal(size=(n, 2)) * [1, 50] + [UTM, n] for n in (1, 2, 7, 30)]
    parts[2][3, 0] = parts[3][:20, 1] = np.nan
    spread = Spread.of(parts)
    values = np.concatenate(parts)
    assert spread.moments.counts.tolist() == (~np.isnan(values)).sum(axis=0).tolist()
    np.testing.assert_allclose(spread.moments.mean, np.nanmean(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread.moments.variance, np.nanvar(values, axis=0), rtol=1e-6)
    np.testing.assert_allclose(spread.largest, np.nanmax(np.abs(values), axis=0))
    within = sum(np.nanvar(part, axis=0) * (~np.isnan(part)).sum(axis=0) for part in parts)
    np.testing.assert_allclose(spread.within, within, rtol=1e-6)
    assert spread.freedom.tolist() == [0 + 1 + 5 + 29, 0 + 1 + 6 + 9]


def test_the_order_and_size_of_the_parts_change_a_spread_by_rounding_only(rng):
    parts = [rng.normal(size=(n, 3)) * 0.1 + UTM for n in (4, 1, 9, 3, 12)]
    once = Spread.of(parts)
    merged = merge_spreads({3: Spread.of([part])} for part in reversed(parts))[3]
    for name in ("largest", "within", "freedom"):
        np.testing.assert_allclose(getattr(merged, name), getattr(once, name), rtol=1e-6)
    for name in ("counts", "mean", "m2"):
        found, expected = (getattr(part.moments, name) for part in (merged, once))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_coordinate_in_metres_loses_its_digits_and_an_offset_keeps_them(rng):
    sequences = walks(rng, offset=UTM, scale=0.1)
    (lost,) = find_lost_digits(spread_of(*sequences))
    assert (lost.feature, lost.step, lost.was_float32) == (0, 0.5, False)
    assert lost.deviation == pytest.approx(0.1, rel=0.1)
    assert lost.mean == pytest.approx(UTM, abs=0.1)
    assert find_lost_digits(spread_of(*sequences, offsets=[UTM]), [UTM]) == ()
    _, rounded = Rounding([UTM]).round(whole(sequences[9]))
    assert rounded.values.dtype == np.float32
    np.testing.assert_allclose(rounded.values, sequences[9] - UTM, atol=1e-7)


def test_sequences_far_apart_are_judged_by_their_own_deviations(rng):
    sequences = [1e6 * n + part for n, part in enumerate(walks(rng, offset=0, scale=0.1))]
    assert find_lost_digits(spread_of(*sequences))


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full((9, 1), 5812345.1), id="constant"),
        pytest.param(16_000_000.0 + np.arange(9)[:, None] % 3, id="integers that float32 has"),
        pytest.param(1e-30 * np.arange(9)[:, None] + 0.1 * np.arange(9)[:, None], id="ordinary"),
        pytest.param(np.full((3, 1), np.nan), id="all missing"),
    ],
)
def test_nothing_is_lost(values):
    assert find_lost_digits(spread_of(values)) == ()


def test_input_that_is_float32_already_is_told_apart(rng):
    sequences = [part.astype(np.float32) for part in walks(rng, offset=UTM, scale=0.4)]
    (lost,) = find_lost_digits(spread_of(*sequences))
    assert lost.was_float32
    (line,) = describe_lost_digits([lost])
    assert line.startswith("warning: feature 0: in float32 its values are 0.5 apart")
    assert "only its maker can mend it" in line


def test_the_remedy_names_all_features_at_once():
    lost = [LostDigits(i, 0.5, 0.1, UTM + i / 8, was_float32=False) for i in (0, 2)]
    *lines, remedy = describe_lost_digits(lost, ["x", "y", "z"])
    assert [line.split(":")[1] for line in lines] == [" x", " z"]
    assert "--center x=5812345,z=5812345 " in remedy


def test_rejects_pass_and_sequences_of_other_features_are_not_centered():
    rounding = Rounding([10.0, 20.0])
    part = RejectedPart(PLACE, "bad", "rule.", whole=True)
    for item in (Reject(PLACE, None, "bad", "rule."), (b"a", part)):
        assert rounding.round(item) is item
    assert rounding.round(whole([[10.0]]))[1].values.tolist() == [[10.0]]
    assert rounding.round(whole([[10.0, 21.0]]))[1].values.tolist() == [[0.0, 1.0]]
    assert sorted(rounding.take_spreads()) == [1, 2]
    assert rounding.take_spreads() == {}


def test_a_large_input_is_measured_in_parts(rng):
    values = rng.normal(size=(1000, 300)) * 0.01 + 1000
    assert spread_of(*[values + n for n in range(3)]).freedom.tolist() == [3 * 999] * 300
