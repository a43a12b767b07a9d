"""Shards and rejects: in order, counted, and the same bytes in any order of their segments."""

import json

import google_crc32c
import numpy as np
import pytest

from padless.beam_jobs.assembly.segments import build_reject_segment, build_segments, reject_segment
from padless.beam_jobs.fragments import Reject, Sequence, Source
from padless.beam_jobs.output.layout import Layout
from padless.beam_jobs.output.writer import DatasetWriter
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.keys import hash_key
from padless.pipeline.dataset.records import encode_example

SOURCE = Source(0, "x.csv")
SHARD = "x-train.tfrecord-00001-of-00002"


def make_sequences(count, *, num_features=2, first=0):
    rng = np.random.default_rng(0)
    return [
        Sequence(
            SOURCE.place(i + 1),
            rng.normal(9, 1, (i % 7 + 1, num_features)).astype("f4"),
            None,
            b"%d" % i,
            "train",
        )
        for i in range(first, first + count)
    ]


def make_layout(num_partitions):
    return Layout(2, {"train": dict.fromkeys(range(num_partitions), 1)})


@pytest.fixture
def writer(tmp_path):
    for name in ("rejects", "temporary"):
        (tmp_path / name).mkdir()
    return DatasetWriter(str(tmp_path), "x", "hash")


def build(writer, sequences, partition=0, order="hash"):
    (segment,) = build_segments(partition, sequences, writer.temporary, seed=0, order=order)
    return segment


@pytest.mark.parametrize("count", [1, 700])
def test_write_shard_counts_what_it_wrote(writer, tmp_path, count):
    sequences = make_sequences(count)
    summary = writer.write_shard("train", 1, [build(writer, sequences)], make_layout(1))
    data = (tmp_path / SHARD).read_bytes()
    assert (summary.num_bytes, summary.crc32c) == (len(data), google_crc32c.value(data))
    assert summary.num_records == len(list(read_records(tmp_path / SHARD))) == count
    values = np.concatenate([sequence.values for sequence in sequences]).astype(np.float64)
    np.testing.assert_allclose(summary.moments.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(summary.moments.variance, values.var(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(summary.moments.minimum, values.min(axis=0))
    np.testing.assert_array_equal(summary.moments.maximum, values.max(axis=0))


def test_write_shard_does_not_depend_on_the_order_of_arrival(writer, tmp_path):
    parts = make_sequences(300), make_sequences(300, first=300)
    contents = []
    for turn in (1, -1):
        segments = [build(writer, part[::turn], partition=i) for i, part in enumerate(parts)]
        summary = writer.write_shard("train", 1, segments[::turn], make_layout(2))
        contents.append(((tmp_path / SHARD).read_bytes(), summary.moments.m2.tobytes()))
    assert contents[0] == contents[1]


def test_a_segment_is_in_the_order_of_the_hash(writer, tmp_path):
    sequences = make_sequences(50)
    writer.write_shard("train", 1, [build(writer, sequences)], make_layout(1))
    ordered = sorted(sequences, key=lambda sequence: hash_key(0, sequence.key)[1])
    expected = [encode_example(sequence.key, sequence.values) for sequence in ordered]
    assert list(read_records(tmp_path / SHARD)) == expected


def test_write_shard_keeps_the_order_of_the_input(writer, tmp_path):
    writer = DatasetWriter(writer.directory, "x", "input")
    sequences = make_sequences(40)
    segments = [build(writer, sequences[part::3][::-1], part, "input") for part in range(3)]
    writer.write_shard("train", 1, segments, make_layout(3))
    expected = [encode_example(sequence.key, sequence.values) for sequence in sequences]
    assert list(read_records(tmp_path / SHARD)) == expected


def test_write_rejects_sorts_and_counts(writer, tmp_path):
    segments = [
        build_reject_segment([reject], writer.temporary)
        for reject in (
            Reject(SOURCE.place(9), 'é"\n'.encode(), "infinite", "a rule."),
            Reject(SOURCE.place(3), None, "missing_key", "another rule."),
        )
    ]
    summary = writer.write_rejects(segments)
    assert summary.counts == {"missing_key": 1, "infinite": 1}
    assert [message.partition(":")[0] for message in summary.examples] == [
        "x.csv, line 3",
        "x.csv, line 9, key 'é\"\\n'",
    ]
    lines = (tmp_path / "rejects/rejects-00000-of-00001.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [3, 9]
    assert json.loads(lines[1]) == {
        "reason": "infinite",
        "file": "x.csv",
        "line": 9,
        "key": 'é"\n',
        "message": "x.csv, line 9, key 'é\"\\n': a rule.",
    }


def test_examples_are_the_first_of_each_reason_and_then_the_first(writer):
    reasons = ["a"] * 9 + ["b", "c", "c", "a"]
    rejects = [Reject(SOURCE.place(i), None, name, "rule.") for i, name in enumerate(reasons, 1)]
    summary = writer.write_rejects([build_reject_segment(rejects, writer.temporary)])
    numbers = [int(message.split()[2].rstrip(":")) for message in summary.examples]
    assert numbers == [1, 2, 3, 10, 11]
    many = [Reject(SOURCE.place(i), None, f"reason {i}", "rule.") for i in range(9)]
    summary = writer.write_rejects([build_reject_segment(many, writer.temporary)])
    assert len(summary.examples) == 5


def test_write_rejects_writes_an_empty_file_where_there_is_none(writer, tmp_path):
    assert writer.write_rejects([]).total == 0
    assert (tmp_path / "rejects/rejects-00000-of-00001.jsonl").read_bytes() == b""


def test_a_run_of_another_number_of_features_becomes_rejects(writer, tmp_path):
    segment = build(writer, make_sequences(3, num_features=5))
    summary = writer.write_rejects([reject_segment(segment, 2, writer.temporary)])
    assert summary.counts == {"wrong_num_features": 3}
    assert summary.examples[0] == (
        "x.csv, line 1, key '0': a timestep must hold 2 values as in most sequences, got 5."
    )


def test_a_file_that_cannot_be_written_leaves_nothing(writer, tmp_path):
    def chunks():
        yield b"some"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        writer.write_file(str(tmp_path / "y"), chunks())
    assert not (tmp_path / "y").exists()
    assert not list((tmp_path / "temporary").iterdir())
