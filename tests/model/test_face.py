"""The names of `padless.model`, imported when first used."""

import ast
import inspect
import os
import subprocess
import sys

import pytest

import padless.model


def run_python(code):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def homes_for_type_checkers():
    """Returns name -> module, as the block `if TYPE_CHECKING` imports them."""
    tree = ast.parse(inspect.getsource(padless.model))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_type_checkers_see_the_names_where_they_are_at_run_time():
    homes = padless.model._WITHOUT_TENSORFLOW | padless.model._WITH_TENSORFLOW
    assert homes == homes_for_type_checkers()
    assert sorted(homes) == sorted(padless.model.__all__)


@pytest.mark.parametrize("name", padless.model.__all__)
def test_every_name_is_there(name):
    assert getattr(padless.model, name) is not None
    assert name in dir(padless.model)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'padless\.model' has no attribute 'autoencoder'"):
        padless.model.autoencoder  # noqa: B018


def test_options_need_no_tensorflow():
    code = (
        "import sys; from padless.model import ALIGNMENTS, Architecture, TrainingOptions; "
        "Architecture(), TrainingOptions(); print(*sys.modules.keys() & {'tensorflow', 'keras'})"
    )
    assert run_python(code).stdout == "\n"


@pytest.mark.parametrize("name", ["SequenceAutoencoder", "train"])
def test_tensorflow_starts_without_its_notes(name):
    done = run_python(f"import padless.model; padless.model.{name}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
