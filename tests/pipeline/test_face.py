"""The names of `padless.pipeline`, those that need TensorFlow imported when first used."""

import os
import subprocess
import sys

import pytest

from padless import pipeline


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


@pytest.mark.parametrize("level", [None, "2", "3"])
def test_tensorflow_starts_without_its_notes(level):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    code = "from padless.pipeline import equal_length_batches"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
