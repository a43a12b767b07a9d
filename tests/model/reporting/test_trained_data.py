"""The data that a run was trained on: there, changed, gone or damaged."""

import json
import shutil

import pytest

from padless.model import open_run
from padless.model.reporting.trained_data import find_trained_on, usual_of_run
from padless.model.run_directory.config import CONFIG_FILE


@pytest.fixture
def moved(finished, validated_dataset, tmp_path):
    """A run whose dataset is a copy: the run, and the folder of the dataset."""
    source = validated_dataset.split("train").files[0].parent
    run = shutil.copytree(finished[0], tmp_path / "run")
    folder = shutil.copytree(source, tmp_path / "data")
    config = json.loads((run / CONFIG_FILE).read_text())
    (run / CONFIG_FILE).write_text(json.dumps(config | {"dataset": str(folder)}))
    return open_run(run), folder


def test_the_data_of_a_run_are_opened_as_long_as_they_are_the_same(moved):
    run, folder = moved
    assert run.is_trained_on(run.open_trained_on())
    shard = next(folder.glob("*-validation.tfrecord-*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match=r"the dataset has changed since the run .* was trained"):
        run.open_trained_on()
    assert find_trained_on(run) is None


def test_data_of_a_run_that_are_gone_are_none(moved):
    run, folder = moved
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="the dataset directory does not exist"):
        run.open_trained_on()
    assert find_trained_on(run) is None


def test_usual_sequences_of_damaged_data_are_none(moved):
    run, folder = moved
    dataset = run.open_trained_on()
    for shard in folder.glob("*-validation.tfrecord-*"):
        shard.write_bytes(b"no records at all")
    assert usual_of_run(run, dataset) is None
