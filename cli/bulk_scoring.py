"""`padless score --output-directory`: the scores of any amount of data, by workers of Beam."""

from __future__ import annotations

import argparse
import logging
import time

from padless.cli.beam_arguments import parse_beam_arguments
from padless.cli.inference import check_usage, raw_options
from padless.cli.json_output import print_json
from padless.cli.messages import show
from padless.pipeline.wording import plural

_LOGGER = logging.getLogger(__name__)


def score_in_bulk(args: argparse.Namespace) -> None:
    """Runs the job and prints a line."""
    if args.merge:
        args.parser.error(
            "--merge goes with --output: the pieces of a sequence may be in several files of "
            f"--output-directory, got {args.output_directory}"
        )
    is_raw = check_usage(args, args.output_directory, "--output-directory")
    from padless.beam_jobs import RawFiles, write_parts
    from padless.beam_jobs.engine.quiet import beam_quieted
    from padless.beam_jobs.shard_job import SEQUENCES, check_output_directory
    from padless.cli.progress import progress_shown
    from padless.model import ShardScorer, open_run

    started = time.monotonic()
    beam_options = parse_beam_arguments(args.beam_arguments, args.parser)
    check_output_directory(args.output_directory)
    run = open_run(args.run_directory)
    scorer = ShardScorer.of(
        run, name_splits=not is_raw, level=args.level, timesteps=bool(args.timesteps)
    )
    source = RawFiles(args.inputs, **raw_options(args, run)) if is_raw else args.inputs[0]
    with beam_quieted(for_good=True), progress_shown(quiet=args.quiet) as progress:
        report = write_parts(
            scorer,
            source,
            args.output_directory,
            splits=args.split,
            beam_options=beam_options,
            progress=progress,
        )
    if report.raw is not None and (report.raw.rejected or report.raw.mended):
        _LOGGER.info(report.raw)
    count, seconds = report.counts[SEQUENCES], time.monotonic() - started
    if args.json:
        found = {"output": args.output_directory, "files": report.num_parts}
        print_json(found | {"sequences": count, "seconds": seconds})
        return
    show(
        f"{plural(count, 'sequence')} in {seconds:.1f} s: {args.output_directory} "
        f"({plural(report.num_parts, 'file')})"
    )
