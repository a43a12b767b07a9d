"""What passes between workers comes out as it went in."""

import datetime
import decimal
import pickle

import numpy as np
import pytest

from padless.beam_jobs.fragments import Instant, Reject, RejectedPart, Rows, Source, Whole, shorten

PLACE = Source(1, "x.csv").place(7)
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "part",
    [
        Rows(PLACE, VALUES, b"up", np.array([7, 8]), [1, 2.5], b"train"),
        Rows(PLACE, VALUES[:, ::2], None, np.array([7, 8]), np.array([1, 2])),
        Whole(PLACE, VALUES, None),
        Whole(PLACE, VALUES, b"up", np.array([0.5, 2.0]), b"test"),
    ],
)
def test_parts_survive_pickling(part):
    copy = pickle.loads(pickle.dumps(part))
    assert type(copy) is type(part)
    for name in part.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(copy, name), getattr(part, name))
    assert copy.values.dtype == np.float32


def test_values_that_were_not_rounded_are_not_pickled():
    with pytest.raises(ValueError, match="must be rounded to float32 first, got float64"):
        pickle.dumps(Whole(PLACE, VALUES.astype(np.float64), None))


@pytest.mark.parametrize(
    "part",
    [RejectedPart(PLACE, "bad_time", "rule.", True), Reject(PLACE, None, "bad_time", "rule.")],
)
def test_rejections_survive_pickling(part):
    assert pickle.loads(pickle.dumps(part)) == part


@pytest.mark.parametrize(
    "time", [Instant(datetime.datetime(2024, 1, 1), 1), decimal.Decimal("1700000000.000000001")]
)
def test_times_survive_pickling(time):
    copy = pickle.loads(pickle.dumps(time))
    assert (copy, type(copy)) == (time, type(time))


def test_shorten_cuts_long_values():
    assert shorten("a") == "'a'"
    assert shorten("a" * 100) == f"'{'a' * 79}... (102 characters)"
