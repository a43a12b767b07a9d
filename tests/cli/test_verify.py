"""`padless verify` through the command line: what it prints, and its exit codes."""

import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def data(make_dataset, tmp_path):
    dataset = make_dataset({"train": [3, 4, 5, 6, 7, 8, 9], "test": [2, 3]})
    return shutil.copytree(dataset.split("train").files[0].parent, tmp_path / "data")


def test_good_dataset(call, data):
    done = call("verify", data)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == str(data)
    assert lines[1].split()[:5] == ["train", "1", "shard", "7", "records"]
    assert "checked: CRC of each record" in done.out
    assert lines[-1].startswith("no fault")


def test_faults_are_named(call, data):
    (path,) = data.glob("*-train.tfrecord-*")
    path.write_bytes(path.read_bytes()[:-7])
    failed = call("verify", data)
    assert failed.code == 1
    assert "2 faults in 1 file" in failed.out
    assert f"  {path.name}: record 6 at byte " in failed.out
    assert "the file is truncated" in failed.out
    assert failed.err == ""


def test_all_names_every_fault(call, data):
    features = data / "features.json"
    features.write_text(features.read_text().replace('"2"', '"3"'))
    (path,) = data.glob("*-train.tfrecord-*")
    assert f"{path.name}: and 2 more" in call("verify", data).out
    shown = call("verify", data, "--all")
    assert shown.code == 1
    assert f"{path.name}: record 6 at byte" in shown.out
    assert "more" not in shown.out


def test_missing_directory(call, tmp_path):
    failed = call("verify", tmp_path / "none")
    assert failed.code == 1
    assert failed.err.startswith("padless verify: error:")
    assert "none: the dataset directory does not exist" in failed.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["verify"], "required: DATASET"),
        (["verify", "a", "b"], "unrecognized arguments: b"),
        (["verify", "a", "--al"], "unrecognized arguments: --al"),
    ],
)
def test_bad_usage(call, argv, message):
    answered = call(*argv)
    assert answered.code == 2
    assert message in answered.err


def test_tensorflow_is_not_imported(data):
    # In a process of its own: the tests have imported it.
    code = (
        "import sys; from padless.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    path = os.pathsep.join(p for p in sys.path if p)
    environment = os.environ | {"PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", code, "verify", data], check=True, env=environment)
