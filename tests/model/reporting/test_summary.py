"""The summary's numbers against NumPy, its ranges of lengths, its words."""

import dataclasses
import math

import numpy as np
import pytest

from padless.model import Inference, load_model, open_run
from padless.model.reporting.summary import (
    BaselineComparison,
    FeatureErrors,
    LengthRange,
    Summary,
    divide_lengths,
    summarize,
)
from padless.model.scoring.inference import WITH_BASELINES
from padless.pipeline import open_dataset


def fits(dataset):
    return {"mean": dataset.moments.mean, "variance": dataset.moments.variance}


def squared_errors(model, dataset, sequences):
    """Squares of the errors of the model, the feature means and the own means, in raw units."""
    for values in map(np.float64, sequences):
        reconstruction = model(np.float32(values)[None])[0].numpy()
        guesses = reconstruction, dataset.moments.mean, values.mean(axis=0)
        yield [np.square(values - guess) for guess in guesses]


def mean_errors(model, dataset, sequences, weighting):
    """Means `(3, features)` of these squares, over timesteps, then over sequences or timesteps."""
    columns = zip(*squared_errors(model, dataset, sequences), strict=True)
    if weighting == "timestep":
        return np.array([np.concatenate(column).mean(axis=0) for column in columns])
    return np.array([np.mean([part.mean(axis=0) for part in column], axis=0) for column in columns])


@pytest.fixture(scope="module")
def skewed(make_dataset):
    """Thirty lengths in a split that is not the one of the moments, more short than long."""
    lengths = np.random.default_rng(3).geometric(0.1, 40) + 1
    return make_dataset({"train": [4, 5, 6], "validation": lengths.tolist()}, num_features=3)


@pytest.mark.parametrize("weighting", ["sequence", "timestep"])
def test_summarize_is_the_mean_that_numpy_takes(make_model, skewed, read_sequences, weighting):
    model = make_model(3, **fits(skewed))
    summary = summarize(model, skewed, "validation", weighting)
    sequences = list(read_sequences(skewed, "validation").values())
    expected = mean_errors(model, skewed, sequences, weighting)
    losses = (expected / skewed.moments.variance).mean(axis=1)
    np.testing.assert_allclose(dataclasses.astuple(summary.losses), losses, rtol=1e-5)
    for i, feature in enumerate(summary.features):
        rmse = np.sqrt(expected[:, i])
        np.testing.assert_allclose(dataclasses.astuple(feature.rmse), rmse, rtol=1e-5)
        assert feature.loss == pytest.approx(expected[0, i] / skewed.moments.variance[i], rel=1e-5)
    assert len(summary.ranges) == 5
    for part in summary.ranges:
        chosen = [s for s in sequences if part.shortest <= len(s) <= part.longest]
        expected = mean_errors(model, skewed, chosen, weighting) / skewed.moments.variance
        assert part.num_sequences == len(chosen)
        np.testing.assert_allclose(
            dataclasses.astuple(part.losses), expected.mean(axis=1), rtol=1e-5
        )
    assert summary.num_sequences == len(sequences)


def test_summarize_gives_the_loss_of_a_run_on_one_scale(finished_on_one_scale, validated_dataset):
    run, report = finished_on_one_scale
    summary = summarize(load_model(run), validated_dataset, "validation")
    assert summary.losses.model == pytest.approx(report.best["val_loss"], rel=1e-5)


def test_summarize_takes_the_loss_of_a_run_to_the_scale_of_the_training_set(
    finished, validated_dataset, read_sequences
):
    run, report = finished
    model, scale = load_model(run), np.sqrt(validated_dataset.moments.variance)
    sequences = read_sequences(validated_dataset, "validation").values()
    errors = [np.square((model(s[None])[0].numpy() - s) / scale).mean(axis=0) for s in sequences]
    variances = [np.square((s / scale).std(axis=0).clip(min=0.05)) for s in sequences]
    summary = summarize(model, validated_dataset, "validation")
    assert summary.losses.model == pytest.approx(np.mean(errors), rel=1e-5)
    on_own_scale = np.mean(np.array(errors) / variances)
    assert report.best["val_loss"] == pytest.approx(on_own_scale, rel=1e-4)


def test_summarize_takes_a_model_that_runs(make_model, skewed):
    model = make_model(3, **fits(skewed))
    expected = summarize(model, skewed, "train")
    assert summarize(Inference(model, WITH_BASELINES), skewed, "train") == expected


def test_summarize_a_constant_feature_is_finite(make_model, make_dataset):
    dataset = make_dataset([4, 5, 5])
    model = make_model(mean=dataset.moments.mean, variance=[0.0, dataset.moments.variance[1]])
    summary = summarize(model, dataset, "train")
    assert np.isfinite(dataclasses.astuple(summary.losses)).all()


def test_summarize_names_the_file_that_is_damaged(make_model, make_dataset):
    dataset = make_dataset([4, 5, 5])
    (file,) = dataset.split("train").files
    file.write_bytes(file.read_bytes()[:-5])
    dataset = open_dataset(file.parent)  # as it is now, or the change itself were the error
    with pytest.raises(ValueError, match=f"{file.name}: record 2 .*truncated"):
        summarize(make_model(), dataset, "train")


def test_summarize_rejects_an_unknown_weighting(make_model, skewed):
    with pytest.raises(ValueError, match=r"`weighting` must be one of.*got 'feature'"):
        summarize(make_model(3), skewed, "train", "feature")


@pytest.mark.parametrize(
    ("lengths", "ranges"),
    [
        ({5: 3}, [(5, 5)]),
        ({5: 50, 9: 50}, [(5, 5), (9, 9)]),
        ({5: 95, 9: 5}, [(5, 9)]),
        ({5: 5, 9: 95}, [(5, 9)]),
        ({1: 1, 2: 1, 3: 1}, [(1, 1), (2, 2), (3, 3)]),
        ({1: 0, 2: 1, 3: 1}, [(2, 2), (3, 3)]),
        (dict.fromkeys(range(1, 101), 1), [(1, 20), (21, 40), (41, 60), (61, 80), (81, 100)]),
        ({7: 40, 8: 1, 9: 59}, [(7, 7), (8, 9)]),
    ],
)
def test_divide_lengths(lengths, ranges):
    assert divide_lengths(lengths) == ranges


def test_divide_lengths_into_ranges_of_about_the_same_size():
    rng = np.random.default_rng(0)
    for median in (20, 100):
        drawn = rng.lognormal(np.log(median), 0.6, 4000).round()
        values, counts = np.unique(drawn, return_counts=True)
        lengths = dict(zip(values.astype(int).tolist(), counts.tolist(), strict=True))
        ranges = divide_lengths(lengths)
        sizes = [sum(n for length, n in lengths.items() if a <= length <= b) for a, b in ranges]
        assert sum(sizes) == 4000
        assert len(ranges) == 5
        assert max(sizes) < 1.3 * min(sizes)


def made_summary(losses, ranges=((0.1, 1.0, 0.5),), num_features=2, explained=(0.2, 0.6, 0.9)):
    """A summary of made-up numbers; the range of the i-th is of length i + 1."""
    return Summary(
        split="validation",
        weighting="sequence",
        losses=BaselineComparison(*losses),
        explained=explained,
        ranges=tuple(
            LengthRange(i + 1, i + 1, 10, BaselineComparison(*r)) for i, r in enumerate(ranges)
        ),
        features=tuple(
            FeatureErrors(f"f{i}", i / 100, BaselineComparison(i / 10, 1000.0, 500.0))
            for i in range(num_features)
        ),
    )


@pytest.mark.parametrize(
    ("losses", "warning"),
    [
        ((0.4, 1.0, 0.5), None),
        ((0.5, 1.0, 0.5), "on validation the model does not beat the mean of each sequence: "),
        ((1.0, 1.0, 0.5), "on validation the model does not beat the mean of each feature: "),
        ((float("nan"), 1.0, 0.5), "the model does not beat the mean of each feature"),
        ((0.1, 1.0, 0.0), "on validation no sequence varies from timestep to timestep: there is "),
        ((1e-8, 1.0, 1e-14), "there is no shape to learn, and scores tell of levels alone."),
        ((0.0, 0.0, 0.0), "on validation no feature varies: there is nothing to learn."),
    ],
)
def test_summary_warns_of_a_model_that_only_learned_a_mean(losses, warning):
    warnings = made_summary(losses).warnings()
    assert len(warnings) == (warning is not None)
    assert all(text.startswith("on validation ") and warning in text for text in warnings)


def test_summary_shows_what_is_explained_and_warns_of_a_flat_reconstruction():
    good = made_summary((0.4, 1.0, 0.5))
    assert "R² of a sequence: median 0.60, of four fifths of them 0.20 to 0.90" in str(good)
    (warning,) = made_summary((0.4, 1.0, 0.5), explained=(-0.1, 0.09, 0.8)).warnings()
    assert warning.startswith(
        "on validation less than 10% of the variance of half of the sequences"
    )


@pytest.mark.parametrize(
    "made",
    [
        {"losses": (0.5, 1.0, 0.5)},
        {"losses": (0.4, 1.0, 0.5), "ranges": [(0.4, 1.0, 0.5), (0.6, 1.0, 0.5)]},
        {"losses": (0.4, 1.0, 0.5), "explained": (-0.1, 0.09, 0.8)},
    ],
    ids=["all", "some", "flat"],
)
def test_of_other_data_than_the_run_s_no_longer_training_is_advised(made):
    own = made_summary(**made)
    (of_own,), (of_other,) = (
        own.warnings(),
        dataclasses.replace(own, is_trained_on=False).warnings(),
    )
    said = "If it is otherwise on the data of the run, these are unlike them."
    assert said in of_other
    assert "Train longer" not in of_other
    assert "it has learned" not in of_other
    assert said not in of_own


def test_summary_names_the_ranges_that_only_learned_a_mean():
    good, level, nothing = (0.4, 1.0, 0.5), (0.6, 1.0, 0.5), (1.1, 1.0, 0.5)
    summary = made_summary(good, [nothing, good, level, nothing, nothing])
    assert [text.partition(" at ")[2].partition(":")[0] for text in summary.warnings()] == [
        "1, 4 and 5 timesteps", "3 timesteps"
    ]  # fmt: skip
    shown = [f"warning: {text}" for text in summary.warnings()]
    assert str(summary).endswith("\n".join(shown))


def test_summary_shows_the_worst_features_and_counts_the_others():
    lines = str(made_summary((0.4, 1.0, 0.5), num_features=40)).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("f")][1:] == [
        f"f{i}" for i in range(39, 31, -1)
    ]
    assert lines[-1] == "and 32 more with a smaller loss"
    assert lines[-9].split() == ["f39", "0.3900", "3.9", "1000", "500"]


def test_a_feature_without_values_comes_last_of_the_worst():
    summary = made_summary((0.4, 1.0, 0.5), num_features=3)
    first, second, third = summary.features
    without = dataclasses.replace(second, loss=math.nan)
    for features in ((first, without, third), (without, first, third), (first, third, without)):
        worst = dataclasses.replace(summary, features=features).worst_features
        assert worst == [third, first, without]


def test_train_sums_up_the_best_weights(spoiled):
    run, report = spoiled
    dataset = open_run(run).open_dataset()
    assert report.summary == summarize(load_model(run), dataset, "validation")
    assert str(report).startswith("best epoch 1 by val_loss: ")
    assert str(report.summary) in str(report)


def test_train_sums_up_the_training_split_where_there_is_no_other(without_validation):
    _, report = without_validation
    assert report.summary.split == "train"
    assert report.summary.num_sequences == 10


def test_train_sums_up_a_finished_run(finished, train_small, validated_dataset):
    run, report = finished
    _, again = train_small(validated_dataset, run=run, resume=True, epochs=6)
    assert again.summary == report.summary
