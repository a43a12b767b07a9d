"""`padless preprocess --center` from the raw file to its scores."""

import csv
import math

import numpy as np
import pyarrow.parquet as pq
import pytest


@pytest.fixture
def tracks(tmp_path):
    """A CSV file of tracks that turn by decimetres at coordinates of thousands of kilometres."""
    rng = np.random.default_rng(0)
    with (tmp_path / "tracks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "time", "easting", "northing"])
        for track in range(24):
            phase, step = rng.uniform(0, 6), rng.uniform(0.1, 0.4)
            for time in range(10 + track % 5):
                turn = phase + step * time
                row = [500000 + 0.1 * math.cos(turn), 5812345 + 0.1 * math.sin(turn)]
                writer.writerow([f"t{track}", time, *np.round(row, 4)])
    return tmp_path / "tracks.csv"


def test_raw_files_are_scored_as_the_dataset_that_was_centered(call, tracks, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    flat = call("preprocess", tracks, "--output", data)
    assert "warning: northing: in float32 its values are 0.5 apart" in flat.out
    (remedy,) = [line.split()[1] for line in flat.out.splitlines() if "--center" in line]
    made = call("preprocess", tracks, "--output", data, "--overwrite", "--center", remedy)
    assert "warning" not in made.out
    small = ("--epochs", 2, "--units", 4, "--latent-size", 2, "--batch-size", 8)
    assert call("train", data, "--run", run, *small).code == 0
    results = []
    for name, source in (("raw", tracks), ("data", data)):
        output = tmp_path / f"{name}.parquet"
        assert call("score", run, source, "--output", output).code == 0
        rows = pq.read_table(output).to_pylist()
        results.append({row["key"]: (row["score"], *row["embedding"]) for row in rows})
    raw, centered = results
    assert raw.keys() == centered.keys()
    for key, values in raw.items():
        np.testing.assert_allclose(values, centered[key], rtol=1e-4, atol=1e-6)
    other = tmp_path / "other"
    call("preprocess", tracks, "--output", other)
    refused = call("score", run, other, "--output", tmp_path / "x.parquet")
    assert refused.code == 1
    assert "was trained with the offsets" in refused.err


@pytest.mark.parametrize(
    ("center", "message"),
    [
        ("x", "--center must name a feature, got 'x'"),
        ("easting=far", "must be NAME[=NUMBER],..., got 'easting=far'"),
        ("easting,easting=1", "each feature must be named once"),
    ],
)
def test_a_bad_center_names_the_option(call, tracks, tmp_path, center, message):
    printed = call("preprocess", tracks, "--output", tmp_path / "data", "--center", center)
    assert printed.code
    assert message in printed.err
