"""Bad input through the command line: exit code 1, one message, nothing left behind."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

HEADER = "key,time,x,y\n"


def rejected(lines):
    """Adds a good sequence, so that the bad one is a counted reject and not the end of the job."""
    return f"{HEADER}good,0,1,2\ngood,1,1,2\n{lines}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "raw.csv: the input file does not exist"),
        ("", "raw.csv: the input must not be empty, it has 0 bytes"),
        ("key,x,y\na,1,2\n", r"raw.csv: must have a column 'time', it has 'key', 'x' and 'y'"),
        ("key,time\na,1\n", "raw.csv: must have named feature columns"),
        (f'{HEADER}a,0,1,2\nb,0,"1,2\nc,0,1,2\n', "line 3 must be CSV with every quote closed"),
        (f"{HEADER}a,0,one,2\n", "No sequence was accepted"),
        (HEADER, "No sequence was accepted"),
    ],
    ids=["missing", "empty", "no column", "no feature", "open quote", "all rejected", "no row"],
)
def test_preprocess_fails_and_leaves_nothing(call, tmp_path, content, message):
    if content is not None:
        (tmp_path / "raw.csv").write_text(content)
    before = set(tmp_path.iterdir())
    failed = call("preprocess", tmp_path / "raw.csv", "--output", tmp_path / "data")
    assert failed.code == 1
    assert message in failed.err
    assert "Traceback" not in failed.err
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("bad,0,1\n", "line 4, key 'bad': a row must hold 4 cells as the header does, got 3."),
        ("bad,0,1,one\n", "line 4, key 'bad': column 'y' must hold a number, got 'one'."),
        ("bad,0,1,nan\n", "line 4, key 'bad': column 'y' must hold a number, it is missing."),
        ("bad,0,1,1e39\n", "line 4, key 'bad': column 'y' must be finite as float32, got 1e+39."),
        ("bad,soon,1,2\n", "line 4, key 'bad': the time must be"),
        ("bad,7,1,2\nbad,7,1,2\n", "key 'bad': a time must occur once in a key, got 7"),
        (",0,1,2\n", "line 4: the key must not be empty"),
    ],
)
def test_preprocess_counts_what_it_rejects(call, tmp_path, lines, message):
    (tmp_path / "raw.csv").write_text(rejected(lines))
    done = call("preprocess", tmp_path / "raw.csv", "--output", tmp_path / "data")
    assert done.code == 0
    assert message in done.out
    (line,) = (tmp_path / "data/rejects/rejects-00000-of-00001.jsonl").read_text().splitlines()
    assert str(tmp_path / "raw.csv") in line


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"key": "b", "sequence": []}', "line 2, key 'b': a sequence must have a timestep"),
        ('{"key": "b", "sequence": [[1]]}', "key 'b': a timestep must hold 2 values"),
        ('{"key": "b", "sequence": [[1, "2"]]}', "line 2, key 'b'"),
        ('{"key": "b", "sequence": [[1, NaN]]}', "feature 1 must hold a number, it is missing"),
        ('{"key": "b", "sequence": [[1, 1e39]]}', "timestep 0, feature 1 must be finite"),
        ('{"key": "b"', "line 2: the line must be JSON"),
    ],
)
def test_preprocess_counts_json_lines_that_it_rejects(call, tmp_path, lines, message):
    good = [f'{{"key": "good{i}", "sequence": [[1, 2]]}}' for i in range(2)]
    (tmp_path / "raw.jsonl").write_text("\n".join([good[0], lines, good[1]]))
    done = call("preprocess", tmp_path / "raw.jsonl", "--output", tmp_path / "data")
    assert done.code == 0
    assert message in done.out


def test_preprocess_rejects_both_of_a_duplicate_key(call, tmp_path):
    lines = [f'{{"key": "{key}", "sequence": [[1, 2]]}}' for key in ("a", "b", "a")]
    (tmp_path / "raw.jsonl").write_text("\n".join(lines))
    done = call("preprocess", tmp_path / "raw.jsonl", "--output", tmp_path / "data")
    assert done.code == 0
    assert "duplicate_key 2" in done.out


def test_preprocess_rejects_an_output_that_exists(call, trained):
    failed = call("preprocess", trained.raw, "--output", trained.data)
    assert failed.code == 1
    assert f"{trained.data}: the output must not exist" in failed.err


def test_train_needs_a_training_split(call, trained, tmp_path):
    argv = ["preprocess", trained.raw, "--output", tmp_path / "data", "--splits", "test=1"]
    assert call(*argv, "--label-column", "kind").code == 0
    failed = call("train", tmp_path / "data", "--run", tmp_path / "run")
    assert failed.code == 1
    assert "must have a split 'train', it has 'test'" in failed.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["plan", "DATA"],
        ["compare", "DATA"],
        ["score", "RUN", "DATA", "--output", "o.parquet"],
        ["embed", "RUN", "DATA", "--output", "o.parquet"],
    ],
    ids=lambda argv: argv[0],
)
def test_a_mistyped_split_is_suggested(call, trained, argv):
    paths = {"DATA": trained.data, "RUN": trained.run}
    failed = call(*(paths.get(part, part) for part in argv), "--split", "tarin")
    assert failed.code == 1
    assert "'tarin', it has 'train' and 'validation'. Did you mean 'train'?" in failed.err


def test_train_names_the_split_that_a_budget_does_not_fit(call, trained, tmp_path):
    failed = call("train", trained.data, "--run", tmp_path / "run", "--batch-timesteps", 3)
    assert failed.code == 1
    assert "Split 'train' of dataset 'data': --batch-timesteps must be at least" in failed.err
    assert not (tmp_path / "run").exists()


def test_train_rejects_a_run_directory_that_exists(call, trained):
    failed = call("train", trained.data, "--run", trained.run)
    assert failed.code == 1
    assert f"{trained.run}: the run directory must not exist" in failed.err


@pytest.mark.parametrize("command", ["embed", "score"])
def test_inference_rejects_another_number_of_features(call, trained, tmp_path, command):
    np.savez(tmp_path / "raw.npz", a=np.zeros((4, 3)))
    output = tmp_path / "o.parquet"
    failed = call(command, trained.run, tmp_path / "raw.npz", "--output", output)
    assert failed.code == 1
    assert "trained on 2 features per timestep, dataset 'raw' has 3" in failed.err
    assert not output.exists()


@pytest.mark.parametrize("output", ["missing/o.parquet", "."])
def test_inference_checks_the_output_first(call, tmp_path, output):
    failed = call("embed", tmp_path / "no run", "raw.npz", "--output", tmp_path / output)
    assert failed.code == 1
    assert str(tmp_path) in failed.err
    assert "not exist" in failed.err or "directory" in failed.err


@pytest.mark.parametrize("command", ["embed", "score"])
@pytest.mark.parametrize("output", ["x.csv", "x", "x.json"])
def test_inference_names_an_output_of_another_suffix_before_any_work(
    call, trained, tmp_path, command, output
):
    failed = call(command, trained.run, trained.raw, "--output", tmp_path / output)
    assert failed.code == 1
    assert f"{output}: the output is Parquet" in failed.err
    assert "named so: x.parquet" in failed.err
    assert not list(tmp_path.iterdir())


def test_inference_rejects_what_is_no_run(call, trained, tmp_path):
    failed = call("embed", tmp_path, trained.data, "--output", tmp_path / "o.parquet")
    assert failed.code == 1
    assert "is not a run of `padless train`" in failed.err


def test_inference_stops_at_rejects_unless_told_to_skip_them(call, trained, tmp_path):
    (tmp_path / "raw.csv").write_text(rejected("bad,0,1,\n"))
    output = tmp_path / "o.parquet"
    argv = ["score", trained.run, tmp_path / "raw.csv", "--output", output]
    failed = call(*argv)
    assert failed.code == 1
    assert "or --skip-rejects be set" in failed.err
    assert "key 'bad': column 'y' must hold a number, it is missing" in failed.err
    assert not output.exists()
    skipped = call(*argv, "--skip-rejects")
    assert skipped.code == 0
    assert "key 'bad'" in skipped.err
    assert pq.read_table(output)["key"].to_pylist() == ["good"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-7], "truncated"),
        (lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:], "record 0 at byte 0"),
    ],
    ids=["truncated", "flipped"],
)
@pytest.mark.parametrize("command", ["train", "score"])
def test_damaged_records_are_named(call, trained, tmp_path, command, damage, message):
    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    (shard,) = data.glob("*-train.tfrecord-*")
    shard.write_bytes(damage(shard.read_bytes()))
    output = tmp_path / "output"
    argv = {
        "train": ["train", data, "--run", output, "--units", 2],
        "score": ["score", trained.run, data, "--output", output.with_suffix(".parquet")],
    }
    failed = call(*argv[command])
    assert failed.code == 1
    assert f"{shard}: record" in failed.err
    assert message in failed.err


@pytest.mark.parametrize("place", ["data", "run"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("score {run} {data} --output {place}/provenance.json", "--output"),
        ("score {run} {raw} --output {place}/model.keras", "--output"),
        ("embed {run} {data} --output {place}/rejects/new.parquet", "--output"),
        ("report {run} --picture {place}/new.png", "--picture"),
        ("report {run} --html {place}/new.html", "--html"),
        ("compare {data} --picture {place}/new.png", "--picture"),
        ("compare {data} --runs {place}/runs", "--runs"),
        ("train {data} --run {place}/run", "--run"),
        ("preprocess {raw} --output {place}/data --overwrite", "--output"),
    ],
)
def test_an_output_inside_a_dataset_or_a_run_is_rejected(trained, call, place, command, option):
    inside = getattr(trained, place)
    made = inside / "rejects"
    if is_new := not made.exists():
        made.mkdir()
    before = {path: path.stat().st_mtime_ns for path in inside.rglob("*")}
    failed = call(*command.format(**vars(trained) | {"place": inside}).split())
    kind = "dataset" if place == "data" else "training run"
    assert failed.code == 1
    assert f"error: {option} must not be inside a {kind}, got {inside}/" in failed.err
    assert {path: path.stat().st_mtime_ns for path in inside.rglob("*")} == before
    if is_new:
        made.rmdir()


@pytest.mark.parametrize("command", ["verify", "plan", "train", "report", "score", "in bulk"])
def test_a_folder_that_is_no_dataset_is_named_in_one_sentence(call, trained, tmp_path, command):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.txt").touch()
    run = trained.run
    argv = {
        "verify": ("verify", folder),
        "plan": ("plan", folder),
        "train": ("train", folder, "--run", tmp_path / "new"),
        "report": ("report", run, "--dataset", folder),
        "score": ("score", run, folder, "--output", tmp_path / "scores.parquet"),
        "in bulk": ("score", run, folder, "--output-directory", tmp_path / "scores"),
    }[command]
    failed = call(*argv)
    assert failed.code == 1
    assert failed.err == (
        f"padless {argv[0]}: error: {folder}: must be a dataset directory, which holds "
        "dataset_info.json and other files; it has none of them. `padless preprocess` makes a "
        "dataset of raw files.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_dataset_that_lacks_files_is_told_which(call, trained, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(trained.data / "features.json", tmp_path / "data")
    failed = call("verify", tmp_path / "data")
    assert failed.code == 1
    for name in ("dataset_info.json", "lengths.json", "statistics.json", "provenance.json"):
        assert f"{name}: the file must exist, it is missing" in failed.out
