"""Every option out of its range is rejected with its name, the rule and the value."""

import pathlib

import pytest

from padless.beam_jobs import Output, PreprocessOptions


def test_options_take_a_mapping_of_splits_and_paths(make_options):
    options = make_options(pathlib.Path("a.csv"), splits={"a": 0.25, "b": 0.75})
    assert options.inputs == ("a.csv",)
    assert options.output.splits == (("a", 0.25), ("b", 0.75))


def test_what_is_held_out_comes_after_the_training_split():
    output = Output("out", splits={"train": 0.5, "test": 0.5}, hold_out={"b": 0.1, "a": 0.2})
    assert output.split_names == ("train", "b", "a", "test")
    assert Output("out", hold_out={"validation": 0.1}).split_names == (
        "train",
        "validation",
        "test",
    )


@pytest.mark.parametrize("splits", [{"train": 1}, {f"s{i}": 0.1 for i in range(10)}])
def test_options_accept_shares_that_sum_to_one(splits):
    assert dict(Output("out", splits=splits).splits) == splits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directory": ""}, "`output` must name a directory, got ''"),
        ({"key": ""}, "`key` must name a column, got ''"),
        ({"sequence": ""}, "`sequence` must name a column"),
        ({"label": "time"}, "`key`, `time`, `label` must differ"),
        ({"split": "key"}, "`key`, `time`, `split` must differ"),
        ({"features": "xy"}, "`features` must be a sequence of names"),
        ({"features": ()}, "`features` must hold at least one name"),
        ({"features": ("x", "x")}, "`features` must hold each name once"),
        ({"features": ("key",)}, "`features` must not hold the `key` 'key'"),
        ({"split": "fold", "keep_splits": True}, "must not be set with a `split` column, got 'fo"),
        ({"drop": "xy"}, "`drop` must be a sequence of names"),
        ({"drop": ("x", "x")}, "`drop` must hold each name once"),
        ({"drop": ("time",)}, "`drop` must not hold the `time` 'time'"),
        ({"drop": ("c",), "label": "c"}, "`drop` must not hold the `label` 'c'"),
        ({"drop": ("x",), "features": ("x", "y")}, "`drop` must not hold 'x', which `features`"),
        ({"group": "p"}, "`group` needs `hold_out`, which holds groups out, got 'p' without it"),
        ({"group": "time", "hold_out": {"a": 0.1}}, "`key`, `time`, `group` must differ"),
        ({"hold_out": {"a": 0}}, "hold out a share above 0 and below 1, got a=0.0"),
        ({"hold_out": {"a": 1}}, "hold out a share above 0 and below 1, got a=1.0"),
        ({"hold_out": {"a": float("nan")}}, "a share above 0 and below 1, got a=nan"),
        ({"hold_out": {"a": 0.5, "b": 0.5}}, "`hold_out` must leave something of 'train', got"),
        ({"hold_out": {"train": 0.1}}, "`hold_out` must name another split than 'train'"),
        ({"hold_out": {"1st": 0.1}}, "`hold_out`: a split must be named by .*, got '1st'"),
        ({"hold_out": (("a", 0.1), ("a", 0.1))}, "`hold_out` must name each split once"),
        (
            {"hold_out": {"test": 0.1}},
            "that `splits` does not have, got 'test', which is among 'train', 'v",
        ),
        (
            {
                "splits": {"train": 0.5, "a": 0.25, "b": 0.25},
                "hold_out": {"a": 0.1, "b": 0.2, "c": 0.3},
            },
            r"what works is `--splits train=1 --hold-out a=0.1,b=0.2,c=0.3`",
        ),
        (
            {"hold_out": {"a": 0.1}, "splits": {"fit": 1}},
            r"`hold_out` is about the split 'train', which `splits` must have, it has 'fit'",
        ),
        ({"labels": ("a",)}, r"`labels` needs a `label` column, got 'a' alone"),
        ({"train_labels": ("a",)}, r"`train_labels` needs a `label` column, got 'a' alone"),
        ({"train_labels": (), "label": "c"}, "`train_labels` must hold at least one name"),
        (
            {"train_labels": ("normla",), "labels": ("normal",), "label": "c"},
            r"must be among `labels`, 'normal', got 'normla'. Did you mean 'normal'",
        ),
        (
            {"train_labels": ("a",), "label": "c", "splits": {"fit": 1}},
            "`train_labels` is about the split 'train', which `splits` must have",
        ),
        ({"labels": "ab", "label": "c"}, "`labels` must be a sequence of names"),
        ({"missing": "zero"}, "`missing` must be one of .*, got 'zero'"),
        ({"time_order": "none"}, "`time_order` must be one of .*, got 'none'"),
        ({"too_long": "cut"}, "`too_long` must be one of .*, got 'cut'"),
        ({"too_long": "split"}, "`too_long` needs a `max_length`, got 'split' without one"),
        ({"stride": 2}, "`stride` needs `too_long` to be 'split', got 2 with 'reject'"),
        (
            {"stride": 5, "max_length": 4, "too_long": "split"},
            "`stride` must be from 1 to `max_length`, 4, .* in a piece, got 5",
        ),
        ({"stride": 0, "max_length": 4, "too_long": "split"}, "`stride` must be from 1 .*, got 0"),
        ({"min_length": 0}, "`min_length` must be at least 1, got 0"),
        ({"min_length": 5, "max_length": 4}, "must be at least `min_length`, 5, got 4"),
        ({"max_rejects": -1}, "`max_rejects` must be at least 0, got -1"),
        ({"max_rejects": 1.5}, r"`max_rejects` must be in \[0, 1\] as a share, got 1.5"),
        ({"splits": {}}, "shares that sum to 1, got none: 0"),
        (
            {"splits": {"train": 0.8, "test": 0.1}},
            "shares that sum to 1, got train=0.8,test=0.1: 0.9",
        ),
        ({"splits": {"train": 1.0, "test": 0.0}}, "a share above 0, got test=0.0"),
        ({"splits": {"train": float("nan")}}, "a share above 0, got train=nan"),
        ({"splits": {"1st": 1.0}}, "a letter first, got '1st'"),
        ({"splits": {"all": 1.0}}, 'must not be named "all"'),
        ({"splits": (("a", 0.5), ("a", 0.5))}, "must name each split once"),
        ({"seed": -1}, r"`seed` must be in \[0, 2\*\*63\), got -1"),
        ({"shard_bytes": 0}, "`shard_bytes` must be at least 1, got 0"),
        ({"order": "random"}, "`order` must be one of .*, got 'random'"),
    ],
)
def test_options_reject(make_options, options, message):
    with pytest.raises(ValueError, match=message):
        make_options(**options)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("x.csv", "`inputs` must be a sequence of paths, got the one path 'x.csv'"),
        ((), "`inputs` must name at least one file, got none"),
    ],
)
def test_options_reject_inputs(inputs, message):
    with pytest.raises(ValueError, match=message):
        PreprocessOptions(inputs, "out")
