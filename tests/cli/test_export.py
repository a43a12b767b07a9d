"""`padless export`: a file that gives the numbers of the run in onnxruntime."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pyarrow.parquet as pq
import pytest

import padless
from padless.model import export_onnx
from padless.model.onnx_export import build


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(trained.run, path)
    return path


def test_export_writes_a_model_that_scores_as_the_run_does(call, trained, tmp_path, vowel_like):
    path, scores = tmp_path / "model.onnx", tmp_path / "scores.parquet"
    printed = call("export", trained.run, "--onnx", path)
    assert (printed.code, printed.out, printed.err) == (0, f"onnx: {path}\n", "")
    assert call("score", trained.run, trained.data, "--output", scores).code == 0
    table = pq.read_table(scores).to_pydict()
    sequences = [vowel_like[0][key] for key in table["key"]]
    rows = np.full((len(sequences), max(table["length"]) + 1, 2), np.nan, np.float32)
    for row, sequence in zip(rows, sequences, strict=True):
        row[: len(sequence)] = sequence
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = ["embedding", "score", "p_value", "error", "unexplained", "feature_error"]
    given = {"sequence": rows, "length": np.array(table["length"])}
    assert len({*table["length"]}) > 3
    for name, received in zip(names, session.run(names, given), strict=True):
        np.testing.assert_allclose(received, np.array(table[name]), rtol=1e-4, atol=1e-4)


def test_the_file_says_what_it_is(exported):
    model = onnx.load(exported)
    assert (model.producer_name, model.producer_version) == ("padless", padless.__version__)
    assert json.loads({p.key: p.value for p in model.metadata_props}["features"]) == ["x", "y"]
    assert [i.name for i in model.graph.input] == ["sequence", "length"]
    assert all(part.doc_string for part in (*model.graph.input, *model.graph.output))


def test_the_outputs_are_those_of_the_saved_model(exported, trained):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(trained.run / "saved_model"))
    names = {output.name for output in onnx.load(exported).graph.output}
    assert names == loaded.signatures["serve"].structured_outputs.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.pb", "--onnx must end with .onnx, got "),
        ("missing/model.onnx", "missing does not exist"),
        ("folder.onnx", "--onnx must be a file, it is a directory"),
        ("run/model.onnx", "--onnx must not be inside a training run"),
    ],
)
def test_export_rejects_a_place_for_the_file(call, trained, tmp_path, name, message):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "run").symlink_to(trained.run)
    printed = call("export", trained.run, "--onnx", tmp_path / name)
    assert printed.code == 1
    assert message in printed.err


def test_export_rejects_what_is_no_run(call, trained, tmp_path):
    printed = call("export", trained.data, "--onnx", tmp_path / "model.onnx")
    assert printed.code == 1
    assert "config.json" in printed.err
    assert list(tmp_path.iterdir()) == []


def test_export_names_the_package_that_is_missing(call, trained, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else find(name)
    )
    printed = call("export", trained.run, "--onnx", tmp_path / "model.onnx")
    assert printed.code == 1
    assert "needs onnx: install it with `pip install 'padless[onnx]'`" in printed.err


def test_an_export_that_fails_leaves_the_old_file(trained, tmp_path, monkeypatch):
    class Broken:
        def SerializeToString(self):  # noqa: N802
            raise OSError("no space")

    path = tmp_path / "model.onnx"
    path.write_text("old")
    monkeypatch.setattr(build, "build_onnx", lambda *args, **options: Broken())
    with pytest.raises(OSError, match="no space"):
        export_onnx(trained.run, path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]
