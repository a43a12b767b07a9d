"""A job in IPython, in which Beam would import its interactive runner."""

import sys

import pytest
from apache_beam import pipeline

from padless.beam_jobs import preprocess

pytest.importorskip("IPython")


@pytest.fixture
def in_ipython():
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    InteractiveShell.clear_instance()


def test_a_job_is_what_it_is_elsewhere(make_options, write_csv, in_ipython):
    assert pipeline.is_in_ipython()
    path = write_csv("x.csv", [("a", 1, 1, 1), ("b", 1, 2, 1)])
    assert preprocess(make_options(path)).accepted == 2
    assert "apache_beam.runners.interactive" not in sys.modules
    assert pipeline.is_in_ipython()  # again to everybody else
