"""The last step of a job: what all others have done is checked, and the metadata are written."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence

from apache_beam.io.filesystems import FileSystems

import padless
from padless.beam_jobs.assembly.rounding import Spreads, find_lost_digits
from padless.beam_jobs.files import create_bytes, open_bytes
from padless.beam_jobs.output.layout import Layout, order_splits
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.output.staging import free_reserve
from padless.beam_jobs.output.writer import RejectSummary
from padless.beam_jobs.stages.job import Job
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.metadata import ShardSummary
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.dataset.provenance import Made

_OUTCOME_FILE = "outcome.json"
# What trying again cannot mend.
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: with a report, or with the reason why there is no dataset.

    Attributes:
        report: what was done.
        failure: the reason, or None.
    """

    report: PreprocessReport | None = None
    failure: str | None = None

    def result(self) -> PreprocessReport:
        """Returns the report.

        Raises:
            ValueError: if the job has failed.
        """
        if self.report is None:
            raise ValueError(self.failure)
        return self.report


def finish(
    job: Job,
    *,
    shards: Iterable[ShardSummary],
    rejects: Iterable[RejectSummary],
    failures: Iterable[str],
    tally: Mapping[str, int],
    spreads: Spreads,
    layout: Layout,
) -> Outcome:
    """Checks what the job has done, and writes the metadata if all is well."""
    if messages := sorted(set(failures)):
        return Outcome(failure="\n".join(messages))
    (rejected,) = rejects
    shards = sorted(shards, key=lambda shard: (shard.split, shard.shard))
    names = job.feature_names
    report = PreprocessReport.of(
        shards, rejected, tally=tally, splits=_possible_splits(job, layout)
    ).with_features(layout.num_features, names)
    offsets = job.offsets if report.accepted else None
    if offsets is not None and len(offsets) != layout.num_features:
        return Outcome(failure=_other_features(len(offsets), layout.num_features))
    if (spread := spreads.get(layout.num_features)) is not None:
        lost = find_lost_digits(spread, job.offsets)
        report = dataclasses.replace(report, lost_digits=lost)
    if (unmet := job.assembler().split_draw.explain_unmet(tally)) is not None:
        return Outcome(failure=unmet)
    if (broken := _broken_limit(report, job)) is not None:
        return Outcome(failure=f"{broken}\n{report}")
    try:
        job.writer.write_metadata(
            shards,
            layout,
            contract=RecordContract(
                layout.num_features,
                has_label=job.columns.label is not None,
                masks_missing=job.rules.missing == "mask",
                meta_columns=job.columns.meta_columns,
                static_columns=job.columns.static_columns,
            ),
            feature_names=report.features,
            offsets=job.offsets,
            made=_describe_job(job, report),
            rejects=rejected.written,
        )
    except OSError as error:
        if (failure := explain_hopeless(error)) is None:
            raise
        return Outcome(failure=failure)
    return Outcome(report)


def explain_hopeless(error: OSError, what: str = "dataset") -> str | None:
    """Returns why the dataset, or whatever it is, cannot be written; None if it may be later."""
    if error.errno not in _HOPELESS:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}the {what} cannot be written: {os.strerror(error.errno)}."


def write_outcome(outcome: Outcome, temporary: str) -> None:
    """Writes the outcome where the launching process finds it, on a full disk too."""
    content = {"failure": outcome.failure, "report": outcome.report and outcome.report.to_json()}
    free_reserve(temporary)
    with create_bytes(FileSystems.join(temporary, _OUTCOME_FILE)) as file:
        file.write(json.dumps(content).encode())


def read_outcome(temporary: str) -> Outcome:
    """Reads what `write_outcome` wrote."""
    with open_bytes(FileSystems.join(temporary, _OUTCOME_FILE)) as file:
        content = json.loads(file.read())
    report = content["report"] and PreprocessReport.from_json(content["report"])
    return Outcome(report, content["failure"])


def _possible_splits(job: Job, layout: Layout) -> Sequence[str]:
    """Lists the splits that sequences could be in: those that are drawn, or that were found."""
    if job.drawn_splits:
        return job.drawn_splits
    held_out = [name for name, _ in job.output.held_out]
    taken_from = [TRAINING_SPLIT] if held_out else []
    return order_splits({*layout.num_shards, *taken_from, *held_out}, job.output)


def _other_features(num_offsets: int, num_features: int) -> str:
    return (
        f"`center` must be about the features of most sequences, which have {num_features}, "
        f"got offsets of {num_offsets}, as many as the first sequence has."
    )


def _broken_limit(report: PreprocessReport, job: Job) -> str | None:
    limit = job.rules.max_rejects
    allowed = limit * max(report.read, 1) if isinstance(limit, float) else limit
    if allowed is not None and report.num_rejected > allowed:
        shown = f"{limit:.3%} of what was read" if isinstance(limit, float) else limit
        return f"`max_rejects` allows {shown}, got {report.num_rejected} of {report.read}."
    return None if report.accepted else "No sequence was accepted."


def _describe_job(job: Job, report: PreprocessReport) -> Made:
    output = job.output
    return Made(
        padless=padless.__version__,
        seed=output.seed,
        splits=None if job.splits_are_given else output.shares,
        hold_out=output.held_out,
        hold_out_by=job.columns.group,
        order=output.order,
        rules=dataclasses.asdict(job.rules),
        report=report.counts,
    )
