"""Beam jobs: raw sequences to a dataset directory, and work on each of its shards.

Names are imported when first used, so that the options can be read without Beam, which takes
seconds to import.
"""

import functools
import importlib
from typing import TYPE_CHECKING

from padless.pipeline.lazy_names import lazy_names

if TYPE_CHECKING:
    from padless.beam_jobs.columns import Columns
    from padless.beam_jobs.options import Output, PreprocessOptions, Rules
    from padless.beam_jobs.output.report import PreprocessReport
    from padless.beam_jobs.preprocess_job import preprocess
    from padless.beam_jobs.raw_input import RAW_SPLIT, RawFiles, RawInput, open_raw
    from padless.beam_jobs.shard_job import PartsReport, write_parts
    from padless.beam_jobs.text_format import TextFormat
    from padless.beam_jobs.write_dataset import WriteDataset

# The same, as they are at run time.
_WITHOUT_BEAM = {
    "Columns": "padless.beam_jobs.columns",
    "Output": "padless.beam_jobs.options",
    "PreprocessOptions": "padless.beam_jobs.options",
    "Rules": "padless.beam_jobs.options",
    "TextFormat": "padless.beam_jobs.text_format",
}
_WITH_BEAM = {
    "PartsReport": "padless.beam_jobs.shard_job",
    "PreprocessReport": "padless.beam_jobs.output.report",
    "RAW_SPLIT": "padless.beam_jobs.raw_input",
    "RawFiles": "padless.beam_jobs.raw_input",
    "RawInput": "padless.beam_jobs.raw_input",
    "WriteDataset": "padless.beam_jobs.write_dataset",
    "open_raw": "padless.beam_jobs.raw_input",
    "preprocess": "padless.beam_jobs.preprocess_job",
    "write_parts": "padless.beam_jobs.shard_job",
}

__all__ = [
    "RAW_SPLIT",
    "Columns",
    "Output",
    "PartsReport",
    "PreprocessOptions",
    "PreprocessReport",
    "RawFiles",
    "RawInput",
    "Rules",
    "TextFormat",
    "WriteDataset",
    "open_raw",
    "preprocess",
    "write_parts",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(
        __name__,
        light=_WITHOUT_BEAM,
        heavy=_WITH_BEAM,
        # It imports Beam quietly.
        start=functools.partial(importlib.import_module, "padless.beam_jobs.engine._beam"),
    )
