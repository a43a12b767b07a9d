"""Every option out of its range is refused with its name, the rule and the value."""

import pathlib

import pytest

from padless.beam_jobs import PreprocessOptions


def make(**options):
    return PreprocessOptions(**{"inputs": ("x.csv",), "output": "out"} | options)


def test_options_take_a_mapping_of_splits_and_paths():
    options = make(inputs=[pathlib.Path("a.csv")], splits={"a": 0.25, "b": 0.75})
    assert options.inputs == ("a.csv",)
    assert options.splits == (("a", 0.25), ("b", 0.75))


@pytest.mark.parametrize("splits", [{"train": 1}, {f"s{i}": 0.1 for i in range(10)}])
def test_options_accept_shares_that_sum_to_one(splits):
    assert dict(make(splits=splits).splits) == splits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": "x.csv"}, "`inputs` must be a sequence of paths, got the one path 'x.csv'"),
        ({"inputs": ()}, "`inputs` must name at least one file, got none"),
        ({"inputs": ("x.csv", "./x.csv")}, "`inputs` must name each file once, got 'x.csv'"),
        ({"output": ""}, "`output` must name a directory, got ''"),
        ({"key_column": ""}, "`key_column` must name a column, got ''"),
        ({"sequence_column": ""}, "`sequence_column` must name a column"),
        ({"label_column": "time"}, "`key_column`, `time_column`, `label_column` must differ"),
        ({"feature_columns": "xy"}, "`feature_columns` must be a sequence of names"),
        ({"feature_columns": ()}, "`feature_columns` must name at least one column"),
        ({"feature_columns": ("x", "x")}, "`feature_columns` must name each column once"),
        ({"feature_columns": ("key",)}, "`feature_columns` must not hold the `key_column` 'key'"),
        ({"splits": {}}, "shares that sum to 1, got {}: 0"),
        ({"splits": {"train": 0.8, "test": 0.1}}, "shares that sum to 1, got .*: 0.9"),
        ({"splits": {"train": 1.0, "test": 0.0}}, "a share above 0, got test=0.0"),
        ({"splits": {"train": float("nan")}}, "a share above 0, got train=nan"),
        ({"splits": {"1st": 1.0}}, "a letter first, got '1st'"),
        ({"splits": {"all": 1.0}}, 'must not name a split "all"'),
        ({"splits": (("a", 0.5), ("a", 0.5))}, "must name each split once"),
        ({"seed": -1}, r"`seed` must be in \[0, 2\*\*63\), got -1"),
        ({"shard_bytes": 0}, "`shard_bytes` must be at least 1, got 0"),
        ({"order": "random"}, "`order` must be one of .*, got 'random'"),
    ],
)
def test_options_refuse(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
