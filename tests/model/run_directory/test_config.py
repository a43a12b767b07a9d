"""`config.json`, written and read."""

import dataclasses
import json
import subprocess
import sys

import pytest

from padless.model.run_directory.config import RunConfig, read_config


@pytest.fixture
def rewrite(create_run):
    """Makes a run whose `config.json` was changed by hand: (run, path of the file)."""

    def change(*keys, value=None, delete=False):
        run = create_run()
        path = run / "config.json"
        config = json.loads(path.read_text())
        inner = config
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        if delete:
            del inner[keys[-1]]
        path.write_text(json.dumps(config))
        return run, path

    return change


@pytest.mark.parametrize("names", [("x", "y"), None])
def test_read_config_gives_back_what_was_written(create_run, names):
    run = create_run(feature_names=names)
    config = read_config(run)
    assert config.feature_names == names
    written = json.loads((run / "config.json").read_text())
    assert written == json.loads(json.dumps(dataclasses.asdict(config)))
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_read_config_rejects_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing: .* is not a run of `pad"):
        read_config(tmp_path)


def test_read_config_rejects_a_damaged_file(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json must hold JSON"):
        read_config(tmp_path)


@pytest.mark.parametrize("missing", [field.name for field in dataclasses.fields(RunConfig)])
def test_read_config_names_what_is_missing(rewrite, missing):
    run, path = rewrite(missing, delete=True)
    with pytest.raises(ValueError, match=f"{path} must hold '{missing}', as `padless train`"):
        read_config(run)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["architecture", "units"], "many", "an integer as 'architecture.units', got 'm"),
        (["architecture", "units"], True, "an integer as 'architecture.units', got True"),
        (["architecture", "units"], 0, "options in 'architecture': `units` must be at least 1, go"),
        (["architecture", "width"], 3, "unknown key 'architecture.width' with the value 3"),
        (["training", "learning_rate"], None, "a number as 'training.learning_rate', got None"),
        (["architecture", "linear_head"], 1, "true or false as 'architecture.linear_head', got 1"),
        (["training", "group_size"], 0, "options in 'training': `group_size` must be at least 1"),
        (["fingerprint"], [1], r"an object as 'fingerprint', got \[1\]"),
        (["fingerprint", "lengths.json"], 1, "a string as 'fingerprint.lengths.json', got 1"),
        (["feature_names"], "xy", "a list as 'feature_names', got 'xy'"),
        (["feature_names"], ["x", 2], r"a string as 'feature_names\[1\]', got 2"),
        (["steps_per_epoch", "train"], 1.5, "an integer as 'steps_per_epoch.train', got 1.5"),
        (["notes"], "mine", "unknown key 'notes' with the value 'mine'"),
    ],
)
def test_read_config_names_what_does_not_fit(rewrite, keys, value, message):
    run, path = rewrite(*keys, value=value)
    with pytest.raises(ValueError, match=f"{path} must hold .*{message}"):
        read_config(run)


def test_read_config_takes_a_whole_number_where_a_fraction_may_be(rewrite):
    run, _ = rewrite("training", "clip_norm", value=2)
    assert read_config(run).training.clip_norm == 2


def test_read_config_rejects_json_that_is_no_object(create_run):
    run = create_run()
    (run / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"config.json must hold an object as '.', got \[\]"):
        read_config(run)


def test_a_configuration_is_read_without_tensorflow(create_run):
    code = (
        "import sys; from padless.model.run_directory.config import read_config; "
        "print(read_config(sys.argv[1]).replicas, *sys.modules.keys() & {'tensorflow', 'keras'})"
    )
    command = [sys.executable, "-c", code, str(create_run())]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "1\n"
