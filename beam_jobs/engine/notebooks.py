"""Makes a job in a notebook the one that it is elsewhere.

In IPython, Beam names transforms after the cell, leaves its temporary files to its interactive
runner, and imports that with all its needs: with pandas 3, `apache_beam.dataframe` then breaks off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from apache_beam import pipeline

from padless.beam_jobs.engine.shared_hooks import SharedContext


@contextlib.contextmanager
def notebook_hidden() -> Iterator[None]:
    """Hides from Beam's pipelines that IPython runs, while jobs of padless are built and run."""
    with _HIDDEN.entered():
        yield


@contextlib.contextmanager
def _hidden() -> Iterator[None]:
    before = {name: getattr(pipeline, name) for name in _ANSWERS if hasattr(pipeline, name)}
    for name in before:
        setattr(pipeline, name, _ANSWERS[name])
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(pipeline, name, function)


_ANSWERS = {
    "is_in_ipython": lambda: False,
    "alter_label_if_ipython": lambda transform, pvalueish: None,
}
_HIDDEN = SharedContext(_hidden)
