"""What of Beam's own output reaches the user, while a job runs and afterwards."""

import contextlib
import logging
import threading

import grpc
import pytest

from padless.beam_jobs import preprocess
from padless.beam_jobs.engine import quiet
from padless.beam_jobs.engine.quiet import beam_quieted
from padless.beam_jobs.engine.thread_errors import ThreadErrors
from padless.beam_jobs.engine.worker_deaths import worker_deaths_raised


@pytest.fixture(autouse=True)
def _hook_kept(monkeypatch):
    _end_what_is_kept()
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.delenv("PADLESS_TRACEBACK", raising=False)
    yield
    _end_what_is_kept()


def _end_what_is_kept():
    """Ends what a command has kept for as long as its process."""
    while quiet._kept:
        quiet._kept.pop().close()


@pytest.fixture
def run_thread(failing_thread):
    """Runs a thread that raises, to its end."""

    def run(*args):
        thread = failing_thread(*args)
        thread.start()
        thread.join()

    return run


def test_prism_is_heard_from_warnings_on(monkeypatch):
    # Not `caplog`, which listens also to loggers that tell the root logger nothing.
    root, heard = logging.Handler(), []
    root.emit = lambda record: heard.append(record.getMessage())
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])
    monkeypatch.setattr(logging.getLogger("PrismJobServer"), "level", logging.INFO)
    with beam_quieted():
        logging.getLogger("PrismJobServer").info("pipeline is running")
        logging.getLogger("PrismJobServer").error("worker died")
    assert heard == ["worker died"]


def test_a_server_that_does_not_start_is_heard(caplog):
    logger = logging.getLogger("apache_beam.utils.subprocess_server")
    with beam_quieted():
        logger.warning("Really starting service at %s", "localhost:1")
        logger.warning("Error bringing up service")
    assert caplog.messages == ["Error bringing up service"]


def test_a_server_that_takes_seconds_to_start_is_waited_for_in_silence(caplog):
    with beam_quieted():
        # As `SubprocessServer` does.
        logging.log(logging.WARNING, "Waiting for grpc channel to be ready at %s.", "localhost:1")
        logging.log(logging.WARNING, "Something else")
    assert caplog.messages == ["Something else"]


def test_a_thread_reports_all_but_a_lost_connection(capsys):
    with beam_quieted():
        for error in (grpc.RpcError("gone"), ValueError("wrong")):
            threading.excepthook(
                threading.ExceptHookArgs((type(error), error, None, threading.current_thread()))
            )
    err = capsys.readouterr().err
    assert "wrong" in err
    assert "gone" not in err


@pytest.mark.parametrize("package", ["apache_beam", "grpc"])
def test_a_thread_of_beam_that_dies_with_the_job_is_silent(capsys, caplog, package, run_thread):
    with caplog.at_level(logging.DEBUG, "padless"), beam_quieted():
        run_thread(ValueError("Cannot invoke RPC: Channel closed!"), package)
    assert capsys.readouterr().err == ""
    (record,) = caplog.records
    assert "Channel closed!" in str(record.exc_info[1])


def test_a_thread_of_the_users_is_heard_at_once(capsys, run_thread):
    with beam_quieted():
        run_thread(ValueError("wrong"), "apache_beam_of_mine")
        assert "ValueError: wrong" in capsys.readouterr().err


def test_a_thread_of_beam_is_heard_where_the_job_goes_on(capsys, run_thread):
    hook = ThreadErrors(held_seconds=0)
    with hook.installed(), hook.job_running():
        run_thread(ValueError("wrong"))
        for timer in hook._timers:
            timer.join()
    assert "ValueError: wrong" in capsys.readouterr().err


def test_all_is_left_as_it_was(make_options, write_csv, capsys, run_thread):
    loggers = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    before = [(list(logger.filters), list(logger.handlers)) for logger in loggers]
    preprocess(make_options(write_csv("x.csv", [("a", 1, 1, 1)])))
    assert threading.excepthook is threading.__excepthook__
    assert [(logger.filters, logger.handlers) for logger in loggers] == before
    run_thread(ValueError("wrong"))
    assert "ValueError: wrong" in capsys.readouterr().err


def test_jobs_that_overlap_leave_all_as_it_was():
    prism = logging.getLogger("PrismJobServer")
    one, other = contextlib.ExitStack(), contextlib.ExitStack()
    for job in (one, other):
        job.enter_context(beam_quieted())
        job.enter_context(worker_deaths_raised())
    one.close()  # before the one that has started later
    assert threading.excepthook is not threading.__excepthook__
    assert not prism.propagate
    other.close()
    assert threading.excepthook is threading.__excepthook__
    assert prism.propagate
    assert prism.handlers == []


def test_the_rest_of_the_jobs_that_overlap_is_quiet(capsys, run_thread):
    one, other = contextlib.ExitStack(), contextlib.ExitStack()
    one.enter_context(beam_quieted())
    other.enter_context(beam_quieted())
    one.close()
    run_thread(grpc.RpcError("gone"))
    other.close()
    assert capsys.readouterr().err == ""


def test_a_hook_that_was_set_meanwhile_stays(monkeypatch):
    with beam_quieted():
        mine = threading.excepthook = lambda args: None
    assert threading.excepthook is mine


def test_a_command_is_quiet_until_its_process_ends(capsys, run_thread):
    with pytest.raises(KeyboardInterrupt), beam_quieted(for_good=True):
        raise KeyboardInterrupt
    with beam_quieted():
        pass
    run_thread(ValueError("Cannot invoke RPC: Channel closed!"))
    assert capsys.readouterr().err == ""
    run_thread(ValueError("wrong"), "mine")
    assert "ValueError: wrong" in capsys.readouterr().err


def test_a_traceback_that_is_asked_for_is_shown(monkeypatch, capsys, run_thread):
    monkeypatch.setenv("PADLESS_TRACEBACK", "1")
    with beam_quieted():
        run_thread(grpc.RpcError("gone"))
    assert "RpcError: gone" in capsys.readouterr().err
