"""Beam jobs: raw sequences to a dataset directory."""

from padless.beam_jobs.engine import _beam  # noqa: F401, first of all: it imports Beam quietly
from padless.beam_jobs.options import Columns, Output, PreprocessOptions, Rules
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.preprocess_job import preprocess
from padless.beam_jobs.raw_input import RAW_SPLIT, RawInput, open_raw
from padless.beam_jobs.write_dataset import WriteDataset

__all__ = [
    "RAW_SPLIT",
    "Columns",
    "Output",
    "PreprocessOptions",
    "PreprocessReport",
    "RawInput",
    "Rules",
    "WriteDataset",
    "open_raw",
    "preprocess",
]
