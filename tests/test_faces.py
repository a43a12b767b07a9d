"""The faces of the folders: their public names, listed for people, type checkers and run time."""

import ast
import inspect

import pytest

from padless import beam_jobs, model, pipeline

LAZY = {
    pipeline: pipeline._WITH_TENSORFLOW,
    model: model._WITHOUT_TENSORFLOW | model._WITH_TENSORFLOW,
    beam_jobs: beam_jobs._WITHOUT_BEAM | beam_jobs._WITH_BEAM,
}


def names_for_type_checkers(face):
    """Returns name -> module, as the block `if TYPE_CHECKING` imports them."""
    blocks = [node for node in ast.parse(inspect.getsource(face)).body if isinstance(node, ast.If)]
    (block,) = (block for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING")
    return {alias.name: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("face", LAZY, ids=lambda face: face.__name__)
def test_type_checkers_see_the_names_where_they_are_at_run_time(face):
    assert LAZY[face] == names_for_type_checkers(face)
    imported = {name for name in face.__all__ if name not in LAZY[face]}
    assert sorted([*LAZY[face], *imported]) == sorted(face.__all__)
    assert imported <= {*vars(face)}


@pytest.mark.parametrize("face", LAZY, ids=lambda face: face.__name__)
def test_every_name_is_listed(face):
    assert {*face.__all__} <= {*dir(face)}
