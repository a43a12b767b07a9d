"""The names of `padless.model`, imported when first used."""

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
