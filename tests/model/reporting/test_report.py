"""The report's numbers against NumPy, and its picture as a file."""

import dataclasses
import shutil

import numpy as np
import pytest

from padless.model.reporting import picture
from padless.model.reporting.epoch_count import count_epoch
from padless.model.reporting.length_bias import measure_length_bias
from padless.model.reporting.picture import draw_report
from padless.model.reporting.report import _pick_examples, report_run
from padless.model.scoring import run as run_module
from padless.model.scoring.calibration import Calibration
from padless.model.scoring.inference import WITH_BASELINES, Inference
from padless.pipeline import Shuffle, plan_batches


@pytest.fixture(scope="module")
def report(finished):
    return report_run(finished[0])


def test_report_shows_progress_of_each_pass_over_the_data(finished, report):
    seen = []
    assert str(report_run(finished[0], progress=seen.append)) == str(report)
    works = {progress.work: progress for progress in seen}
    counts = {name: split.num_sequences for name, split in report.dataset.splits.items()}
    assert {work: (last.done, last.total) for work, last in works.items()} == {
        f"{work} of {split}": (counts[split], counts[split])
        for work, split in [
            ("epoch", "train"),
            ("errors", "train"),
            ("errors", "validation"),
            ("examples", "validation"),
        ]
    }


@pytest.fixture(scope="module")
def inference(make_model, make_dataset):
    moments = make_dataset([5] * 4).moments
    return Inference(make_model(mean=moments.mean, variance=moments.variance), WITH_BASELINES)


@pytest.fixture(scope="module")
def new_data(make_dataset):
    """A dataset of two splits, none of them for training; one is named as that of p-values."""
    return make_dataset({"validation": [3, 4, 5, 6], "may": [4, 7, 7]}, seed=7)


@pytest.fixture(scope="module")
def report_of_new(finished, new_data):
    return report_run(finished[0], new_data.split("may").files[0].parent)


def test_report_of_data_without_a_training_split_counts_no_epoch(report_of_new):
    assert report_of_new.plan is report_of_new.epoch is None
    assert not report_of_new.is_trained_on
    assert report_of_new.lengths == {3: 1, 4: 2, 5: 1, 6: 1, 7: 2}
    lines = str(report_of_new).splitlines()
    assert lines[2] == "sequences       7 accepted (validation 4, may 3), 0 rejected"
    assert "epoch" not in str(report_of_new)
    assert str(report_of_new).endswith(str(report_of_new.summaries["validation"]))


def test_report_of_new_data_measures_them_by_the_moments_of_the_run(
    finished, report_of_new, new_data, validated_dataset, read_sequences
):
    moments = validated_dataset.moments
    np.testing.assert_allclose(report_of_new.trained.mean, moments.mean)
    np.testing.assert_allclose(report_of_new.trained.variance, moments.variance)
    sequences = read_sequences(new_data, "may").values()
    standardized = [(one - moments.mean) / moments.variance**0.5 for one in sequences]
    expected = np.mean([np.square(one).mean() for one in standardized])
    losses = report_of_new.summaries["may"].losses
    assert losses.feature_mean == pytest.approx(expected, rel=1e-5)


def test_a_split_of_new_data_is_not_the_one_that_p_values_compare_with(report_of_new):
    assert report_of_new.length_bias.split == "validation"
    assert not report_of_new.length_bias.is_calibration


def test_a_copy_of_the_data_of_a_run_is_not_other_data(finished, validated_dataset, tmp_path):
    source = validated_dataset.split("train").files[0].parent
    report = report_run(finished[0], shutil.copytree(source, tmp_path / "moved"))
    assert report.is_trained_on
    assert report.length_bias.is_calibration


@pytest.mark.parametrize("own_scale", [True, False])
def test_draw_report_draws_data_without_a_training_split(report_of_new, monkeypatch, own_scale):
    drawn = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: drawn.append(figure))
    draw_report(dataclasses.replace(report_of_new, own_scale=own_scale), "unused.png")
    lengths, losses, *examples = drawn[0].axes
    assert lengths.get_title() == "7 sequences of 5 lengths"
    assert sum(bar.get_height() for bar in lengths.patches) == 7
    names = ["training", "validation", "variance of the sequence"]
    assert [line.get_label() for line in losses.lines] == names[: 3 if own_scale else 2]
    assert len(examples) == 3


@pytest.fixture
def without_a_model(finished, tmp_path):
    """A finished run whose model cannot be loaded."""
    run = shutil.copytree(finished[0], tmp_path / "run")
    for file in run.glob("*.keras"):
        file.write_bytes(b"no model")
    return run


def test_report_rejects_other_features_before_it_loads_the_model(without_a_model, make_dataset):
    folder = make_dataset({"may": [3, 4]}, num_features=3).split("may").files[0].parent
    with pytest.raises(ValueError, match="the run was trained on 2 features per timestep"):
        report_run(without_a_model, folder)


def test_report_rejects_a_dataset_without_sequences_before_it_loads_the_model(
    without_a_model, new_data, monkeypatch
):
    empty = dataclasses.replace(new_data, splits={})
    monkeypatch.setattr(run_module, "open_dataset", lambda directory: empty)
    with pytest.raises(ValueError, match="must hold at least one sequence, it has none"):
        report_run(without_a_model, new_data.split("may").files[0].parent)


def test_report_warns_of_lengths_that_p_values_compare_with_nothing_like(
    finished, make_dataset, caplog
):
    folder = make_dataset({"may": [4, 30]}).split("may").files[0].parent
    report = report_run(finished[0], folder)
    assert "1 of 2 sequences are much shorter or longer (30 timesteps)" in report.other_lengths
    said = [record.message for record in caplog.records if record.name.startswith("padless")]
    assert said == [report.other_lengths]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_report_shows_each_example_once(inference, make_dataset, count):
    dataset = make_dataset([5] * count)
    (scored,) = inference.windows(dataset, "train")
    keys = [example.key for example in _pick_examples(inference, dataset, "train", scored)]
    assert len(keys) == len(set(keys)) == min(count, 3)


def test_report_shows_a_key_that_is_not_utf_8(inference, make_dataset):
    dataset = make_dataset([5])
    (scored,) = inference.windows(dataset, "train")
    scored = scored | {"key": np.array([b"k\xff"], object)}
    (example,) = _pick_examples(inference, dataset, "train", scored)
    assert example.key == r"k\xff"


def test_count_epoch_counts_what_comes(make_dataset, make_model):
    lengths = [3] * 5 + [7] * 2 + [9]
    dataset = make_dataset(lengths)
    lengths_of = dataset.split("train").lengths
    plan = plan_batches(lengths_of, batch_size=2, group_size=2, replicas=2)
    count = count_epoch(dataset, plan, make_model(), Shuffle(0))
    assert count.timesteps == sum(lengths)
    assert count.padded_timesteps == 0
    assert count.batches == plan.steps_per_epoch == 4
    assert count.seen_once == len(lengths)


def test_report_shows_examples_that_are_not_of_training(report):
    assert report.example_split == "validation"
    assert [e.error for e in report.examples] == sorted(e.error for e in report.examples)
    for example in report.examples:
        assert example.original.shape == example.reconstruction.shape


def test_report_text_says_what_was_counted(report):
    text = str(report)
    assert "nothing padded  0 padded among" in text
    assert "0 rejected" in text
    assert "feature 0" in text or "feature 1" in text


def test_report_shows_all_splits_and_sums_up_the_one_of_the_examples(report):
    lines = str(report).splitlines()
    for split in ("train", "validation"):
        assert any(line.startswith(f"{split} ") for line in lines)
    assert str(report).endswith(str(report.summaries["validation"]))


def test_report_says_in_one_line_how_far_scores_go_with_the_length(report):
    (line,) = (line for line in str(report).splitlines() if "rank correlation" in line)
    bias = report.length_bias
    assert line == (
        f"score and length on validation: rank correlation {bias.score:.2f}; "
        f"p-value and length: {bias.p_value:.2f} (compared with this split itself)"
    )


def test_measure_length_bias_compares_ranks():
    calibration = Calibration("validation", np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]))
    scored = {"length": np.array([1, 2, 3]), "score": np.array([0.5, 2.5, 9.0])}
    bias = measure_length_bias(calibration, scored, "test")
    assert (bias.score, bias.p_value, bias.is_calibration) == pytest.approx((1, -1, False))


def test_measure_length_bias_answers_equal_lengths():
    calibration = Calibration("validation", np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]))
    scored = {"length": np.array([2, 2]), "score": np.array([0.5, 2.5])}
    text = str(measure_length_bias(calibration, scored, "test"))
    assert text == "score and length on test: all sequences have one length"


@pytest.mark.parametrize("extension", ["png", "svg"])
def test_draw_report_writes_a_picture(report, tmp_path, extension):
    path = tmp_path / f"report.{extension}"
    draw_report(report, path)
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[extension]
    assert path.read_bytes().startswith(start)


@pytest.fixture
def draw_losses(monkeypatch):
    """Draws a report and reads its loss curves: (the unit, label -> values)."""

    def draw(report):
        drawn = []
        monkeypatch.setattr(picture, "save_figure", lambda figure, path: drawn.append(figure))
        draw_report(report, "unused.png")
        axes = drawn[0].axes[1]
        return axes.get_ylabel(), {line.get_label(): line.get_ydata() for line in axes.lines}

    return draw


def test_losses_on_the_own_scale_are_not_drawn_beside_baselines_in_another_unit(
    report, draw_losses
):
    unit, lines = draw_losses(report)
    assert report.own_scale
    assert unit == "squared error / variance of the sequence"
    assert list(lines) == ["training", "validation", "variance of the sequence"]
    assert list(lines["validation"]) == report.history["val_loss"]
    assert list(lines["variance of the sequence"]) == [1, 1]


def test_losses_on_one_scale_are_drawn_beside_the_baselines(finished_on_one_scale, draw_losses):
    report = report_run(finished_on_one_scale[0])
    unit, lines = draw_losses(report)
    losses = report.summaries["validation"].losses
    assert unit == "squared error / training variance"
    assert list(lines["validation"]) == report.history["val_loss"]
    assert losses.model == pytest.approx(min(report.history["val_loss"]), rel=1e-5)
    assert list(lines["mean of each feature"]) == [losses.feature_mean] * 2
    assert list(lines["the sequence's own mean"]) == [losses.own_mean] * 2


def test_every_bar_of_the_lengths_is_wide_enough_to_be_seen(report, monkeypatch):
    """Of 537 sequences of 4 to 20,000 timesteps, a bar of 225 was 0.02 pixels wide."""
    drawn = []
    monkeypatch.setattr(picture, "save_figure", lambda figure, path: drawn.append(figure))
    lengths = {4: 225, 5: 200, 8_000: 100, 20_000: 12}
    draw_report(dataclasses.replace(report, plan=plan_batches(lengths)), "unused.png")
    axes = drawn[0].axes[0]
    bars = [bar for bar in axes.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in bars) == 537
    low, high = axes.get_xlim()
    assert min(bar.get_width() for bar in bars) > (high - low) / 100
    assert axes.get_xlabel() == "length (timesteps, 500 per bar)"


def test_draw_report_takes_a_key_that_looks_like_a_formula(report, tmp_path):
    examples = [dataclasses.replace(report.examples[0], key="$\\frac{1}$" * 9)]
    draw_report(dataclasses.replace(report, examples=examples), tmp_path / "report.png")
    assert (tmp_path / "report.png").exists()


def test_draw_report_takes_names_that_a_legend_would_not(report, tmp_path):
    names = ("$\\frac{1}$ ünï 音", "_hidden")
    dataset = dataclasses.replace(report.dataset, feature_names=names)
    draw_report(dataclasses.replace(report, dataset=dataset), tmp_path / "report.svg")
    assert "_hidden" in (tmp_path / "report.svg").read_text()
