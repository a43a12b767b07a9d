"""The jobs tell what they do by the loggers of `padless`; to print is for the command line."""

import ast
import logging
import pathlib

from padless import beam_jobs
from padless.beam_jobs import preprocess

SOURCES = sorted(pathlib.Path(beam_jobs.__file__).parent.rglob("*.py"))


def test_nothing_prints_and_nothing_warns():
    calls = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "warnings.warn")
    ]
    assert len(SOURCES) > 30
    assert calls == []


def test_a_job_is_silent_and_logged(make_options, write_csv, capfd, caplog, recwarn):
    path = write_csv("x.csv", [("a", 1, 1, 1), ("b", 1, "?", 1)])
    with caplog.at_level(logging.DEBUG, "padless"):
        preprocess(make_options(path))
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []
    assert {record.name for record in caplog.records} == {"padless.beam_jobs.engine.running"}
    assert "a job on 32 bytes with FnApiRunner" in caplog.text
