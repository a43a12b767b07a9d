"""What a run says of itself at its end."""

import pytest

from padless.model.training.training_report import _last_fall


@pytest.mark.parametrize(
    ("losses", "fall"),
    [
        ([1.0, 0.9, 0.8, 0.8, 0.4], 0.5),
        ([1.0, 0.5, 0.9, 0.9, 0.6], 0.0),  # lower than the one before, not than the lowest
        ([1.0, 0.9, 0.8, 0.4, 0.8], 0.0),
        ([1.0, 0.9, 0.8, 0.4], 0.0),
        ([0.0] * 5, 0.0),
    ],
)
def test_a_loss_still_falls_where_its_lowest_does(losses, fall):
    assert _last_fall(losses) == pytest.approx(fall)
