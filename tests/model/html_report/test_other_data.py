"""Pages of data that lack something: labels, a held-out split, values, features, length."""

import dataclasses
import json
import re

import numpy as np
import pytest

from padless.model import report_run, write_html
from padless.model.html_report import sections
from padless.model.html_report.sequence_charts import MOST_TIMESTEPS, thin
from padless.model.html_report.words import explain_in_words


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
    details = dataclasses.replace(report.details, anomalies=anomalies)
    text = write(dataclasses.replace(report, details=details))
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
