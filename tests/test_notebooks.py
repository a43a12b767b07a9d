"""The notebooks, run anew from their first cell, each in a kernel of its own."""

import pathlib
import re
import shutil
import sys

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


def read(name):
    return nbformat.read(EXAMPLES / "notebooks" / f"{name}.ipynb", as_version=4)


def printed(notebook):
    """Returns what the cells of a notebook have printed."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return "".join(output["text"] for output in outputs if output.output_type == "stream")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a notebook in a copy of the examples, and returns what it prints.

    What is `written` in a cell is replaced by what takes less time.
    """
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    folder = tmp_path / "examples" / "notebooks"
    monkeypatch.setenv("PATH", str(pathlib.Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(name, written="", shorter=""):
        notebook, resources = read(name), {"metadata": {"path": str(folder)}}
        assert not written or sum(cell.source.count(written) for cell in notebook.cells) == 1
        for cell in notebook.cells if written else ():
            cell.source = cell.source.replace(written, shorter)
        nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()
        return printed(notebook)

    run.folder = folder
    return run


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_shown_is_of_one_run_and_of_no_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not re.search(r"INFO:|WARNING|/tmp|/home|/root", printed(notebook))


def test_embeddings_with_scikit_learn(run):
    fitted = "range(1, 13)]{})\nembeddings, others"
    said = run("embeddings", fitted.format(""), fitted.format(", epochs=10"))
    accuracy = float(re.search(r"on the test split: (\S+),", said)[1])
    again = float(re.search(r"(\S+) after 10 epochs", said)[1])
    assert min(accuracy, again) > 0.95


def test_anomalies_in_an_ecg(run):
    """On beats that are made here, in the archive's form; the pictures shown are of its own."""
    rng = np.random.default_rng(0)
    (run.folder / "ECG5000").mkdir(exist_ok=True)
    for part, normal, others in (("TRAIN", 120, 20), ("TEST", 60, 40)):
        write_beats(run.folder / "ECG5000" / f"ECG5000_{part}.ts", rng, [1] * normal + [2] * others)
    said = run("ecg", "Detector(level=0.05)", "Detector(level=0.05, epochs=10)")
    assert "140 beats to train on, 120 of them normal; 100 to test" in said
    assert float(re.search(r"AUROC (\S+)", said)[1]) > 0.9


def write_beats(path, rng, labels):
    """Writes beats: a sharp peak and two low waves, or, where the label is not 1, a broad peak."""
    time = np.arange(140)
    lines = []
    for label in labels:
        waves = ((40, 12, 0.3), (70, 3, 2.5), (110, 12, 0.6)) if label == 1 else ((75, 15, 2.5),)
        beat = rng.normal(0, 0.05, 140)
        for center, width, height in waves:
            beat += height * np.exp(-(((time - center - rng.normal(0, 2)) / width) ** 2))
        lines.append(",".join(f"{value:.5f}" for value in beat) + f":{label}")
    path.write_text("@problemName ECG5000\n@data\n" + "\n".join(lines) + "\n")


@pytest.mark.slow  # five processes that train; test_cluster.py and test_step.py test what it shows
def test_several_gpus_and_machines(run):
    said = run("several_gpus")
    differences = re.findall(r"largest difference of a weight: (\S+)", said)
    assert len(differences) == 2
    assert max(map(float, differences)) < 1e-5
    assert "exit codes: [0, 0]" in said
