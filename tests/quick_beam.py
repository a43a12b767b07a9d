"""Lets Beam remember what it derives again and again: half of the time of a small job.

For each job Beam inspects the same methods of the same classes some 9,000 times, and builds some
350 parsers of the same options. What comes of that does not depend on the job.
"""

import argparse
import copy
import types

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core


def remember():
    """Replaces the two functions of Beam that do so, for this process."""
    core.get_function_args_defaults = _remembering(core.get_function_args_defaults)
    PipelineOptions.view_as = _view_as


def _remembering(inspect):
    known = {}

    def get_function_args_defaults(function):
        is_bound = isinstance(function, types.MethodType)
        key = (function.__func__ if is_bound else function, is_bound)
        if key not in known:
            known[key] = inspect(function)
        names, defaults = known[key]
        return list(names), list(defaults)

    return get_function_args_defaults


_parsed = {}


def _view_as(options, cls):
    """Does what `PipelineOptions.view_as` does, without parsing the same flags again."""
    key = (cls, tuple(options._flags or ()))
    if options._flags is None:  # those of this process
        view = cls(None)
    elif key in _parsed:
        values = {name: copy.copy(value) for name, value in _parsed[key].items()}
        visible = argparse.Namespace(**values)
        vars(view := cls.__new__(cls)).update(_flags=options._flags, _visible_options=visible)
    else:
        view = cls(options._flags)
        _parsed[key] = copy.deepcopy(vars(view._visible_options))
    shared = options._all_options
    for name in view._visible_option_list():
        shared.setdefault(name, getattr(view._visible_options, name))
    vars(view)["_all_options"] = shared
    return view
