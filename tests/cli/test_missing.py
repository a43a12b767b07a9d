"""`padless preprocess --missing mask`: from gaps in a file to scores that do not count them."""

import csv
import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from padless.cli.main import main
from padless.pipeline import open_dataset


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    """A CSV file of waves with gaps; `half` has no value of `y`, and `none` none at all."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("gaps") / "gaps.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "time", "x", "y"])
        for name in [*(f"k{i}" for i in range(30)), "half", "none"]:
            phase = rng.uniform(0, 6)
            for time in range(8 + len(name)):
                values = [np.sin(phase + time / 2), 5 + np.cos(phase + time / 2)]
                gap = [name == "none" or rng.random() < 0.2, name in ("half", "none")]
                cells = ["" if g else round(v, 3) for g, v in zip(gap, values, strict=True)]
                writer.writerow([name, time, *cells])
    return path


SPLITS = ("--splits", "train=0.8,validation=0.2")


@pytest.fixture(scope="module")
def masked(gaps, tmp_path_factory):
    """Preprocesses and trains; gives the dataset and the run."""
    folder = tmp_path_factory.mktemp("masked")
    data, run = folder / "data", folder / "run"
    preprocess = ["preprocess", gaps, "--output", data, "--missing", "mask", *SPLITS]
    small = ["--epochs", 2, "--units", 4, "--latent-size", 2, "--batch-size", 8]
    for command in (preprocess, ["train", data, "--run", run, *small]):
        assert main([str(part) for part in command]) == 0
    return data, run


def test_missing_values_stay_and_are_counted(masked, gaps, call, tmp_path):
    argv = ("preprocess", gaps, "--output", tmp_path / "data", "--missing", "mask", *SPLITS)
    report = json.loads(call(*argv, "--json").out)
    assert report["mended"]["masked_values"] > 50
    assert report["rejected"] == {"only_padding": 1}
    dataset = open_dataset(masked[0])
    assert dataset.masks_missing
    assert (dataset.moments.counts < dataset.moments.timesteps).all()
    verified = call("verify", masked[0])
    assert verified.code == 0, verified.out
    config = json.loads((masked[1] / "config.json").read_text())
    assert config["architecture"]["masks_missing"]


def test_scores_do_not_count_what_is_missing(masked, gaps, call, tmp_path):
    data, run = masked
    rows = {}
    for name, source in (("raw", [gaps, "--skip-rejects"]), ("data", [data])):
        output = tmp_path / f"{name}.parquet"
        printed = call("score", run, *source, "--output", output, "--timesteps")
        assert printed.code == 0, printed.err
        rows[name] = {row["key"]: row for row in pq.read_table(output).to_pylist()}
    assert rows["raw"].keys() == rows["data"].keys() >= {"half", "k0"}
    for key, row in rows["raw"].items():
        np.testing.assert_allclose(row["score"], rows["data"][key]["score"], rtol=1e-4)
        assert np.isfinite(row["score"])
    half = rows["data"]["half"]
    assert np.isnan(half["feature_error"][1])
    assert half["error"] == pytest.approx(half["feature_error"][0])
    assert np.isnan(np.array(half["timestep_error"])[:, 1]).all()
    page = tmp_path / "report.html"
    report = call("report", run, "--html", page)
    assert report.code == 0, report.err
    assert "nan" not in report.out
    text = re.sub(r"<script>.*?</script>", "", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_the_saved_model_takes_missing_values(masked):
    loaded = tf.saved_model.load(str(masked[1] / "saved_model"))
    values = np.ones((1, 6, 2), np.float32)
    values[0, 2:4, 1] = np.nan
    served = loaded.serve(tf.constant(values), tf.constant([6], tf.int64))
    assert np.isfinite(served["score"]).all()


def test_a_run_without_missing_values_rejects_them(masked, call, tmp_path, trained):
    refused = call("score", trained.run, masked[0], "--output", tmp_path / "x.parquet")
    assert refused.code == 1
    assert "was trained without missing values" in refused.err
