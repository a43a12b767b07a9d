"""The options of `padless preprocess` as its command line has them."""

import json

import numpy as np
import pytest

from padless.beam_jobs.options import FORMS, MISSING, TIME_ORDERS, TOO_LONG
from padless.beam_jobs.readers import inputs


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("--format", FORMS),
        ("--missing", MISSING),
        ("--time-order", TIME_ORDERS),
        ("--too-long", TOO_LONG),
    ],
)
def test_choices_are_those_of_the_options(call, option, choices):
    text = " ".join(call("preprocess", "--help").out.split())
    assert f"{option} {{{','.join(choices)}}} " in text


def test_forms_are_those_that_are_read():
    assert tuple(inputs.FORMS) == FORMS


@pytest.fixture
def saved_twice(tmp_path):
    """Writes a CSV as pandas does that has read one with an index and saves it again."""
    path = tmp_path / "x.csv"
    path.write_text("Unnamed: 0,key,time,x,note,y\n0,a,0,1,none,2\n1,b,0,3,none,4\n")
    return path


def test_what_became_features_is_printed(call, saved_twice, tmp_path):
    argv = ("preprocess", saved_twice, "--drop-columns", "note", "--splits", "train=1")
    printed = call(*argv, "--output", tmp_path / "a")
    shown = "2 features: x, y; not used: Unnamed: 0 (an index without a name), note"
    assert (printed.code, printed.err.count("\n")) == (0, 2)
    assert printed.err.startswith(
        "no split 'validation': p-values will compare with what the model"
    )
    *report, last = printed.out.splitlines()
    assert last == shown
    quiet = call(*argv, "--output", tmp_path / "b", "--quiet")
    assert len(quiet.out.splitlines()) == len(report)
    assert "features" not in quiet.out
    assert quiet.err == ""
    found = json.loads(call(*argv, "--output", tmp_path / "c", "--json").out)
    assert (found["num_features"], found["features"]) == (2, ["x", "y"])
    assert found["unused_columns"] == ["Unnamed: 0", "note"]


def test_a_validation_split_that_was_asked_for_is_not_missed(call, saved_twice, tmp_path):
    argv = ("preprocess", saved_twice, "--drop-columns", "note", "--splits")
    drawn = call(*argv, "train=0.5,validation=0.5", "--output", tmp_path / "a")
    assert (drawn.code, drawn.err) == (0, "")


def test_features_without_names_are_counted(call, tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones((2, 3)))
    argv = ("preprocess", tmp_path / "x.npz", "--splits", "train=1")
    printed = call(*argv, "--output", tmp_path / "a")
    assert printed.out.endswith("\n3 features, without names\n")
    found = json.loads(call(*argv, "--output", tmp_path / "b", "--json").out)
    assert (found["num_features"], found["features"]) == (3, None)


def test_a_dropped_column_that_is_not_there_is_suggested(call, saved_twice, tmp_path):
    argv = ("preprocess", saved_twice, "--drop-columns", "nose", "--output", tmp_path / "data")
    failed = call(*argv)
    assert failed.code == 1
    assert "must have the column 'nose' of --drop-columns, it has" in failed.err
    assert failed.err.endswith("Did you mean 'note'?\n")


def test_a_training_split_of_some_labels_with_whole_groups_held_out(call, tmp_path):
    rows = [
        f"k{i},0,{i},{'ok' if i % 2 else 'bad'},p{i % 7},{'test' if i > 60 else 'train'}"
        for i in range(84)
    ]
    (tmp_path / "x.csv").write_text("\n".join(["key,time,x,state,person,fold", *rows]))
    argv = ["preprocess", tmp_path / "x.csv", "--output", tmp_path / "data"]
    argv += ["--split-column", "fold", "--hold-out", "validation=0.3", "--hold-out-by", "person"]
    argv += ["--label-column", "state", "--train-where", "state=ok"]
    printed = call(*argv)
    assert (printed.code, printed.err) == (0, "")
    words = [line.split() for line in printed.out.splitlines()]
    assert ["left", "out", "31", "by"] in [line[:4] for line in words]
    assert [line[0] for line in words[-4:-1]] == ["train", "validation", "test"]
    assert words[-1] == ["1", "feature:", "x"]
    verified = call("verify", tmp_path / "data")
    assert verified.code == 0
    assert "by the column 'person', which no record holds" in verified.out
    failed = call(*argv[:-1], "state=good", "--overwrite")
    assert failed.code == 1
    assert "--train-where must name labels of the input, which are 'bad' and 'ok'" in failed.err
    assert call("verify", tmp_path / "data").code == 0


def test_a_table_of_the_ucr_archive_is_read(call, tmp_path):
    (tmp_path / "x.tsv").write_text("1\t0.5\t1.5\tNaN\n2\t2.5\tNaN\tNaN\n")
    argv = ("preprocess", tmp_path / "x.tsv", "--output", tmp_path / "data", "--label-column", "1")
    shown = call(*argv, "--wide", "--no-header", "--json")
    report = json.loads(shown.out)
    assert (shown.code, report["accepted"], report["rejected"]) == (0, 2, {})
    shown = call(*argv, "--wide", "--feature-columns", "2", "--no-header")
    assert shown.code == 2
    assert "--feature-columns must be None with --wide" in " ".join(shown.err.split())
