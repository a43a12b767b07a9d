"""`padless preprocess --center` from the raw file to its scores."""

import numpy as np
import pytest


def test_the_warning_names_the_remedy(masked):
    flat, centered = masked.said
    assert "warning: y: in float32 its values are 0.5 apart" in flat
    assert "warning" not in centered


def test_raw_files_are_scored_as_the_dataset_that_was_centered(masked):
    raw, centered = masked.scores["raw"], masked.scores["data"]
    assert raw.keys() == centered.keys()
    for key, row in raw.items():
        values, expected = ((r["score"], *r["embedding"]) for r in (row, centered[key]))
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-6)


def test_a_dataset_that_was_not_centered_is_rejected(masked, call, tmp_path):
    refused = call("score", masked.run, masked.flat, "--output", tmp_path / "x.parquet")
    assert refused.code == 1
    assert "was trained with the offsets" in refused.err


@pytest.mark.parametrize(
    ("center", "message"),
    [
        ("z", "--center must name a feature, got 'z'"),
        ("x=far", "must be NAME[=NUMBER],..., got 'x=far'"),
        ("x,x=1", "each feature must be named once"),
    ],
)
def test_a_bad_center_names_the_option(call, gaps, tmp_path, center, message):
    printed = call("preprocess", gaps, "--output", tmp_path / "data", "--center", center)
    assert printed.code
    assert message in printed.err
