"""`--json` prints one JSON object, whose keys are those that the documentation lists."""

import json
import logging
import math
import pathlib
import re

import numpy as np
import pytest

import padless.model
from padless.cli.json_output import as_json
from padless.model import report_run
from padless.pipeline import open_dataset, plan_batches
from padless.pipeline.progress import Progress

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "command_line.md"


def documented_keys(command):
    """Reads the keys in the first column of the command's table."""
    section = PAGE.read_text().split(f"\n### {command}\n")[1].split("\n### ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}


def documented_parts(command, key):
    """Reads the keys of what a key holds, in the second column of the command's table."""
    section = PAGE.read_text().split(f"\n### {command}\n")[1].split("\n### ")[0]
    (row,) = (line for line in section.splitlines() if line.startswith(f"| `{key}` |"))
    return set(re.findall(r"`(\w+)`", row.split("|")[2]))


def test_json_of_plan(call, trained):
    details = ("--group-size", 2, "--buckets", "--order", 2)
    printed = call("plan", trained.data, "--batch-size", 8, *details, "--json")
    assert printed.code == 0
    found = json.loads(printed.out)
    assert found.keys() == documented_keys("plan")
    lengths = open_dataset(trained.data).split("train").lengths
    plan = plan_batches(lengths, batch_size=8, group_size=2)
    assert found["sequences"] == plan.num_sequences
    assert found["lengths_per_step"] == plan.bands_per_step > 1
    assert found["timesteps_per_epoch"]["plan"] == {
        "computed": plan.num_timesteps,
        "in_a_row": plan.timesteps_in_a_row,
    }
    buckets = found["buckets"]
    assert buckets[0].keys() == documented_parts("plan", "buckets")
    assert sum(b["sequences_per_group"] * b["groups"] for b in buckets) == plan.num_sequences
    assert found["order"][0]["repeated_mates"] is None
    assert 0 <= found["order"][1]["repeated_mates"] <= 1


def test_json_of_verify(call, make_dataset):
    folder = make_dataset({"train": [3, 4, 5], "test": [2]}).split("train").files[0].parent
    good = json.loads(call("verify", folder, "--json").out)
    assert good.keys() == documented_keys("verify")
    assert good["splits"][0].keys() == documented_parts("verify", "splits")
    assert (good["ok"], good["faults"]) == (True, [])
    (path,) = folder.glob("*-train.tfrecord-*")
    path.write_bytes(path.read_bytes()[:-7])
    failed = call("verify", folder, "--json")
    found = json.loads(failed.out)
    assert (failed.code, found["ok"], found["num_faults"]) == (1, False, 2)
    assert found["fault_counts"] == {path.name: 2}
    assert found["faults"][0].keys() == {"file", "message", "record", "byte"}


def test_json_of_doctor(call, make_dataset):
    (file,) = make_dataset([3] * 12 + [4] * 12).split("train").files
    done = call("doctor", file, "--json")
    found = json.loads(done.out)
    assert (done.code, found["ok"], found["num_traps"]) == (0, True, 0)
    assert found.keys() == documented_keys("doctor")
    (finding,) = found["findings"]
    assert finding.keys() == documented_parts("doctor", "findings")
    assert (finding["name"], finding["is_trap"]) == ("sorted_by_length", False)


def test_json_of_preprocess(call, trained, tmp_path):
    argv = ("preprocess", trained.raw, "--output", tmp_path / "data", "--label-column", "kind")
    printed = call(*argv, "--splits", "train=1", "--json")
    found = json.loads(printed.out)
    assert found.keys() == documented_keys("preprocess")
    assert (found["read"], found["accepted"], found["num_rejected"]) == (60, 60, 0)
    assert found["left_out"] == 0
    assert (found["num_features"], found["features"]) == (2, ["x", "y"])
    assert found["unused_columns"] == []
    assert found["splits"]["train"] == {"num_sequences": 60, "min_length": 3, "max_length": 8}
    assert found["splits"]["train"].keys() == documented_parts("preprocess", "splits")


def test_json_of_train(call, trained):
    done = call("train", trained.data, "--run", trained.run, "--resume", "--json")
    found = json.loads(done.out)
    assert (done.code, found.keys()) == (0, documented_keys("train"))
    assert (found["run"], found["epochs"]) == (str(trained.run), 2)
    assert found["summary"]["losses"] == as_json(
        report_run(trained.run).summaries["validation"].losses
    )


@pytest.mark.parametrize("command", ["embed", "score"])
def test_json_of_embed_and_score(call, trained, tmp_path, command):
    output = tmp_path / "out.parquet"
    found = json.loads(call(command, trained.run, trained.data, "--output", output, "--json").out)
    assert found.keys() == documented_keys("embed, score") - {"files"}
    assert (found["output"], found["sequences"]) == (str(output), 60)


def test_json_of_report_holds_what_the_report_prints(call, trained, tmp_path):
    picture = tmp_path / "r.png"
    page = tmp_path / "r.html"
    files = ("--picture", picture, "--html", page)
    found = json.loads(call("report", trained.run, "--json", *files).out)
    assert found.keys() == documented_keys("report") | {"picture", "html"}
    assert (found["picture"], found["html"]) == (str(picture), str(page))
    assert "</html>" in page.read_text()
    report = report_run(trained.run)
    assert found["splits"]["train"]["losses"]["model"] == report.summaries["train"].losses.model
    assert found["splits"]["train"]["warnings"] == report.summaries["train"].warnings()
    train = found["splits"]["train"]
    parts = (train, train["losses"], train["ranges"][0], train["features"][0])
    assert documented_parts("report", "splits") == {key for part in parts for key in part}
    for number in re.findall(r"\d+\.\d{4}\b", str(report)):
        assert number in {f"{value:.4f}" for value in numbers_of(found)}, number


def test_json_of_a_report_on_data_without_a_training_split_has_no_epoch(call, trained, tmp_path):
    new, page = tmp_path / "may", tmp_path / "r.html"
    argv = ("preprocess", trained.raw, "--output", new, "--label-column", "kind")
    assert call(*argv, "--splits", "may=1").code == 0
    files = ("--picture", tmp_path / "r.png", "--html", page, "--normal", "kind 0")
    done = call("report", trained.run, "--dataset", new, "--json", *files)
    found = json.loads(done.out)
    assert found.keys() == documented_keys("report") | {"picture", "html"}
    assert (found["training_sequences"], found["epoch"]) == (None, None)
    assert (found["sequences"], found["example_split"]) == ({"may": 60}, "may")
    assert "AUROC" in page.read_text()
    assert "in the data that the model was trained on. A timestep" in page.read_text()


def numbers_of(value):
    """Yields all numbers of nested dicts and lists."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers_of(item)
    elif isinstance(value, int | float):
        yield value


@pytest.mark.parametrize("command", ["plan", "verify", "report", "doctor"])
def test_json_of_what_fails_is_nothing(call, tmp_path, command):
    failed = call(command, tmp_path / "none", "--json")
    assert (failed.code, failed.out) == (1, "")
    assert failed.err.startswith(f"padless {command}: error: ")


def test_numbers_that_json_does_not_know_are_null():
    value = {"a": [math.nan, np.inf, np.float32(0.5)], "b": np.arange(2), 3: {"c": (None, True)}}
    assert as_json(value) == {"a": [None, None, 0.5], "b": [0, 1], "3": {"c": [None, True]}}


def test_json_of_compare_and_quiet(call, compared, monkeypatch, tmp_path):
    def compare_again(dataset, *, progress, **options):
        logging.getLogger("padless").info("padded: epoch 1/2: ...")
        for done in (0, 1):
            progress(Progress("padded, epoch 1/2", done, 1, "sequences"))
        return compared.comparison

    monkeypatch.setattr(padless.model, "compare_alignments", compare_again)
    printed = call("compare", tmp_path, "--quiet", "--json")
    assert (printed.code, printed.err) == (0, "")
    found = json.loads(printed.out)
    assert found.keys() == documented_keys("compare") | {"picture"}
    assert [run["alignment"] for run in found["runs"]] == ["dynamic_repeat", "padded"]
    for run in found["runs"]:
        assert run.keys() == documented_parts("compare", "runs")
        assert 0 <= run["accuracy"] <= 1
