"""Raw files as a dataset for as long as the `with` lasts."""

import os
import pathlib
import tempfile

import numpy as np
import pytest

from padless.beam_jobs import RAW_SPLIT, Columns, Rules, open_raw
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.rules import SequenceRules

ROWS = [("b", 1, 3, 4), ("a", 1, 1, 2)]


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_open_raw_gives_one_split_in_the_order_of_the_input(write_csv, scratch):
    with open_raw([write_csv("x.csv", ROWS)]) as raw:
        assert (raw.dataset.name, list(raw.dataset.splits)) == (RAW_SPLIT, [RAW_SPLIT])
        (file,) = raw.dataset.splits[RAW_SPLIT].files
        first, second = read_records(file)
        assert b"b" in first
        assert b"b" not in second
        assert [path.name.startswith("padless-") for path in scratch.iterdir()] == [True]
    assert os.listdir(scratch) == []


def test_open_raw_chooses_columns_by_name(write_csv):
    with open_raw([pathlib.Path(write_csv("x.CSV", ROWS))], columns=Columns(features=["y"])) as raw:
        assert raw.dataset.feature_names == ("y",)


def test_open_raw_ignores_feature_names_where_files_have_none(write_npz, write_jsonl):
    paths = [
        write_npz("x.npz", {"a": np.ones((1, 2))}),
        write_jsonl("x.jsonl", [{"key": "b", "sequence": [[1, 2]]}]),
    ]
    with open_raw(paths, feature_names=("y",)) as raw:
        assert raw.dataset.splits[RAW_SPLIT].num_sequences == 2


def test_open_raw_rejects_rejects(write_csv, scratch):
    path = write_csv("x.csv", [*ROWS, ("c", 1, "?!", 1)])
    with (
        pytest.raises(ValueError, match=r"(?s)or `skip_rejects` be set\.\nread.*line 4, key 'c'"),
        open_raw([path]),
    ):
        pass
    assert os.listdir(scratch) == []


def test_open_raw_skips_rejects_and_reports_them(write_csv, recwarn, capsys):
    path = write_csv("x.csv", [*ROWS, ("c", 1, "?!", 1)])
    with open_raw([path], skip_rejects=True) as raw:
        assert raw.dataset.splits[RAW_SPLIT].lengths == {1: 2}
    assert (raw.report.read, raw.report.rejected) == (3, {"not_a_number": 1})
    assert raw.report.seconds > 0
    assert (list(recwarn), capsys.readouterr()) == ([], ("", ""))


def test_open_raw_reports_what_it_read(write_csv):
    with open_raw([write_csv("x.csv", ROWS)]) as raw:
        assert (raw.report.accepted, raw.report.num_rejected) == (2, 0)


def test_open_raw_takes_no_single_path():
    with pytest.raises(ValueError, match="`inputs` must be a sequence of paths"), open_raw("x.csv"):
        pass


def test_open_raw_applies_rules(write_csv):
    path = write_csv("x.csv", [("a", 1, 1, 1), ("a", 2, "", 1)])
    with open_raw([path], rules=Rules(missing="drop_timestep")) as raw:
        assert raw.dataset.splits[RAW_SPLIT].lengths == {1: 1}


def test_open_raw_takes_the_rules_of_a_run(write_csv, write_npz):
    rules = SequenceRules(max_length=2, too_long="truncate", time_order="reject")
    with open_raw([write_npz("x.npz", {"a": np.ones((3, 2))})], rules=rules) as raw:
        assert raw.dataset.splits[RAW_SPLIT].lengths == {2: 1}
    path = write_csv("x.csv", [("c", 2, 1, 1), ("c", 1, 1, 1)])
    with open_raw([path, write_csv("y.csv", ROWS)], rules=rules, skip_rejects=True) as raw:
        assert raw.report.rejected["time_not_increasing"] == 1
