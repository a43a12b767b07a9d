"""Writes the report of a run as one HTML file, which opens without a network.

1. `sections` turns the report into sentences, tables and charts.
2. `page.html` lays them out; `style.css` and `page.js` are put into it, and plotly, whole and once.
3. A policy in the page forbids the browser to load anything and to run any other script.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import importlib.resources
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from etils import epath

import padless
from padless.model.html_report import sections
from padless.model.html_report.check import check_html
from padless.model.html_report.safe_text import as_embedded_json, shorten
from padless.model.html_report.table import list_columns
from padless.model.reporting.details import ReportDetails
from padless.model.reporting.report import RunReport
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress
from padless.pipeline.written_whole import written_whole

if TYPE_CHECKING:
    from jinja2 import Environment


def write_html(
    report: RunReport,
    path: epath.PathLike,
    *,
    normal: Sequence[str] | None = None,
    progress: ShowProgress = ignore_progress,
) -> None:
    """Writes a report as one HTML file, whole or not at all.

    Args:
        report: what `report_run` returned, asked for `details`.
        path: the file; one that exists is replaced.
        normal: the labels that are normal, for ROC and precision-recall curves; those that the run
            was trained on if None, where it was trained on some labels alone.
        progress: called with how many sections are made.

    Raises:
        FileNotFoundError, ImportError, IsADirectoryError: as `check_html`.
        ValueError: as `check_html`; if the report has no details, or a label is unknown.

    Example:
        >>> write_html(report_run("run", details=True), "report.html")  # doctest: +SKIP
    """
    check_html(path)
    if report.details is None:
        raise ValueError("`report` must have details: call `report_run(run, details=True)`.")
    sections.check_normal(report.details, normal)
    page = _render(report, report.details, normal, progress)
    with written_whole(pathlib.Path(path), shared=True) as beside:
        beside.write_bytes(page.encode(errors="backslashreplace"))


def _render(
    report: RunReport,
    details: ReportDetails,
    normal: Sequence[str] | None,
    progress: ShowProgress,
) -> str:
    content = _make_sections(report, details, normal, progress)
    charts = sections.list_charts(content)
    scripts = {"plotly": _plotly_script(), "page": _read("page.js")}
    template = _environment().get_template("page.html")
    return template.render(
        **content,
        run=shorten(pathlib.PurePath(report.run).name or report.run),
        report=report,
        details=details,
        num_rows=len(details.rows["score"]),
        date=datetime.datetime.now().astimezone(),
        version=padless.__version__,
        charts=as_embedded_json({chart.name: chart.figures for chart in charts}),
        columns=as_embedded_json(list_columns(details)),
        scripts=scripts,
        style=_read("style.css"),
        policy=_policy(scripts.values()),
    )


def _make_sections(
    report: RunReport,
    details: ReportDetails,
    normal: Sequence[str] | None,
    progress: ShowProgress,
) -> dict[str, dict[str, Any] | None]:
    makers: dict[str, Callable[[], dict[str, Any] | None]] = {
        "summary": lambda: sections.summarize_page(report),
        "data": lambda: sections.describe_data(report),
        "plan": lambda: sections.describe_plan(report),
        "training": lambda: sections.describe_training(report),
        "reconstructions": lambda: sections.show_reconstructions(report, details),
        "map": lambda: sections.show_map(details),
        "anomalies": lambda: sections.show_anomalies(report, details),
        "detection": lambda: sections.show_detection(report, details, normal),
    }
    start = Progress("html report", 0, len(makers), "sections")
    return {name: makers[name]() for name in counted(makers, progress, start)}


def _environment() -> Environment:
    """Returns what fills the template: everything is escaped, and every name must be known."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["number"] = lambda value: f"{value:.4g}"
    environment.filters["short"] = shorten
    environment.filters["percent"] = lambda value: f"{value:.0%}"
    return environment


def _read(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _plotly_script() -> str:
    """Returns plotly's script; what could end its element or begin a comment is not in it."""
    from plotly.offline import get_plotlyjs

    script = str(get_plotlyjs()).replace("</script", r"<\/script").replace("<!--", r"<\!--")
    # The policy names the digest of what a browser reads, which has one kind of line end.
    return script.replace("\r\n", "\n").replace("\r", "\n")


def _policy(scripts: Iterable[str]) -> str:
    """Returns a policy: these scripts alone, styles and pictures of the page itself, no network."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
