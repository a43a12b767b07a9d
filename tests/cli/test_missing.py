"""`padless preprocess --missing mask`: from gaps in a file to scores that do not count them."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from padless.pipeline import open_dataset


def test_missing_values_stay_and_are_counted(masked, gaps, call, tmp_path):
    argv = ("preprocess", gaps, "--output", tmp_path / "data", "--missing", "mask")
    report = json.loads(call(*argv, "--json").out)
    assert report["mended"]["masked_values"] > 50
    assert report["rejected"] == {"only_padding": 1}
    dataset = open_dataset(masked.data)
    assert dataset.masks_missing
    assert (dataset.moments.counts < dataset.moments.timesteps).all()
    verified = call("verify", masked.data)
    assert verified.code == 0, verified.out
    config = json.loads((masked.run / "config.json").read_text())
    assert config["architecture"]["masks_missing"]


def test_scores_do_not_count_what_is_missing(masked, call, tmp_path):
    rows = masked.scores
    assert rows["raw"].keys() == rows["data"].keys() >= {"half", "k0"}
    for key, row in rows["raw"].items():
        np.testing.assert_allclose(row["score"], rows["data"][key]["score"], rtol=1e-4)
        assert np.isfinite(row["score"])
    half = rows["data"]["half"]
    assert np.isnan(half["feature_error"][1])
    assert half["error"] == pytest.approx(half["feature_error"][0])
    assert np.isnan(np.array(half["timestep_error"])[:, 1]).all()
    page = tmp_path / "report.html"
    report = call("report", masked.run, "--html", page)
    assert report.code == 0, report.err
    assert "nan" not in report.out
    text = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_the_saved_model_takes_missing_values(masked):
    loaded = tf.saved_model.load(str(masked.run / "saved_model"))
    values = np.full((1, 6, 2), [500000.0, 5812345.0])  # raw ones, as the run centers them
    values[0, 2:4, 1] = np.nan
    served = loaded.serve(tf.constant(values), tf.constant([6], tf.int64))
    assert np.isfinite(served["score"]).all()


def test_a_run_without_missing_values_rejects_them(masked, call, tmp_path, trained):
    refused = call("score", trained.run, masked.flat, "--output", tmp_path / "x.parquet")
    assert refused.code == 1
    assert "was trained without missing values" in refused.err
