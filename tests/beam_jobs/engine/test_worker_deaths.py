"""A job ends with one of its worker processes, whatever the process does with Ctrl-C."""

import signal
import threading

import pytest

from padless.beam_jobs.engine.quiet import beam_quieted
from padless.beam_jobs.engine.worker_deaths import worker_deaths_raised


@pytest.fixture
def handle_interrupts():
    """Sets a handler of SIGINT for one test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def wait_after_start(thread):
    thread.start()
    threading.Event().wait(30)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN, signal.SIG_DFL])
def test_a_dead_worker_ends_the_job_whatever_becomes_of_interrupts(
    handler, failing_thread, handle_interrupts
):
    handle_interrupts(handler)
    hook, error = threading.excepthook, RuntimeError("Worker subprocess exited with code 137")
    with (
        pytest.raises(RuntimeError, match="A worker process died: Worker subprocess exited"),
        beam_quieted(),
        worker_deaths_raised(),
    ):
        wait_after_start(failing_thread(error, name="run_worker"))
    assert signal.getsignal(signal.SIGINT) is handler
    assert threading.excepthook is hook


def test_interrupts_that_are_ignored_stay_so(handle_interrupts):
    handle_interrupts(signal.SIG_IGN)
    with worker_deaths_raised():
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_a_program_handles_ends_no_job(handle_interrupts):
    handled = []
    handle_interrupts(lambda number, frame: handled.append(number))
    with worker_deaths_raised():
        signal.raise_signal(signal.SIGINT)
    assert handled == [signal.SIGINT]


def interrupt_while_it_ends(worker):
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        worker.start()
        worker.join()


def test_a_worker_that_dies_of_an_interrupt_is_not_the_reason(failing_thread):
    worker = failing_thread(RuntimeError("Worker subprocess exited"), name="run_worker")
    with pytest.raises(KeyboardInterrupt), beam_quieted(), worker_deaths_raised():
        interrupt_while_it_ends(worker)
