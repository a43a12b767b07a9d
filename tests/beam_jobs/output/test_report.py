"""The closing summary adds up, and shows as aligned lines."""

import collections
import dataclasses

import numpy as np
import pytest

from padless.beam_jobs import PreprocessReport
from padless.beam_jobs.output.report import SplitReport
from padless.beam_jobs.output.writer import RejectSummary
from padless.pipeline.dataset.metadata import ShardSummary
from padless.pipeline.dataset.moments import Moments

MOMENTS = Moments.of(np.ones((1, 1)))
SHARDS = [
    ShardSummary("train", 0, 100, {3: 2, 9: 1}, MOMENTS, 0),
    ShardSummary("train", 1, 50, {2: 1}, MOMENTS, 0),
    ShardSummary("test", 0, 25, {4: 1}, MOMENTS, 0),
]
REJECTS = RejectSummary({"bad_time": 1, "ragged_row": 1}, ("x.csv, line 2: a rule.",))


def make(shards=SHARDS, *, splits=("train", "extra", "test"), **tally):
    tally = collections.Counter({"read": 7} | tally)
    return PreprocessReport.of(shards, REJECTS, tally=tally, splits=splits)


def test_report_adds_up_the_shards():
    report = make()
    assert (report.read, report.accepted, report.num_bytes) == (7, 5, 175)
    assert report.splits == {"train": SplitReport(4, 2, 9), "test": SplitReport(1, 4, 4)}
    assert report.empty_splits == ("extra",)


def test_report_rejects_a_loss():
    with pytest.raises(RuntimeError, match=r"with 0 more by splitting, got 5 \+ 2 and 8"):
        make(read=8)


def test_report_counts_the_pieces_of_what_was_split():
    report = make(read=5, split_sequences=1, pieces=3)
    assert report.mended == {"split_sequences": 1, "pieces": 3}
    with pytest.raises(RuntimeError, match=r"with 1 more by splitting, got 5 \+ 2 and 5"):
        make(read=5, split_sequences=1, pieces=2)


def test_report_counts_what_was_left_out():
    report = make(read=9, left_out=2)
    assert report.left_out == 2
    assert "left out  2  by --train-where" in str(report)
    with pytest.raises(RuntimeError, match=r"got 5 \+ 2 and 9, of which 1 are left out"):
        make(read=9, left_out=1)


def test_report_names_no_empty_split_where_there_is_no_dataset():
    assert make([], read=2).empty_splits == ()


def test_report_survives_json():
    assert PreprocessReport.from_json(make().to_json()) == make()
    named = make().with_features(2, ["x", "y"])
    assert PreprocessReport.from_json(named.to_json()) == named
    assert named.features == ("x", "y")
    assert make().with_features(3, ["x", "y"]).features is None


def test_report_names_the_options_that_keep_what_is_rejected():
    report = dataclasses.replace(make(), rejected={"missing_value": 1, "too_long": 1})
    assert [line.split()[0] for line in str(report).splitlines()[-2:]] == [
        "--missing",
        "--too-long",
    ]
    filled = dataclasses.replace(report, mended={"filled_values": 2})  # what is left has no value
    assert "--missing" not in str(filled)
    assert "--too-long" in str(filled)


@pytest.mark.parametrize(
    "reasons", [["bad_time"], ["duplicate_time"], ["bad_time", "duplicate_time"]]
)
def test_report_names_once_what_does_without_times(reasons):
    report = dataclasses.replace(make(), rejected=dict.fromkeys(reasons, 1))
    assert str(report).count("--time-order file reads no times") == 1


def test_report_shows_aligned_lines():
    assert str(make(filled_values=12)).splitlines() == [
        "read       7  sequences",
        "accepted   5  175 bytes",
        "rejected   2  bad_time 1, ragged_row 1",
        "filled    12  missing values, by the last one of their feature",
        "  train    4  2 to 9 timesteps",
        "  test     1  4 timesteps",
        "  extra    0  no sequence was drawn for it: left out",
        "  x.csv, line 2: a rule.",
        "  and 1 more",
        "  --time-order file reads no times and keeps the order of the rows",
    ]
