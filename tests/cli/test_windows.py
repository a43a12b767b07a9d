"""Long recordings: cut into windows, trained on, scored, and brought back, by the command line."""

import csv
import re

import numpy as np
import pyarrow.parquet as pq

from padless.pipeline import open_dataset

NUM_TIMESTEPS, SPIKE = 150, 97


def write_recordings(path, count, *, spike=None, seed=0):
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "time", "x", "y"])
        for number in range(count):
            t = np.arange(NUM_TIMESTEPS)
            values = np.stack((np.sin(t / 3), np.cos(t / 3)), 1) + rng.normal(0, 0.05, (len(t), 2))
            if number == spike:
                values[SPIKE] += 4
            writer.writerows([f"r{number}", i, *row] for i, row in enumerate(values.tolist()))
    return path


def test_a_spike_is_found_at_its_timestep(call, tmp_path):
    raw = write_recordings(tmp_path / "raw.csv", 12)
    new = write_recordings(tmp_path / "new.csv", 4, spike=2, seed=1)
    data, run, scores = (tmp_path / name for name in ("data", "run", "scores.parquet"))
    windows = ("--max-length", 32, "--too-long", "split", "--stride", 16)
    done = call("preprocess", raw, "--output", data, *windows)
    assert done.code == 0, done.err
    assert re.search(r"^accepted +108 ", done.out, re.MULTILINE)
    assert {*open_dataset(data).splits["train"].lengths} == {32}
    small = ("--epochs", 4, "--units", 8, "--latent-size", 4, "--batch-size", 16)
    assert call("train", data, "--run", run, *small).code == 0

    done = call("score", run, new, "--merge", "--level", 0.5, "--output", scores)
    assert done.code == 0, done.err
    table = pq.read_table(scores).to_pydict()
    assert table["key"] == ["r0", "r1", "r2", "r3"]
    assert table["length"] == [NUM_TIMESTEPS] * 4
    assert table["pieces"] == [9] * 4  # by the rules of the run
    assert int(np.argmax(table["score"])) == 2
    errors, by_timestep = (
        np.array(table[name][2]) for name in ("timestep_error", "timestep_score")
    )
    assert errors.shape == (NUM_TIMESTEPS, 2)
    assert int(errors.mean(1).argmax()) == SPIKE
    assert abs(int(by_timestep.argmax()) - SPIKE) < 16
    begin, end = map(int, table["worst_piece"][2].partition("[")[2].rstrip("]").split(":"))
    assert begin <= SPIKE < end


def test_a_stride_without_pieces_is_bad_usage(call, tmp_path):
    raw = write_recordings(tmp_path / "raw.csv", 2)
    done = call("preprocess", raw, "--output", tmp_path / "data", "--stride", 4)
    assert done.code != 0
    assert "--stride" in done.err
    assert "--too-long" in done.err
