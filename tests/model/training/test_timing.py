"""Where the time went, in one sentence."""

import types

import pytest

from padless.model.training import timing
from padless.model.training.timing import Times


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        ({"computing": 3.0, "waiting": 1.0}, "bound by computing"),
        ({"computing": 1.0, "waiting": 3.0}, "bound by reading: the model waited for batches"),
        ({"computing": 1.0, "validating": 3.0}, "bound by validation"),
        ({"computing": 1.0, "checkpointing": 3.0}, "bound by writing checkpoints"),
        ({"computing": 1.0, "starting": 3.0}, "bound by its start"),
    ],
)
def test_times_say_what_bounds_a_run(seconds, bound):
    (largest, _) = sorted(seconds, key=seconds.get, reverse=True)
    text = str(Times(**seconds))
    assert bound in text
    assert f"{largest} 75%" in text


def test_times_of_nothing_have_no_shares():
    assert str(Times()) == "time: none was spent"


def test_measure_adds_up_what_blocks_take(monkeypatch):
    times, others = Times(waiting=1.0), Times(waiting=2.0)
    clock = iter([5.0, 5.25, 7.0, 7.5])
    monkeypatch.setattr(timing, "time", types.SimpleNamespace(monotonic=clock.__next__))
    for _ in range(2):
        with times.measure("computing"):
            pass
    times.add(others)
    assert times.computing == 0.75
    assert times.waiting == 3
    assert times.total == pytest.approx(times.computing + 3)
