"""The names of `padless.pipeline`, those that need TensorFlow imported when first used."""

import ast
import inspect
import subprocess
import sys

import pytest

from padless import pipeline


def test_type_checkers_see_the_names_where_they_are_at_run_time():
    tree = ast.parse(inspect.getsource(pipeline))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    homes = {alias.name: node.module for node in block.body for alias in node.names}
    assert homes == pipeline._NEED_TENSORFLOW


@pytest.mark.parametrize("name", pipeline.__all__)
def test_every_name_is_there(name):
    assert getattr(pipeline, name) is not None
    assert vars(pipeline)[name] is getattr(pipeline, name)  # kept after the first use


def test_every_name_is_listed_before_its_first_use():
    code = (
        "import sys; from padless import pipeline;"
        "print({*pipeline.__all__} - {*dir(pipeline)}, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("set() False\n", "")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'padless\.pipeline' has no attribute 'nothing'"):
        _ = pipeline.nothing
