"""The notebooks, run anew from their first cell, one after another in a fresh namespace."""

import itertools
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


def printed(cells):
    """Returns what the cells of a notebook have printed."""
    outputs = (output for cell in cells for output in cell.get("outputs", ()))
    return "".join(output["text"] for output in outputs if output.output_type == "stream")


def written(name, shorter=()):
    """Reads a notebook, and replaces what its cells say by what takes less time."""
    notebook = read(name)
    for old, new in shorter:
        assert sum(cell.source.count(old) for cell in notebook.cells) == 1
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    return notebook


def run_all(examples, *notebooks):
    """Runs notebooks in a copy of the examples, in one kernel, and returns what each prints.

    A kernel starts TensorFlow anew, which takes longer than most cells.
    """
    cells = []
    for notebook in notebooks:
        cells += [nbformat.v4.new_code_cell("%reset -f"), *notebook.cells]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    in_a_row = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    resources = {"metadata": {"path": str(examples / "notebooks")}}
    nbclient.NotebookClient(in_a_row, timeout=600, resources=resources).execute()
    ends = itertools.accumulate(len(notebook.cells) + 1 for notebook in notebooks)
    parts = itertools.pairwise([0, *ends])
    return [printed(in_a_row.cells[start:end]) for start, end in parts]


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A copy of the examples, with beats that are made here, in the archive's form."""
    examples = tmp_path_factory.mktemp("copy") / "examples"
    shutil.copytree(EXAMPLES, examples)
    rng = np.random.default_rng(0)
    folder = examples / "notebooks" / "ECG5000"
    folder.mkdir(exist_ok=True)
    for part, normal, others in (("TRAIN", 120, 20), ("TEST", 60, 40)):
        write_beats(folder / f"ECG5000_{part}.ts", rng, [1] * normal + [2] * others)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(pathlib.Path(sys.executable).parent), prepend=":")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
        yield examples


@pytest.fixture(scope="module")
def said(examples):
    """What two notebooks print; the second fit to the same utterances resumes the first."""
    fitted, again = "range(1, 13)]{})\nembeddings, others", ", epochs=10{})"
    kept = ', epochs=10, directory="fit"'
    embeddings = written(
        "embeddings",
        [
            (again.format(""), again.format(', directory="fit"')),
            (fitted.format(""), fitted.format(kept)),
        ],
    )
    ecg = written("ecg", [("Detector(level=0.05)", "Detector(level=0.05, epochs=10)")])
    return dict(zip(("embeddings", "ecg"), run_all(examples, embeddings, ecg), strict=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_shown_is_of_one_run_and_of_no_machine(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not re.search(r"INFO:|WARNING|/tmp|/home|/root", printed(notebook.cells))


def test_embeddings_with_scikit_learn(said):
    accuracy = float(re.search(r"on the test split: (\S+),", said["embeddings"])[1])
    again = float(re.search(r"(\S+) after 10 epochs", said["embeddings"])[1])
    assert min(accuracy, again) > 0.95


def test_anomalies_in_an_ecg(said):
    """On beats that are made here; the pictures shown are of the archive's own."""
    assert "140 beats to train on, 120 of them normal; 100 to test" in said["ecg"]
    assert float(re.search(r"AUROC (\S+)", said["ecg"])[1]) > 0.9


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
def test_several_gpus_and_machines(examples):
    (said,) = run_all(examples, written("several_gpus"))
    differences = re.findall(r"largest difference of a weight: (\S+)", said)
    assert len(differences) == 2
    assert max(map(float, differences)) < 1e-5
    assert "exit codes: [0, 0]" in said
