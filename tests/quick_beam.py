"""Lets Beam remember what it derives again and again: half of the time of a small job.

For each job Beam inspects the same methods of the same classes some 9,000 times, looks 270 times
for state in classes that have none, builds some 350 parsers of the same options, and lists a dozen
times the globals of all modules, thousands with TensorFlow. What comes of that does not depend on
the job.
"""

import argparse
import copy
import sys
import types

import objsize.traverse
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core, userstate


def remember():
    """Replaces the functions of Beam, and of what it measures objects by, for this process."""
    core.get_function_args_defaults = _remembering(core.get_function_args_defaults)
    userstate.get_dofn_specs = _remembering_stateless(userstate.get_dofn_specs)
    PipelineOptions.view_as = _view_as
    objsize.traverse._iter_modules_globals = _remembering_globals(
        objsize.traverse._iter_modules_globals
    )


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


def _remembering_stateless(find):
    stateless = set()

    def get_dofn_specs(dofn):
        wrapped = getattr(dofn, "_inspect_process", None)  # of `Map` and the like: a function's
        defaults = wrapped()[1] if wrapped else ()
        is_plain = not any(isinstance(value, core._DoFnParam) for value in defaults)
        if is_plain and type(dofn) in stateless:
            return set(), set()
        specs = find(dofn)
        if is_plain and not any(specs):
            stateless.add(type(dofn))
        return specs

    return get_dofn_specs


def _remembering_globals(iterate):
    known = (0, [])

    def iter_modules_globals():
        nonlocal known  # replaced as one, for the threads of Beam
        if known[0] != (count := len(sys.modules)):
            known = (count, list(iterate()))
        return known[1]

    return iter_modules_globals


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
