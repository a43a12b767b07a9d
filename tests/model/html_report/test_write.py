"""The page as a file: what it holds, how large it is, what is rejected before the work begins."""

import dataclasses
import importlib.util
import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest

from padless.model import report_run, write_html
from padless.model.html_report import sections
from padless.model.html_report.check import check_html
from padless.model.html_report.safe_text import as_chart_text, as_embedded_json, shorten
from padless.model.reporting.details import MAX_POINTS, MAX_ROWS

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def text(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_html(report, path)
    return path.read_text()


def embedded(text, name):
    (found,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text)
    return json.loads(found)


def as_figure(figure):
    """Lets plotly check a figure; colours by name, which only the page knows, are left out."""
    encoded = re.sub(r'"@[\w-]+"', '"#000"', json.dumps(figure))
    return go.Figure(json.loads(encoded))


def test_plotly_takes_every_chart(text):
    charts = embedded(text, "charts")
    assert {"lengths", "timesteps", "losses", "ranges", "map", "anomaly-0"} <= charts.keys()
    for figures in charts.values():
        for figure in figures.values():
            assert len(as_figure(figure).data) == len(figure["data"]) > 0


def test_every_colour_is_one_of_the_style_sheet(text):
    defined = set(re.findall(r"^\s+--([\w-]+):", text, re.MULTILINE))
    charts = re.search(r'id="charts">(.*?)</script>', text)[1]
    used = set(re.findall(r'"@([\w-]+)"', charts))
    assert {"text", "muted", "series-1", "band"} <= used <= defined


def test_plotly_is_embedded_once_and_nothing_is_loaded(text):
    assert text.count("plotly.js v") == 1
    assert not re.search(r"<(script|img|link|iframe)[^>]*\s(src|href)=(?!\"data:)", text)
    assert 'content="default-src &#39;none&#39;; ' in text


def test_columns_hold_every_row(report, text):
    columns = {column["name"]: column for column in embedded(text, "columns")}
    rows = sum(split.num_sequences for split in report.dataset.splits.values())
    assert {len(column["values"]) for column in columns.values()} == {rows}
    assert list(columns) == ["key", "split", "label", "length", "score", "p-value", "error", "R²"]
    assert columns["split"]["choices"] == list(report.dataset.splits)


def test_the_page_says_what_the_report_says(report, text):
    for summary in report.summaries.values():
        assert f"{summary.losses.model:.4g}" in text
        for warning in summary.warnings():
            assert warning.replace("'", "&#39;") in text
    assert f"{report.plan.steps_per_epoch:,} step" in text
    assert text.count('<article class="card">') == 12 + 3 + 3


def test_detection_asks_for_the_normal_labels(report, text):
    assert "Name each of them by the option --normal LABEL" in text
    limited = dataclasses.replace(report, train_labels=(report.details.labels[0],))
    found = sections.show_detection(limited, limited.details, None)
    assert found["normal"] == [report.details.labels[0]]
    labelled = report.details.labelled
    assert found["num_normal"] + found["num_abnormal"] == len(labelled.score) == 54
    assert found["num_abnormal"] == (labelled.label != 0).sum()


def test_detection_leaves_out_what_it_cannot_know(report):
    details = dataclasses.replace(report.details, labels=[], labelled=None)
    assert "no labels" in sections.show_detection(report, details, None)["missing"]
    details = dataclasses.replace(report.details, labelled=None)
    assert "training split" in sections.show_detection(report, details, None)["missing"]
    every = report.details.labels
    assert "some of both" in sections.show_detection(report, report.details, every)["missing"]


def test_a_label_that_is_not_there_is_rejected(report, tmp_path):
    with pytest.raises(ValueError, match="`normal` must be one of the labels of the dataset"):
        write_html(report, tmp_path / "report.html", normal=["usual"])
    assert list(tmp_path.iterdir()) == []


def test_a_report_without_details_is_rejected(report, tmp_path):
    bare = dataclasses.replace(report, details=None)
    with pytest.raises(ValueError, match="must have details"):
        write_html(bare, tmp_path / "report.html")


@pytest.mark.parametrize("name", ["report.pdf", "report", "report.html.gz"])
def test_another_suffix_is_rejected(tmp_path, name):
    with pytest.raises(ValueError, match=r"`html` must end with \.html, got "):
        check_html(tmp_path / name)


def test_a_place_that_cannot_be_written_is_rejected(report, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_html(tmp_path / "none" / "report.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(IsADirectoryError, match="must be a file"):
        check_html(tmp_path / "folder.html")
    with pytest.raises(ValueError, match="`html` must not be inside a training run"):
        check_html(f"{report.run}/report.html")


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    missing = {"plotly", "sklearn"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    message = r"needs plotly and scikit-learn: install it with `pip install 'padless\[html\]'`"
    with pytest.raises(ImportError, match=message):
        check_html(tmp_path / "report.html")


def test_a_page_that_fails_leaves_the_old_one(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = dataclasses.replace(report, history={})
    with pytest.raises(StopIteration):
        write_html(broken, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_progress_counts_the_sections(report, tmp_path):
    seen = []
    write_html(report, tmp_path / "report.html", progress=seen.append)
    assert (seen[0].done, seen[-1].done, seen[-1].total) == (0, 8, 8)


def test_details_come_of_the_same_pass_over_the_data(report):
    seen = []
    again = report_run(report.run, details=True, progress=seen.append)
    assert str(again) == str(report)
    works = {progress.work: progress for progress in seen}
    assert [name for name in works if name.startswith("errors")] == [
        f"errors of {split}" for split in report.dataset.splits
    ]
    assert works["explanations"].is_over


def enlarge(rows, count):
    """Repeats rows, under other keys."""
    numbers = np.arange(count) % len(rows["score"])
    found = {name: column[numbers] for name, column in rows.items()}
    keys = [f"recording-{i:05}-{'k' * 20}".encode() for i in range(count)]
    rng = np.random.default_rng(0)
    return found | {"key": np.array(keys, object), "score": rng.gamma(2.0, size=count)}


def test_ten_thousand_sequences_stay_below_ten_megabytes(report, tmp_path):
    details = dataclasses.replace(
        report.details,
        num_sequences=50_000,
        rows=enlarge(report.details.rows, MAX_ROWS),
        points=enlarge(report.details.points, MAX_POINTS),
    )
    path = tmp_path / "report.html"
    write_html(dataclasses.replace(report, details=details), path)
    assert path.stat().st_size < 10 * MEBIBYTE
    text = path.read_text()
    assert "10,000 of 50,000 sequences, a random sample and the most anomalous" in text
    assert "2,000 of 50,000 sequences: a random sample, and the most anomalous" in text


def test_embedded_json_can_end_no_element():
    content = {"key": "</script><!--<script>\u2028&amp;", "p": [np.float32(0.5), float("nan")]}
    encoded = as_embedded_json(content)
    assert not set("<>&\u2028") & set(encoded)
    assert json.loads(encoded) == {"key": content["key"], "p": [0.5, None]}


def test_chart_text_has_no_markup_and_no_control_characters():
    assert as_chart_text("<b>&amp;\n\u202e") == "&lt;b&gt;&amp;amp;\\n\\u202e"
    assert len(shorten("k" * 10_000)) == 60
    assert shorten("short") == "short"


def parse_palettes(style):
    """Returns the colours of both schemes by name, as triples from 0 to 1."""
    light, dark = style.split("prefers-color-scheme: dark")
    palettes = []
    for part in (light, dark.split("\n}\n")[0]):
        found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
        palettes.append({**(palettes[0] if palettes else {}), **found})
    return palettes


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_have_the_contrast_that_wcag_asks_for(text):
    palettes = parse_palettes(re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1])
    assert palettes[0]["page"] != palettes[1]["page"]
    for colours in palettes:
        for name in ("text", "muted", "link"):
            assert contrast(colours[name], colours["page"]) >= 4.5, name
            assert contrast(colours[name], colours["surface"]) >= 4.5, name
        assert contrast(colours["text"], colours["warning"]) >= 4.5
        for name in ("shape", "level", "error", "unexplained"):
            assert contrast(colours["part-text"], colours[f"part-{name}"]) >= 4.5, name
        for name in colours:
            if re.match(r"series|bar|p-|focus|accent", name):
                assert contrast(colours[name], colours["surface"]) >= 3, name
