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
