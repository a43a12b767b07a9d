"""What the page says, section by section: sentences, tables and charts of a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from padless.model.explanation.detection import measure_detection
from padless.model.explanation.projection import project
from padless.model.html_report.charts import (
    Chart,
    draw_detection,
    draw_lengths,
    draw_losses,
    draw_ranges,
    draw_timesteps,
)
from padless.model.html_report.map_chart import draw_map
from padless.model.html_report.sequence_charts import draw_sequence
from padless.model.html_report.words import PART_NAMES, explain_in_words
from padless.model.reporting.details import LabelledScores, ReportDetails
from padless.model.reporting.length_bins import bin_lengths
from padless.model.reporting.report import RunReport
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.planning.describe import count_timesteps, name_ways
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import plural

_MOST_COLUMNS = 200
Content = dict[str, Any]


def summarize_page(report: RunReport) -> Content:
    """Returns what the summary says."""
    summary = report.summaries[report.example_split]
    losses = summary.losses
    warnings = [text for part in report.summaries.values() for text in part.warnings()]
    return {
        "lead": _lead(report),
        "splits": {
            name: {"sequences": split.num_sequences, "summary": report.summaries[name]}
            for name, split in report.dataset.splits.items()
        },
        "losses": losses,
        "explained": summary.explained,
        "warnings": warnings + ([report.other_lengths] if report.other_lengths else []),
        "options": _changed_options(report),
        "bias": str(report.length_bias),
    }


def _lead(report: RunReport) -> str:
    """Says in one or two sentences how good the model is."""
    epochs = len(next(iter(report.history.values())))
    losses = report.summaries[report.example_split].losses
    trained = f"on other data than these, in {plural(epochs, 'epoch')}"
    if report.is_trained_on and report.plan is not None:
        count = plural(report.plan.num_sequences, "sequence")
        trained = f"on {count} in {plural(epochs, 'epoch')}"
    beside = [
        f"{_compare(losses.model, baseline)} of {name}"
        for name, baseline in (
            ("the mean of each feature", losses.feature_mean),
            ("each sequence's own mean", losses.own_mean),
        )
        if baseline > 0
    ]
    compared = f": {' and '.join(beside)}" if beside else ""
    return (
        f"The model was trained {trained}. On {report.example_split} its squared error is "
        f"{losses.model:.4g} of the training variance{compared}."
    )


def _compare(error: float, baseline: float) -> str:
    if error <= baseline:
        return f"{1 - error / baseline:.0%} below that"
    return f"{error / baseline - 1:.0%} above that"


def _changed_options(report: RunReport) -> list[tuple[str, str, str]]:
    """Lists options that differ from the defaults, or were chosen: name, value, default."""
    found = []
    for group in (report.config.architecture, report.config.training):
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            if value != field.default:
                default = "chosen by training" if field.default is None else str(field.default)
                found.append((field.name, str(value), default))
    return found


def describe_data(report: RunReport) -> Content:
    """Returns lengths, rejects and columns of the data."""
    splits = {name: split.lengths for name, split in report.dataset.splits.items()}
    every = report.lengths
    drawn = {name: bin_lengths(lengths, like=every) for name, lengths in splits.items()}
    columns = _list_columns(report)
    return {
        "num_sequences": sum(every.values()),
        "shortest": min(every),
        "longest": max(every),
        "num_lengths": len(every),
        "chart": draw_lengths(drawn),
        "rejects": sorted(report.rejects.items(), key=lambda item: -item[1]),
        "columns": columns[:_MOST_COLUMNS],
        "is_trained_on": report.is_trained_on,
        "of_training": report.dataset.moments is not None,
        "columns_left": max(0, len(columns) - _MOST_COLUMNS),
    }


def _list_columns(report: RunReport) -> list[Content]:
    """Lists mean, deviation, range and missing share of each feature.

    They are those of the training split, or where there is none of all splits.
    """
    dataset = report.dataset
    if (moments := dataset.moments) is None:
        if not dataset.split_moments:
            return []
        moments = merge_moments(dataset.split_moments.values())
    return [_describe_column(report, moments, i) for i in range(len(moments.mean))]


def _describe_column(report: RunReport, moments: Moments, feature: int) -> Content:
    offsets = report.dataset.offsets
    offset = offsets[feature] if offsets else 0.0
    column = {
        "name": report.dataset.feature_name(feature),
        "mean": float(moments.mean[feature]) + offset,
        "deviation": float(moments.variance[feature]) ** 0.5,
        "minimum": float(moments.minimum[feature]) + offset,
        "maximum": float(moments.maximum[feature]) + offset,
        "missing": 1 - float(moments.counts[feature]) / moments.timesteps,
    }
    if report.is_trained_on:
        return column
    return column | {
        "trained_mean": float(report.trained.mean[feature]) + offset,
        "trained_deviation": float(report.trained.variance[feature]) ** 0.5,
    }


def describe_plan(report: RunReport) -> Content | None:
    """Returns the steps of an epoch, and what padding would compute instead; None without one."""
    if (plan := report.plan) is None:
        return None
    ways, names = count_timesteps(plan), name_ways(plan)
    ratios = [computed / plan.num_timesteps for computed, _ in ways.values()]
    return {
        "plan": plan,
        "epoch": report.epoch,
        "mean_sequences": plan.num_sequences / plan.steps_per_epoch,
        "worst": ratios[-1],
        "chart": draw_timesteps([names[way] for way in ways], ratios),
    }


def describe_training(report: RunReport) -> Content:
    """Returns the curves of the losses, beside the baselines that are in the same unit."""
    history = report.history
    monitor = "val_loss" if "val_loss" in history else "loss"
    best = int(np.argmin(history[monitor]))
    summary = report.summaries[report.example_split]
    if report.own_scale:
        unit = "squared error / variance of the sequence"
        levels = {"the sequence's own mean": 1.0}
    else:
        unit = "squared error / training variance"
        # The baselines are those of the data of the report, and the losses need not be.
        levels = {
            "mean of each feature": summary.losses.feature_mean,
            "the sequence's own mean": summary.losses.own_mean,
        }
        if not report.is_trained_on:
            levels = {}
    return {
        "chart": draw_losses(history, levels, unit),
        "ranges": draw_ranges(summary),
        "own_scale": report.own_scale,
        "is_trained_on": report.is_trained_on,
        "epochs": len(history[monitor]),
        "best_epoch": best + 1,
        "best_loss": history[monitor][best],
        "monitor": "validation" if monitor == "val_loss" else "training",
        "split": report.example_split,
        "weighting": summary.weighting,
    }


def show_reconstructions(report: RunReport, details: ReportDetails) -> Content:
    """Returns typical sequences and those of the highest errors."""
    groups = {"typical": details.typical, "worst": details.worst}
    return {
        group: [
            {
                "sequence": sequence,
                "chart": draw_sequence(
                    f"{group}-{i}", sequence, sequence.worst_features(), report.dataset
                ),
            }
            for i, sequence in enumerate(sequences)
        ]
        for group, sequences in groups.items()
    } | {"split": report.example_split}


def show_map(details: ReportDetails) -> Content:
    """Returns the map of the embeddings."""
    projection = project(details.points["embedding"])
    chart = draw_map(details, projection)
    return {
        "chart": chart,
        "choices": list(chart.figures),
        "num_points": len(projection.rows),
        "explained": sum(projection.explained),
        "size": details.points["embedding"].shape[1],
    }


def show_anomalies(report: RunReport, details: ReportDetails) -> Content:
    """Returns the most anomalous sequences, each with its chart and why it is one."""
    cards = [
        {
            "sequence": explanation.sequence,
            "parts": _list_parts(explanation.sequence.analysis.parts.shares()),
            "words": explain_in_words(explanation, report.dataset),
            "chart": draw_sequence(
                f"anomaly-{i}",
                explanation.sequence,
                explanation.features,
                report.dataset,
                usual=details.usual,
                spans=explanation.spans,
                replaced=explanation.replacement,
            ),
        }
        for i, explanation in enumerate(details.anomalies)
    ]
    return {
        "cards": cards,
        "usual": details.usual,
        "is_usual_of_run": details.is_usual_of_run,
        "is_trained_on": report.is_trained_on,
        "parts": PART_NAMES,
    }


def _list_parts(shares: Mapping[str, float]) -> list[Content]:
    return [
        {"name": PART_NAMES[part], "part": part, "share": share}
        for part, share in shares.items()
        if share == share
    ]


def check_normal(details: ReportDetails, normal: Sequence[str] | None) -> None:
    """Checks that the labels that are called normal are labels of the dataset.

    Raises:
        ValueError: if one is not; names it.
    """
    for label in normal or ():
        if label not in details.labels:
            raise ValueError(
                f"`normal` must be one of the labels of the dataset, got {label!r}."
                f"{did_you_mean(label, details.labels)}"
            )


def show_detection(
    report: RunReport, details: ReportDetails, normal: Sequence[str] | None
) -> Content:
    """Returns how well scores tell labels apart, or why that is not known."""
    labelled = details.labelled
    if not details.labels:
        return {"missing": "The dataset has no labels, so nothing is known to be an anomaly."}
    if labelled is None:
        return {"missing": "All sequences are of the training split: none is left to judge by."}
    chosen = report.train_labels if normal is None else tuple(normal)
    if chosen is None:
        why = ", as the run was not trained on some labels alone" if report.is_trained_on else ""
        return {
            "missing": f"Which labels are normal is not known{why}. Name each of them by the "
            "option --normal LABEL."
        }
    return _measure(labelled, chosen)


def _measure(labelled: LabelledScores, normal: Sequence[str]) -> Content:
    numbers = [i for i, label in enumerate(labelled.labels) if label in normal]
    known = ~np.isnan(labelled.score)
    is_abnormal = ~np.isin(labelled.label[known], numbers)
    counts = int((~is_abnormal).sum()), int(is_abnormal.sum())
    if not all(counts):
        return {
            "missing": f"Of the sequences that were not trained on, {counts[0]:,} are normal and "
            f"{counts[1]:,} are not: there must be some of both."
        }
    anomaly = {"score": labelled.score[known], "p-value": -labelled.p_value[known]}
    curves = {name: measure_detection(is_abnormal, values) for name, values in anomaly.items()}
    return {
        "normal": list(normal),
        "splits": labelled.splits,
        "num_normal": counts[0],
        "num_abnormal": counts[1],
        "curves": curves,
        "charts": draw_detection(curves, counts[1] / sum(counts)),
    }


def list_charts(content: Any) -> list[Chart]:
    """Lists the charts of nested content."""
    if isinstance(content, Chart):
        return [content]
    if isinstance(content, Mapping):
        content = content.values()
    elif not isinstance(content, list | tuple):
        return []
    return [chart for part in content for chart in list_charts(part)]
