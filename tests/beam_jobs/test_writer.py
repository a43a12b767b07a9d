"""Shards and rejects: sorted, counted, and the same bytes in whatever order they come."""

import json

import numpy as np
import pytest

from padless.beam_jobs.fragments import Reject, Sequence, Source
from padless.beam_jobs.splits import Layout
from padless.beam_jobs.writer import DatasetWriter
from padless.pipeline.records import encode_example, read_records

LAYOUT = Layout(2, {"train": 2})
SOURCE = Source(0, "x.csv")


def make_sequences(count):
    rng = np.random.default_rng(0)
    return [
        Sequence(SOURCE.place(i), rng.normal(9, 1, (i % 7 + 1, 2)).astype("f4"), None, b"%d" % i)
        for i in range(count)
    ]


@pytest.fixture
def writer(make_options, tmp_path):
    (tmp_path / "rejects").mkdir()
    return DatasetWriter(str(tmp_path), "x", make_options())


@pytest.mark.parametrize("count", [1, 700])
def test_write_shard_counts_what_it_wrote(writer, tmp_path, count):
    sequences = make_sequences(count)
    summary = writer.write_shard("train", 1, sequences, LAYOUT)
    path = tmp_path / "x-train.tfrecord-00001-of-00002"
    assert summary.num_bytes == path.stat().st_size
    assert sum(summary.lengths.values()) == len(list(read_records(path))) == count
    values = np.concatenate([sequence.values for sequence in sequences]).astype(np.float64)
    np.testing.assert_allclose(summary.moments.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary.moments.variance, values.var(axis=0), rtol=1e-9)


def test_write_shard_does_not_depend_on_the_order_of_arrival(writer, tmp_path):
    sequences = make_sequences(700)
    contents = []
    for ordered in (sequences, sequences[::-1], sequences):
        summary = writer.write_shard("train", 0, ordered, LAYOUT)
        path = tmp_path / "x-train.tfrecord-00000-of-00002"
        contents.append((path.read_bytes(), summary.moments.m2.tobytes()))
    assert contents[0] == contents[1] == contents[2]


def test_write_shard_keeps_the_order_of_the_input(make_options, tmp_path):
    writer = DatasetWriter(str(tmp_path), "x", make_options(order="input"))
    sequences = make_sequences(20)
    writer.write_shard("train", 0, sequences[::-1], LAYOUT)
    records = list(read_records(tmp_path / "x-train.tfrecord-00000-of-00002"))
    assert records == [encode_example(sequence.key, sequence.values) for sequence in sequences]


def test_write_empty_shards_adds_the_missing_files(writer, tmp_path):
    writer.write_empty_shards([writer.write_shard("train", 1, make_sequences(1), LAYOUT)], LAYOUT)
    assert (tmp_path / "x-train.tfrecord-00000-of-00002").stat().st_size == 0
    assert (tmp_path / "x-train.tfrecord-00001-of-00002").stat().st_size > 0


def test_write_rejects_sorts_and_counts(writer, tmp_path):
    rejects = [
        Reject(SOURCE.place(9), 'é"\n'.encode(), "not_finite", "a rule."),
        Reject(SOURCE.place(3), None, "missing_key", "another rule."),
    ]
    summary = writer.write_rejects(rejects)
    assert summary.counts == {"missing_key": 1, "not_finite": 1}
    lines = (tmp_path / "rejects/rejects-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 9]
    assert json.loads(lines[1]) == {
        "reason": "not_finite",
        "file": "x.csv",
        "line": 9,
        "key": 'é"\n',
        "message": "x.csv, line 9, key 'é\"\\n': a rule.",
    }
