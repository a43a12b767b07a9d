"""Beam jobs: raw sequences to a dataset directory."""

from padless.beam_jobs import _beam  # noqa: F401, first of all: it imports Beam quietly
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.preprocess_job import preprocess
from padless.beam_jobs.raw_input import RAW_SPLIT, open_raw
from padless.beam_jobs.report import PreprocessReport

__all__ = ["RAW_SPLIT", "PreprocessOptions", "PreprocessReport", "open_raw", "preprocess"]
