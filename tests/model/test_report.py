"""The report's numbers against NumPy, and its picture as a file."""

import dataclasses

import numpy as np
import pytest

from padless.model.inference import Inference
from padless.model.picture import draw_report
from padless.model.report import _pick_examples, compare_losses, count_epoch, report_run
from padless.model.run_directory import load_model
from padless.pipeline import Shuffle, plan_batches


@pytest.fixture(scope="module")
def report(finished):
    return report_run(finished[0])


def test_compare_losses_is_the_mean_over_sequences(report, finished, read_sequences):
    model = load_model(finished[0])
    variance, mean = report.dataset.moments.variance, report.dataset.moments.mean
    for split, losses in report.losses.items():
        sequences = [np.float64(s) for s in read_sequences(report.dataset, split).values()]
        errors = [
            np.square(model(np.float32(s)[None])[0].numpy() - s) / variance for s in sequences
        ]
        by_feature = np.mean([error.mean(axis=0) for error in errors], axis=0)
        assert losses.model == pytest.approx(by_feature.mean(), rel=1e-5)
        feature, error = losses.worst_feature
        assert feature == by_feature.argmax()
        assert error == pytest.approx(by_feature.max(), rel=1e-5)
        baselines = [np.square(s - mean) / variance for s in sequences]
        assert losses.feature_mean == pytest.approx(np.mean([b.mean() for b in baselines]))
        own = [np.square(s - s.mean(axis=0)) / variance for s in sequences]
        assert losses.own_mean == pytest.approx(np.mean([o.mean() for o in own]))


def test_compare_losses_weighs_by_timesteps(make_model, make_dataset, read_sequences):
    dataset = make_dataset([3, 9, 9, 20])
    model = make_model(mean=dataset.moments.mean, variance=dataset.moments.variance)
    losses = compare_losses(Inference(model), dataset, "train", "timestep")
    rows = np.concatenate([np.float64(s) for s in read_sequences(dataset, "train").values()])
    assert losses.feature_mean == pytest.approx(1, rel=1e-6)
    assert losses.feature_mean == pytest.approx(
        (np.square(rows - dataset.moments.mean) / dataset.moments.variance).mean()
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_report_shows_each_example_once(make_model, make_dataset, count):
    dataset = make_dataset([5] * count)
    model = make_model(mean=dataset.moments.mean, variance=dataset.moments.variance)
    keys = [example.key for example in _pick_examples(Inference(model), dataset, "train")]
    assert len(keys) == len(set(keys)) == min(count, 3)


def test_compare_losses_of_a_constant_feature_is_finite(make_model, make_dataset):
    dataset = make_dataset([4, 5, 5])
    model = make_model(mean=dataset.moments.mean, variance=[0.0, dataset.moments.variance[1]])
    losses = compare_losses(Inference(model), dataset, "train")
    assert np.isfinite([losses.model, losses.feature_mean, losses.own_mean]).all()


def test_count_epoch_counts_what_comes(make_dataset):
    lengths = [3] * 5 + [7] * 2 + [9]
    dataset = make_dataset(lengths)
    plan = plan_batches(dataset.split("train").lengths, batch_size=2, replicas=2)
    count = count_epoch(dataset, plan, Shuffle(0))
    assert count.timesteps == sum(lengths)
    assert count.padded_timesteps == 0
    assert count.batches == plan.num_batches == 5
    assert count.seen_once == len(lengths)


def test_report_shows_examples_that_are_not_of_training(report):
    assert report.example_split == "validation"
    assert [e.score for e in report.examples] == sorted(e.score for e in report.examples)
    for example in report.examples:
        assert example.original.shape == example.reconstruction.shape


def test_report_text_says_what_was_counted(report):
    text = str(report)
    assert "nothing padded  0 padded among" in text
    assert "0 rejected" in text
    assert "feature 0" in text or "feature 1" in text


@pytest.mark.parametrize("extension", ["png", "svg"])
def test_draw_report_writes_a_picture(report, tmp_path, extension):
    path = tmp_path / f"report.{extension}"
    draw_report(report, path)
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[extension]
    assert path.read_bytes().startswith(start)


def test_draw_report_takes_a_key_that_looks_like_a_formula(report, tmp_path):
    examples = [dataclasses.replace(report.examples[0], key="$\\frac{1}$" * 9)]
    draw_report(dataclasses.replace(report, examples=examples), tmp_path / "report.png")
    assert (tmp_path / "report.png").exists()
