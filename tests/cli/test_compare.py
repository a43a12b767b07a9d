"""`padless compare` on a small data set, with real runs in processes of their own."""

import dataclasses
import json
import types

import pytest

from padless.model import load_model, open_run, summarize
from padless.model.comparison import compared_run
from padless.pipeline import open_dataset
from padless.pipeline.progress import ignore_progress


def test_compare_prints_a_table_and_draws(compared):
    assert compared.code == 0
    text = compared.out.replace("\n  ", " ")
    lines = text.splitlines()
    assert "2 epochs each from the same weights; loss at valid timesteps and accuracy on v" in text
    assert [line.split()[0] for line in lines if line.startswith(("dynamic_", "padded"))] == [
        "dynamic_repeat", "padded"
    ]  # fmt: skip
    told = compared.err.splitlines()
    assert [line.split(":")[0] for line in told if ": epoch 1/2: " in line] == [
        "dynamic_repeat", "padded"
    ]  # fmt: skip
    assert "packed steps take" in compared.out
    assert lines[-1] == f"picture: {compared.picture}"
    assert compared.picture.stat().st_size > 10_000
    assert (compared.runs / "padded" / "model.keras").exists()


def test_compare_runs_each_in_a_process_and_keeps_it(compared, trained):
    comparison, dataset = compared.comparison, open_dataset(trained.data)
    assert (comparison.split, comparison.epochs) == ("validation", 2)
    split = dataset.split("train")
    valid = sum(length * count for length, count in split.lengths.items())
    padded = split.num_sequences * max(split.lengths)
    first, control = comparison.runs
    assert (first.computed_timesteps, first.valid_timesteps) == (valid, valid)
    assert (control.computed_timesteps, control.valid_timesteps) == (padded, valid)
    for run in comparison.runs:
        kept = compared.runs / run.alignment
        model = load_model(kept)
        assert model.architecture.alignment == run.alignment
        expected = summarize(model, dataset, "validation").losses.model
        assert run.loss == pytest.approx(expected, rel=1e-5)
        assert run.losses_by_length[0][0] == min(dataset.split("validation").lengths)
        assert 0 <= run.accuracy <= 1
        assert run.peak_bytes > 100 * 2**20
        assert run.seconds_per_epoch > 0
        assert json.loads(kept.with_suffix(".json").read_text())["alignment"] == run.alignment


def test_compare_passes_on_what_its_processes_tell(compared):
    told, progress = compared.err.splitlines(), compared.progress
    for run in compared.comparison.runs:
        assert any(line.startswith(f"{run.alignment}: epoch 2/2: ") for line in told)
        works = {shown.work for shown in progress if shown.work.startswith(run.alignment)}
        assert {f"{run.alignment}, epoch {i}/2" for i in (1, 2)} < works
    assert compared.noise == ""
    assert "oneDNN" not in compared.err
    assert "Warning" not in compared.err


def test_no_configuration_is_read_twice(trained, reads, monkeypatch):
    """Of a run that is trained already: `test_train.py` tests that training reads none."""
    run = open_run(trained.run)
    times = types.SimpleNamespace(computing=2.0, waiting=1.0)
    report = types.SimpleNamespace(times=times, epochs=2)
    monkeypatch.setattr(compared_run, "train", lambda *args, **options: report)
    spec = {
        "directory": str(trained.data),
        "run": str(trained.run),
        "architecture": dataclasses.asdict(run.model.architecture),
        "options": dataclasses.asdict(run.options),
        "split": "validation",
        "labels": True,
    }
    reads.clear()
    compared = compared_run._train_and_evaluate(spec, ignore_progress)
    assert reads == {str(trained.run / "config.json"): 1}
    assert compared.seconds_per_epoch == 1.5


def test_compare_answers_a_missing_dataset(call, tmp_path):
    printed = call("compare", tmp_path / "none")
    assert printed.code == 1
    assert str(tmp_path / "none") in printed.err
