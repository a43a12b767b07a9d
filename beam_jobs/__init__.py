"""Beam jobs: raw sequences to a dataset directory.

Names are imported when first used, so that the options can be read without Beam, which takes
seconds to import.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padless.beam_jobs.options import Columns, Output, PreprocessOptions, Rules
    from padless.beam_jobs.output.report import PreprocessReport
    from padless.beam_jobs.preprocess_job import preprocess
    from padless.beam_jobs.raw_input import RAW_SPLIT, RawInput, open_raw
    from padless.beam_jobs.write_dataset import WriteDataset

# The same, as they are at run time.
_WITHOUT_BEAM = {
    "Columns": "padless.beam_jobs.options",
    "Output": "padless.beam_jobs.options",
    "PreprocessOptions": "padless.beam_jobs.options",
    "Rules": "padless.beam_jobs.options",
}
_WITH_BEAM = {
    "PreprocessReport": "padless.beam_jobs.output.report",
    "RAW_SPLIT": "padless.beam_jobs.raw_input",
    "RawInput": "padless.beam_jobs.raw_input",
    "WriteDataset": "padless.beam_jobs.write_dataset",
    "open_raw": "padless.beam_jobs.raw_input",
    "preprocess": "padless.beam_jobs.preprocess_job",
}

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


def __getattr__(name: str) -> object:
    if name in _WITH_BEAM:
        # First of all: it imports Beam quietly.
        importlib.import_module("padless.beam_jobs.engine._beam")
        home = _WITH_BEAM[name]
    elif name in _WITHOUT_BEAM:
        home = _WITHOUT_BEAM[name]
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
