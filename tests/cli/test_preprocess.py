"""The options of `padless preprocess` as its command line has them."""

import pytest

from padless.beam_jobs.options import FORMS, MISSING, TIME_ORDERS, TOO_LONG
from padless.beam_jobs.readers import inputs


@pytest.mark.parametrize(
    ("option", "choices"),
    [
        ("--format", FORMS),
        ("--missing", MISSING),
        ("--time-order", TIME_ORDERS),
        ("--too-long", TOO_LONG),
    ],
)
def test_choices_are_those_of_the_options(call, option, choices):
    text = " ".join(call("preprocess", "--help").out.split())
    assert f"{option} {{{','.join(choices)}}} " in text


def test_forms_are_those_that_are_read():
    assert tuple(inputs.FORMS) == FORMS
