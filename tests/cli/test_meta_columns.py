"""`--meta-columns`: carried from the raw file through the records into scores."""

import csv

import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from padless.model import open_run
from padless.model.scoring import scores_file
from padless.model.scoring.inference import SCORED_AND_TIMESTEPS, Inference
from padless.pipeline import open_dataset
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.names import OUTPUT_COLUMNS


@pytest.fixture(scope="module")
def sited(trained, tmp_path_factory):
    """The raw file of `trained` with the columns `site` and `device`, empty for some keys."""
    path = tmp_path_factory.mktemp("meta") / "sited.csv"
    with trained.raw.open(newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "site", "device"])
        writer.writerows([*row, *site_of(row[0])] for row in rows)
    return path


def site_of(key):
    return f"hall {len(key)}, ünï", "" if key.endswith("3") else key[-1]


def test_columns_reach_the_records_and_the_scores(call, trained, sited, tmp_path):
    data, meta = tmp_path / "data", ("--meta-columns", "site,device")
    argv = ("preprocess", sited, "--output", data, "--label-column", "kind", *meta)
    made = call(*argv)
    assert made.code == 0, made.err
    assert "2 features: x, y\n" in made.out
    dataset = open_dataset(data)
    assert dataset.record_format.meta_columns == ("device", "site")
    for record in read_records(dataset.splits["train"].files[0]):
        feature = tf.train.Example.FromString(record).features.feature
        (key,), site = feature["key"].bytes_list.value, feature["meta/site"].bytes_list.value
        assert site[0].decode() == site_of(key.decode())[0]
    assert call("verify", data).code == 0
    for name, source in (("data", [data]), ("raw", [sited, *meta])):
        output = tmp_path / f"{name}.parquet"
        scored = call("score", trained.run, *source, "--output", output)
        assert scored.code == 0, scored.err
        table = pq.read_table(output)
        assert [n for n in table.column_names if n in ("site", "device")] == ["device", "site"]
        for row in table.to_pylist():
            assert (row["site"], row["device"]) == site_of(row["key"])


def test_rows_of_a_key_that_differ_are_rejected(call, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("key,time,x,site\na,0,1,p\na,1,2,q\nb,0,1,p\nb,1,2,p\n")
    made = call("preprocess", path, "--output", tmp_path / "data", "--meta-columns", "site")
    assert "conflicting_meta 1" in made.out
    assert "the column 'site' must be the same in all rows, got 'p' and" in made.out


@pytest.mark.parametrize("option", ["meta", "static"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("sight",), "must have the column 'sight' of --meta-columns, it has"),
        (("kind", "--label-column", "kind"), "--meta-columns must not hold 'kind', which is"),
        (("x", "--feature-columns", "x,y"), "--meta-columns must not hold 'x', which is"),
        (("score",), "--meta-columns must not hold 'score', as what a model writes has a column"),
        (("pieces",), "--meta-columns must not hold 'pieces', as what a model writes"),
        (("a/b",), "--meta-columns must hold names without a slash, got 'a/b'"),
    ],
)
def test_a_bad_column_names_the_option(call, sited, tmp_path, option, options, message):
    argv = ("preprocess", sited, "--output", tmp_path / "data", f"--{option}-columns", *options)
    failed = call(*argv)
    assert failed.code
    assert message.replace("--meta", f"--{option}") in failed.err
    assert not (tmp_path / "data").exists()


def test_the_names_that_are_taken_are_those_of_the_output(trained):
    run = open_run(trained.run)
    inference = Inference(run.model, SCORED_AND_TIMESTEPS)
    added = {"split", "p_value", "is_anomaly", "pieces", "worst_piece", "timestep_score"}
    schema = scores_file._schema(inference, run.open_dataset(), added)
    assert set(schema.names) == set(OUTPUT_COLUMNS)
