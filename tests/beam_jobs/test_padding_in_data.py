"""Padding that comes with the data, in every form of input, is left out and counted."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import preprocess
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

NAN = float("nan")
LENGTHS = {"a": 3, "b": 5, "c": 1}
LONGEST = 5
VALUES = {
    key: np.random.default_rng(length).normal(size=(length, 2)).astype(np.float32)
    for key, length in LENGTHS.items()
}
PADDED = {
    key: np.concatenate([values, np.full((LONGEST - len(values), 2), NAN, np.float32)])
    for key, values in VALUES.items()
}


def times_of(key, *, with_times):
    """Times that are missing where there is padding, or that go on."""
    length = LENGTHS[key]
    return [t if with_times or t < length else None for t in range(LONGEST)]


def as_rows(*, with_times):
    """Rows of a long table, those of the sequences one among the other."""
    return [
        (key, times_of(key, with_times=with_times)[t], *map(float, PADDED[key][t]))
        for t in range(LONGEST)
        for key in PADDED
    ]


def write_csv(path, **options):
    rows = [[("" if v is None or v != v else str(v)) for v in r] for r in as_rows(**options)]
    path.write_text("key,time,x,y\n" + "".join(",".join(row) + "\n" for row in rows))


def write_long_parquet(path, **options):
    columns = zip(*as_rows(**options), strict=True)
    pq.write_table(pa.table(dict(zip(("key", "time", "x", "y"), columns, strict=True))), path)


def write_lists_parquet(path, **options):
    columns = {
        "key": list(PADDED),
        "time": [times_of(key, **options) for key in PADDED],
        "x": [values[:, 0].tolist() for values in PADDED.values()],
        "y": [values[:, 1].tolist() for values in PADDED.values()],
    }
    pq.write_table(pa.table(columns), path)


def write_nested_parquet(path, **options):
    columns = {
        "key": list(PADDED),
        "time": [times_of(key, **options) for key in PADDED],
        "sequence": [values.tolist() for values in PADDED.values()],
    }
    pq.write_table(pa.table(columns), path)


def write_jsonl(path, **options):
    records = [
        {
            "key": key,
            "time": times_of(key, **options),
            "sequence": [[None if v != v else v for v in row] for row in values.tolist()],
        }
        for key, values in PADDED.items()
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def write_npz(path, **options):
    np.savez(path, **PADDED)


def write_tfrecord(path, **options):
    records = (encode_example(key.encode(), values) for key, values in PADDED.items())
    path.write_bytes(b"".join(map(frame_record, records)))


FILES = {
    "x.csv": write_csv,
    "long.parquet": write_long_parquet,
    "lists.parquet": write_lists_parquet,
    "nested.parquet": write_nested_parquet,
    "x.jsonl": write_jsonl,
    "x.npz": write_npz,
    "x.tfrecord": write_tfrecord,
}


@pytest.fixture(params=FILES)
def write(request, tmp_path):
    def write_file(**options):
        FILES[request.param](tmp_path / request.param, **options)
        return str(tmp_path / request.param)

    return write_file


@pytest.mark.parametrize("with_times", [True, False])
def test_padding_is_left_out_whatever_the_form(write, make_options, read_all, with_times):
    options = make_options(write(with_times=with_times))
    report = preprocess(options)
    assert report.mended == {"padded_sequences": 2, "padding_timesteps": 6}
    assert "padding left out  6  timesteps at the end of those" in str(report)
    written = read_all(options.output.directory)
    assert {key: len(values) for key, (values, _) in written.items()} == LENGTHS
    for key, (values, _) in written.items():
        np.testing.assert_array_equal(values, VALUES[key])


def test_the_cases_of_a_ts_file_end_with_their_values(tmp_path, make_options):
    text = "@classLabel false\n@data\n1,2,?,?:3,4,?,?\n1,2,NaN,4:1,2,3,NaN\n"
    (tmp_path / "x.ts").write_text(text)
    report = preprocess(make_options(str(tmp_path / "x.ts"), missing="drop_timestep"))
    assert report.mended == {
        "padded_sequences": 1,
        "padding_timesteps": 2,
        "dropped_timesteps": 2,
    }


def test_a_time_may_be_missing_where_there_is_no_value_alone(write_csv, make_options):
    rows = [("a", 0, 1, 2), ("a", "", 3, ""), ("b", 0, 1, 2)]
    report = preprocess(make_options(write_csv("x.csv", rows)))
    assert report.rejected == {"bad_time": 1}


def test_what_is_all_padding_is_rejected(write, make_options, monkeypatch):
    monkeypatch.setitem(PADDED, "d", np.full((LONGEST, 2), NAN, np.float32))
    monkeypatch.setitem(LENGTHS, "d", 0)
    report = preprocess(make_options(write(with_times=False)))
    assert report.rejected == {"only_padding": 1}
    assert report.accepted == 3
