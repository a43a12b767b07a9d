"""Names and counts in sentences."""

import pytest

from padless.pipeline.wording import list_names, sort_naturally


@pytest.mark.parametrize(
    ("names", "written"),
    [
        ([], "none"),
        (["a"], "'a'"),
        (("a", "b"), "'a' and 'b'"),
        ({"a": 1, "b": 2, "it's": 3}, "'a', 'b' and \"it's\""),
        (["k" * 99], f"'{'k' * 57}...'"),
        (range(12), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11"),
        (range(1013), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1,001 more"),
    ],
)
def test_names_are_listed_as_in_a_sentence(names, written):
    assert list_names(names) == written


@pytest.mark.parametrize(
    "names",
    [
        ["-10", "2", "10"],
        ["1e3", "2000", "nan"],
        ["day 9", "day 10", "day 10b", "day 11"],
        ["07", "7", "a7", "a07b"],
        ["1.2.3", "1.10.0", "b", "inf"],
    ],
)
def test_numbers_are_sorted_as_numbers(names):
    assert sort_naturally(reversed(names)) == names
