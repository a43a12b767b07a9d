"""Merged moments against NumPy over everything at once."""

import numpy as np

from padless.pipeline.dataset.moments import Moments, merge_moments


def test_merge_moments_equals_numpy_with_a_large_mean():
    rng = np.random.default_rng(0)
    parts = [rng.normal([1e6, -3.0], [1.0, 1e-3], (n, 2)) for n in (1, 7, 300, 2)]
    merged = merge_moments(map(Moments.of, parts))
    whole = np.concatenate(parts)
    assert merged.timesteps == 310
    np.testing.assert_allclose(merged.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.variance, whole.var(axis=0), rtol=1e-9)


def test_missing_values_are_left_out_whatever_the_parts():
    rng = np.random.default_rng(1)
    whole = rng.normal([5.0, -3.0, 0.0], 2.0, (40, 3))
    whole[rng.random(whole.shape) < 0.4] = np.nan
    whole[:10, 1] = np.nan
    whole[:, 2] = np.nan
    merged = merge_moments(map(Moments.of, (whole[:10], whole[10:11], whole[11:], whole[:1])))
    twice = np.concatenate((whole, whole[:1]))
    assert merged.timesteps == 41
    assert merged.counts.tolist() == (~np.isnan(twice)).sum(axis=0).tolist()
    np.testing.assert_allclose(merged.mean[:2], np.nanmean(twice[:, :2], axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.variance[:2], np.nanvar(twice[:, :2], axis=0), rtol=1e-9)
    np.testing.assert_array_equal(merged.minimum[:2], np.nanmin(twice[:, :2], axis=0))
    np.testing.assert_array_equal(merged.maximum[:2], np.nanmax(twice[:, :2], axis=0))
    read = Moments.from_json(merged.to_json())
    for name in ("counts", "mean", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(read, name), getattr(merged, name))
        assert getattr(merged, name)[2] == 0
    np.testing.assert_allclose(read.m2, merged.m2)
