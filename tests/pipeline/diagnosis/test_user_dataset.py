"""The dataset that a user names: imported from modules and files, or an error that says why not."""

import sys

import pytest
import tensorflow as tf

from padless.pipeline.diagnosis.user_dataset import load_dataset

CODE = """
import tensorflow as tf
import neighbour

dataset = tf.data.Dataset.range(3)
number = 7
both = (dataset, dataset)

def make(size=2):
    return dataset.batch(size)

def make_split(split, size):
    return dataset

def make_nothing():
    return None

def fail():
    raise KeyError("no data")

class Data:
    train = dataset
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "neighbour.py").write_text("")
    (tmp_path / "own_input.py").write_text(CODE)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("")
    (tmp_path / "own" / "data.py").write_text(CODE)
    (tmp_path / "script.py").write_text("raise SystemExit(0)")
    (tmp_path / "broken.py").write_text("import no_such_module_at_all")
    (tmp_path / "wrong.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in {"neighbour", *(set(sys.modules) - before)}:
        if name.partition(".")[0] in ("neighbour", "own", "own_input"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "path",
    [
        "own_input.py:dataset",
        "own_input.py:make",
        "own_input.py:Data.train",
        "own_input:make",
        "own.data:dataset",
        "own/data.py:make",
    ],
)
def test_a_dataset_is_imported(folder, path):
    (folder / "own" / "neighbour.py").write_text("")
    before = list(sys.path)
    assert isinstance(load_dataset(path), tf.data.Dataset)
    assert sys.path == before


def test_a_file_does_not_take_the_place_of_a_module(folder, monkeypatch):
    (folder / "json.py").write_text(CODE)
    before = sys.modules["json"]
    assert load_dataset("json.py:dataset") is not None
    assert sys.modules["json"] is before


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_input", "must be MODULE:NAME or FILE.py:NAME, got 'own_input'"),
        (":dataset", "must be MODULE:NAME or FILE.py:NAME"),
        ("own_inptu:dataset", "module that can be imported from here, got 'own_inptu'"),
        ("own.dat:dataset", r"got 'own\.dat': .* A file is named with its ending"),
        (
            "own_input:datset",
            "what is in own_input, got 'datset'. Did you mean 'dataset'",
        ),
        ("own_input:number", r"must name a tf\.data\.Dataset, own_input:number is a builtins\.int"),
        ("own_input:both", r"is a builtins\.tuple\. Name one of them"),
        ("own_input:make_nothing", r"own_input:make_nothing\(\) is a builtins\.NoneType"),
        ("own_input:make_split", "own_input:make_split needs split, size"),
        ("own_input:fail", r"own_input:fail\(\) raised KeyError: 'no data'"),
        ("script.py:dataset", "importing it ended the program: .* __name__ == "),
        ("broken.py:dataset", "importing it raised ModuleNotFoundError.*no_such_module_at_all"),
        ("wrong.py:dataset", "importing it raised ZeroDivisionError"),
    ],
)
def test_what_is_no_dataset_is_answered(folder, path, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(path)


def test_a_file_that_is_not_there(folder):
    with pytest.raises(FileNotFoundError, match=r"none\.py: the Python file does not exist"):
        load_dataset("none.py:dataset")
