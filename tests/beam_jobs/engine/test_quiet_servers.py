"""What of Beam's job servers reaches the user."""

import logging
import threading

import grpc
import pytest

from padless.beam_jobs.engine.quiet_servers import quiet_job_servers


@pytest.fixture(autouse=True)
def _quieted(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.delenv("PADLESS_TRACEBACK", raising=False)
    quiet_job_servers()


def test_prism_is_heard_from_warnings_on(monkeypatch):
    # Not `caplog`, which listens also to loggers that tell the root logger nothing.
    root, heard = logging.Handler(), []
    root.emit = lambda record: heard.append(record.getMessage())
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])
    monkeypatch.setattr(logging.getLogger("PrismJobServer"), "level", logging.INFO)
    logging.getLogger("PrismJobServer").info("pipeline is running")
    logging.getLogger("PrismJobServer").error("worker died")
    assert heard == ["worker died"]


def test_a_server_that_does_not_start_is_heard(caplog):
    logger = logging.getLogger("apache_beam.utils.subprocess_server")
    logger.warning("Really starting service at %s", "localhost:1")
    logger.warning("Error bringing up service")
    assert caplog.messages == ["Error bringing up service"]


def test_a_thread_reports_all_but_a_lost_connection(capsys):
    for error in (grpc.RpcError("gone"), ValueError("wrong")):
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, None, threading.current_thread()))
        )
    err = capsys.readouterr().err
    assert "wrong" in err
    assert "gone" not in err
