"""Files of a run that someone has edited: errors that name the file, and nothing is imported."""

import json
import os
import random
import shutil
import sys
import zipfile

import numpy as np
import pytest
from edits import answer_to, edit_bytes, edits_of

from padless.model import load_model, open_run
from padless.model.run_directory.checkpoints import Checkpoints
from padless.model.run_directory.layout import make_run
from padless.model.run_directory.metrics_files import MetricsFiles
from padless.model.scoring.calibration import load_calibration
from padless.model.training.saving import StateSaver
from padless.model.training.state import RunProgress


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished[0], tmp_path / "run")


class _Progress:
    """Restores progress alone, without a model."""

    def restore(self, arrays, progress):
        RunProgress.parse(progress)


@pytest.mark.parametrize("count", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_an_edited_configuration_is_answered_by_name(run, count):
    path = run / "config.json"
    for edited in edits_of(path.read_bytes(), count):
        path.write_bytes(edited)
        answer = answer_to(lambda: open_run(run))
        assert answer is None or str(path) in answer, edited


@pytest.mark.parametrize("count", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_an_edited_calibration_is_answered_by_name(run, count):
    path, rng = run / "calibration.npz", random.Random(0)
    before = path.read_bytes()
    for edited in (edit_bytes(before, rng) for _ in range(count)):
        path.write_bytes(edited)
        answer = answer_to(lambda: load_calibration(run))
        assert answer is None or str(path) in answer, edited


@pytest.mark.parametrize("count", [50, pytest.param(2_000, marks=pytest.mark.slow)])
def test_an_edited_checkpoint_is_answered_by_name(run, count):
    files = {name: (run / name).read_bytes() for name in ("steps.csv", "history.csv", "timing.csv")}
    checkpoints = Checkpoints(run / "checkpoints")
    path = checkpoints.path(checkpoints.steps()[-1])
    for other in checkpoints.steps()[:-1]:
        checkpoints.path(other).unlink()
    with np.load(path) as archive:
        arrays = dict(archive)
    state = arrays.pop("state.json").tobytes()
    for edited in edits_of(state, count):
        for name, content in files.items():
            (run / name).write_bytes(content)
        np.savez(path, **{"state.json": np.frombuffer(edited, np.uint8)}, **arrays)
        answer = answer_to(
            lambda: StateSaver(_Progress(), checkpoints, MetricsFiles(run)).restore()
        )
        assert answer is None or str(run) in answer, edited


def write_model(path, original, config, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(original) as before, zipfile.ZipFile(path, "w", compression) as after:
        for name in before.namelist():
            after.writestr(name, config if name == "config.json" else before.read(name))


@pytest.mark.parametrize("count", [10, pytest.param(2_000, marks=pytest.mark.slow)])
def test_an_edited_model_is_answered_by_name(run, finished, count):
    path, original = run / "model.keras", finished[0] / "model.keras"
    with zipfile.ZipFile(original) as archive:
        config = archive.read("config.json")
    for edited in edits_of(config, count):
        write_model(path, original, edited)
        answer = answer_to(lambda: load_model(run))
        assert answer is None or str(path) in answer, edited


def test_a_module_that_a_model_names_is_not_imported(run, finished):
    original = finished[0] / "model.keras"
    with zipfile.ZipFile(original) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["dtype"]["module"] = "antigravity"
    write_model(run / "model.keras", original, json.dumps(config))
    with pytest.raises(ValueError, match=r"must be one of .*got 'antigravity'"):
        load_model(run)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("size", "value"),
    [
        *(("layers", 2**70), ("units", 20_000), ("patch_length", 10**6), ("latent_size", 10**7)),
        ("num_features", 10**5),
    ],
)
def test_a_model_larger_than_its_weights_is_not_built(run, finished, size, value):
    original = finished[0] / "model.keras"
    with zipfile.ZipFile(original) as archive:
        config = json.loads(archive.read("config.json"))
    sizes = config["config"] if size == "num_features" else config["config"]["architecture"]
    sizes[size] = value
    write_model(run / "model.keras", original, json.dumps(config))
    with pytest.raises(ValueError, match=r"model\.keras must hold .* has at least [\d,]+ weights"):
        load_model(run)


def test_what_is_compressed_is_not_unpacked(run, finished):
    with zipfile.ZipFile(finished[0] / "model.keras") as archive:
        config = archive.read("config.json")
    write_model(run / "model.keras", finished[0] / "model.keras", config, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="must not be compressed"):
        load_model(run)
    np.savez_compressed(run / "calibration.npz", score=np.zeros(10**6))
    with pytest.raises(ValueError, match="must not be compressed"):
        load_calibration(run)


@pytest.mark.parametrize("name", ["steps.csv", "checkpoints", "tensorboard/link", "lock"])
def test_a_run_that_holds_a_link_is_not_resumed(run, tmp_path, name):
    (tmp_path / "victim").write_text("mine")
    if (run / name).is_dir():
        shutil.move(run / name, tmp_path / "moved")
    (run / name).unlink(missing_ok=True)
    os.symlink(tmp_path / "victim", run / name)
    with pytest.raises(ValueError, match=f"{name} must not be a link"):
        make_run(run, resume=True)
    assert (tmp_path / "victim").read_text() == "mine"


def test_another_name_of_the_metrics_keeps_all_of_them(run, tmp_path):
    os.link(run / "steps.csv", tmp_path / "copy.csv")
    before = (tmp_path / "copy.csv").read_bytes()
    files = MetricsFiles(run)
    files.cut(files.sizes() | {"steps.csv": 20})
    assert (run / "steps.csv").read_bytes() == before[:20]
    assert (tmp_path / "copy.csv").read_bytes() == before
