"""The table and the picture of what bounds on the padding give."""

import pytest

from padless.pipeline.planning.budget import Budget
from padless.pipeline.planning.make_plan import plan_frontier
from padless.pipeline.planning.padding_bounds import (
    PICTURE_BOUNDS,
    TABLE_BOUNDS,
    draw_frontier,
    list_frontier,
)

LENGTHS = {7: 60, 8: 3, 9: 61, 20: 5}


def rows(plans):
    return [line.split() for line in list_frontier(plans).split("\n")[1:]]


def test_list_frontier_shows_each_bound():
    plans = plan_frontier(LENGTHS, [0.0, 0.01], budget=Budget(64))
    assert [plan.padded_timesteps for plan in plans] == [0, 3]
    first, second = rows(plans)
    assert first[:7] == ["0", "%", "0.00", "%", "4", "3", "44"]
    assert second[:7] == ["1", "%", "0.27", "%", "3", "3", "36"]
    assert float(second[7]) < float(first[7])
    assert second[8:] == ["33", "%", "67", "%"]


def test_list_frontier_ends_where_more_padding_saves_nothing():
    plans = plan_frontier(LENGTHS, TABLE_BOUNDS, budget=Budget(64))
    shown = rows(plans)
    assert 1 < len(shown) < len(plans)
    last = plans[len(shown) - 1]
    assert plans[len(shown) - 2].padded_timesteps < last.padded_timesteps
    assert {plan.padded_timesteps for plan in plans[len(shown) :]} == {last.padded_timesteps}


def test_list_frontier_of_one_length_is_one_line():
    assert len(rows(plan_frontier({5: 9}, TABLE_BOUNDS))) == 1


@pytest.mark.parametrize("lengths", [LENGTHS, {5: 9}])
@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_draw_frontier_writes_the_format_of_the_extension(tmp_path, lengths, name, head):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    draw_frontier(plan_frontier(lengths, PICTURE_BOUNDS), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(head)


def test_draw_frontier_rejects_an_unknown_format(tmp_path):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        draw_frontier(plan_frontier(LENGTHS, PICTURE_BOUNDS), tmp_path / "a.xyz")
