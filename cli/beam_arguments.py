"""Options that padless does not know and passes to Apache Beam."""

from __future__ import annotations

from typing import TYPE_CHECKING

from padless.cli.messages import fold
from padless.cli.parser import Parser

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


def add_beam_group(parser: Parser, what: str) -> None:
    """Adds to the help that options are passed to Beam.

    Args:
        parser: of the subcommand.
        what: which options are.
    """
    parser.add_argument_group(
        "options of Apache Beam", fold(f"{what}, for example --runner=FlinkRunner.", 78)
    )


def parse_beam_arguments(arguments: list[str], parser: Parser) -> PipelineOptions:
    """Returns Beam's `PipelineOptions`; an option that Beam does not know either is bad usage.

    Where a job server may know it, the job asks that.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    from padless.beam_jobs.engine.server_options import asks_job_server, discarded_arguments

    with discarded_arguments() as discarded:
        options = PipelineOptions(arguments)
        options.get_all_options()
    if discarded and not asks_job_server(options):
        parser.error(f"unrecognized arguments, by padless and by Beam: {' '.join(discarded)}")
    return options
