"""Pages of data that lack something: labels, a split, values, features, length, what is usual."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from padless.model import report_run, write_html
from padless.model.html_report import sections
from padless.model.html_report.sequence_charts import MOST_TIMESTEPS, thin
from padless.model.html_report.words import explain_in_words
from padless.model.reporting import details
from padless.model.run_directory.config import CONFIG_FILE


@pytest.fixture
def write(tmp_path):
    """Writes the page of a report and returns its text, without plotly's."""

    def write_page(report):
        path = tmp_path / "report.html"
        write_html(report, path)
        return re.sub(r"<script>.*?</script>", "", path.read_text(), flags=re.DOTALL)

    return write_page


def test_a_run_without_labels_and_without_validation_has_a_page(without_validation, write):
    report = report_run(without_validation[0], details=True)
    text = write(report)
    assert "The dataset has no labels" in text
    assert "Usual are" in text
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', text)[1])
    assert list(charts["map"]) == ["p-value"]
    assert report.details.num_sequences == len(report.details.rows["score"]) == 10
    assert len(report.details.anomalies) == 10


def test_baselines_are_drawn_where_they_are_in_the_unit_of_the_losses(report):
    assert report.own_scale
    on_one = dataclasses.replace(report, own_scale=False)
    (figure,) = sections.describe_training(on_one)["chart"].figures.values()
    lines = {line["name"]: line["y"] for line in figure["data"]}
    losses = report.summaries["validation"].losses
    assert lines["mean of each feature"] == [losses.feature_mean] * 2
    assert lines["the sequence's own mean"] == [losses.own_mean] * 2
    (figure,) = sections.describe_training(report)["chart"].figures.values()
    names = [line["name"] for line in figure["data"]]
    assert names == ["training", "validation", "the sequence's own mean"]
    assert figure["data"][-1]["y"] == [1.0, 1.0]


def test_options_that_differ_from_the_defaults_are_listed(report):
    options = {name: (value, default) for name, value, default in sections._changed_options(report)}
    assert options["units"] == ("4", "64")
    assert options["schedule"] == ("constant", "one_cycle")
    assert options["patch_length"][1] == "chosen by training"
    assert "cell" not in options


def test_values_that_are_missing_are_gaps(report, write):
    first = report.details.anomalies[0]
    analysis = first.sequence.analysis
    original, error = analysis.original.copy(), analysis.timestep_error.copy()
    original[1, 0] = error[1, 0] = np.nan
    changed = dataclasses.replace(analysis, original=original, timestep_error=error)
    sequence = dataclasses.replace(first.sequence, analysis=changed)
    anomalies = [dataclasses.replace(first, sequence=sequence)]
    changed = dataclasses.replace(report.details, anomalies=anomalies)
    text = write(dataclasses.replace(report, details=changed))
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', text)[1])
    values = [trace["y"] for trace in charts["anomaly-0"][""]["data"]]
    assert any(value is None for line in values for value in line)
    assert "NaN" not in text


def test_offsets_bring_values_back_to_the_units_of_the_input(report):
    moved = dataclasses.replace(report.dataset, offsets=(500.0, 0.0))
    before = sections.describe_data(report)["columns"]
    after = sections.describe_data(dataclasses.replace(report, dataset=moved))["columns"]
    for name in ("mean", "minimum", "maximum"):
        assert after[0][name] == pytest.approx(before[0][name] + 500)
        assert after[1][name] == before[1][name]
    assert after[0]["deviation"] == before[0]["deviation"]


def test_many_features_are_listed_in_part(report):
    names = tuple(f"sensor {i}" for i in range(2))
    moments = report.dataset.moments
    many = {name: np.tile(getattr(moments, name), 150) for name in ("counts", "mean", "m2")}
    many |= {name: np.tile(getattr(moments, name), 150) for name in ("minimum", "maximum")}
    dataset = dataclasses.replace(
        report.dataset,
        moments=dataclasses.replace(moments, **many),
        feature_names=names * 150,
    )
    data = sections.describe_data(dataclasses.replace(report, dataset=dataset))
    assert (len(data["columns"]), data["columns_left"]) == (200, 100)


def test_long_sequences_are_drawn_by_their_extremes():
    values = np.random.default_rng(0).normal(size=(20_000, 3))
    values[[777, 1234], [0, 2]] = 50, -50
    rows = thin(values)
    assert len(rows) <= MOST_TIMESTEPS + 2
    assert {0, 777, 1234, 19_999} <= set(rows.tolist())
    assert (np.diff(rows) > 0).all()
    assert thin(values[:1000]).tolist() == list(range(1000))


def test_words_name_the_parts_the_feature_and_the_timesteps(report):
    for explanation in report.details.anomalies:
        words = explain_in_words(explanation, report.dataset)
        assert 2 <= len(words) <= 5
        assert "% of the score" in words[0]
        if (part := explanation.replacement) is not None:
            (told,) = (sentence for sentence in words if "as in a usual sequence" in sentence)
            assert report.dataset.feature_name(part.feature) in told
            assert f"{part.score:.3g}, not" in told
        spans = [span for found in explanation.spans.values() for span in found]
        assert any("(shaded)" in sentence for sentence in words) == bool(spans)


def test_words_of_a_score_that_is_not_finite_say_so(report):
    explanation = report.details.anomalies[0]
    analysis = explanation.sequence.analysis
    parts = dataclasses.replace(analysis.parts, shape=float("inf"))
    sequence = dataclasses.replace(
        explanation.sequence, analysis=dataclasses.replace(analysis, parts=parts)
    )
    words = explain_in_words(dataclasses.replace(explanation, sequence=sequence), report.dataset)
    assert words == ["Its score is not a finite number: look at its values."]


@pytest.mark.parametrize(
    ("part", "surprise", "words"),
    [
        ("error", 3.0, "worse than is usual"),
        ("error", -3.0, "better than is usual"),
        ("unexplained", 3.0, "More of its variance"),
        ("unexplained", -3.0, "Less of its variance"),
    ],
)
def test_words_say_in_which_direction_an_error_is_unusual(report, part, surprise, words):
    explanation = report.details.anomalies[0]
    analysis = explanation.sequence.analysis
    values = dict.fromkeys(("shape", "level", "error", "unexplained"), 0.0)
    values |= {part: 2.0, f"{part}_surprise": surprise}
    parts = dataclasses.replace(analysis.parts, **values)
    sequence = dataclasses.replace(
        explanation.sequence, analysis=dataclasses.replace(analysis, parts=parts)
    )
    told = explain_in_words(dataclasses.replace(explanation, sequence=sequence), report.dataset)
    assert words in told[0]


def draw_new(length, rng, *, spiked=False):
    wave = np.sin(np.arange(length)[:, None] / 2 + rng.uniform(0, 1, 2)) * [1, 10]
    wave[length // 2] += spiked * np.array([4, 40])
    return (wave + rng.normal(0, 0.1, wave.shape) * [1, 10]).astype(np.float32)


@pytest.fixture(scope="module")
def new_data(store_sequences, names):
    """The folder of 20 new sequences without a training split, the last four with a spike."""
    rng = np.random.default_rng(5)
    sequences = [draw_new(6 + i % 7, rng, spiked=i >= 16) for i in range(20)]
    labels = ["usual"] * 16 + ["spiked"] * 4
    dataset = store_sequences({"may": sequences}, labels=labels, feature_names=list(names.features))
    return dataset.split("may").files[0].parent


@pytest.fixture(scope="module")
def of_new_data(report, new_data):
    return report_run(report.run, new_data, details=True)


@pytest.fixture(scope="module")
def lost_run(report, tmp_path_factory):
    """A run whose data are elsewhere."""
    run = shutil.copytree(report.run, tmp_path_factory.mktemp("lost") / "run")
    config = json.loads((run / CONFIG_FILE).read_text())
    (run / CONFIG_FILE).write_text(json.dumps(config | {"dataset": str(run / "elsewhere")}))
    return run


@pytest.fixture(scope="module")
def of_lost_data(lost_run, new_data):
    return report_run(lost_run, new_data, details=True)


def test_new_data_are_compared_with_usual_sequences_of_the_run(of_new_data, report, write):
    usual = of_new_data.details.usual
    assert (usual.split, of_new_data.details.is_usual_of_run) == ("validation", True)
    # The validation split is that of the report of the run, whose usual sequences are the same.
    known = {sequence.tobytes() for sequence in report.details.usual.sequences}
    assert {sequence.tobytes() for sequence in usual.sequences} == known
    text = write(of_new_data)
    told = f"Usual are {usual.num_sequences} sequences of <bdi>validation</bdi> in the data that"
    assert f"{told} the model was trained on." in text
    assert any(explanation.replacement for explanation in of_new_data.details.anomalies)


def test_a_page_of_new_data_has_no_plan(of_new_data, write):
    text = write(of_new_data)
    assert "#plan" not in text
    assert 'id="plan"' not in text
    assert "The model was trained on other data than these, in 3 epochs. On may its" in text
    assert "The losses are those of the data that the model was trained on." in text
    assert '<section id="training"' in text


def test_columns_of_new_data_are_beside_those_of_the_run(of_new_data, report, write):
    found = (sections.describe_data(one)["columns"] for one in (of_new_data, report))
    for new, trained in zip(*found, strict=True):
        assert new["trained_mean"] == pytest.approx(trained["mean"])
        assert new["trained_deviation"] == pytest.approx(trained["deviation"])
        assert new["mean"] != pytest.approx(trained["mean"])
    told = "of all sequences, in the units of the input, beside the mean and the deviation of"
    assert told in write(of_new_data)


def test_a_page_counts_the_small_p_values_of_all_sequences(of_new_data, write):
    count = int((of_new_data.details.rows["p_value"] <= 0.05).sum())
    assert of_new_data.details.num_small == count
    told = f"Of all 20, {count} {'has' if count == 1 else 'have'} a p-value of at most 0.05"
    assert f"{told} ({count / 20:.0%}); of usual ones 5% have." in write(of_new_data)


def test_labels_of_new_data_are_told_apart(of_new_data):
    found = sections.show_detection(of_new_data, of_new_data.details, ["usual"])
    assert (found["num_normal"], found["num_abnormal"], found["splits"]) == (16, 4, ["may"])
    unknown = sections.show_detection(of_new_data, of_new_data.details, None)
    assert "Which labels are normal is not known. Name" in unknown["missing"]


def test_usual_sequences_are_new_ones_where_those_of_the_run_are_lost(of_lost_data, write):
    found = of_lost_data.details
    assert not found.is_usual_of_run
    usual = (found.rows["p_value"] > 0.1).sum()
    assert found.usual.num_sequences == usual > 1
    text = write(of_lost_data)
    assert f"Usual are {usual} sequences of this dataset itself, with p-values above 0.1" in text


def test_a_page_without_usual_sequences_says_so(lost_run, new_data, write, monkeypatch):
    monkeypatch.setattr(details, "USUAL_P_VALUE", 1.0)  # as if all were anomalous
    report = report_run(lost_run, new_data, details=True)
    assert report.details.usual is None
    assert [len(explanation.features) for explanation in report.details.anomalies] == [2] * 12
    text = write(report)
    assert "No usual sequences are known to compare with" in text
    assert "Usual are" not in text
    assert "as a whole" not in text
    assert "timesteps at fault</li>" not in text
    assert "Each card shows the features with the largest error" in text


def test_other_lengths_are_among_the_warnings_of_a_page(of_new_data, write):
    said = "1 of 20 sequences are much longer <than> all others"
    text = write(dataclasses.replace(of_new_data, other_lengths=said))
    assert "<li>1 of 20 sequences are much longer &lt;than&gt; all others</li>" in text
