"""What is rejected before the job starts, and what the columns of several files must share."""

import collections
import itertools
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems

from padless.beam_jobs import preprocess
from padless.beam_jobs.readers import feature_columns, inputs
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

VALUES = np.ones((2, 1), np.float32)


def test_check_inputs_takes_the_columns_of_the_first_csv(make_options, write_csv, write_jsonl):
    first = write_csv("a.csv", [], header=("key", "time", "y", "x"))
    second = write_csv("b.csv", [], header=("x", "time", "y", "key"))
    other = write_jsonl("c.ndjson", [{}])
    checked = inputs.check_inputs(make_options(other, first, second))
    assert checked.columns.features == ("y", "x")
    assert [source.unit for source in checked.sources] == ["line"] * 3


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("x.CSV", "csv"),
        ("x.csv.gz", "csv"),
        ("x.ndjson", "jsonl"),
        ("a.b/x.npz-00001-of-00002", "npz"),
    ],
)
def test_input_form_is_told_from_the_name(make_options, name, form):
    assert inputs.input_form(name, make_options()).name == form


def test_input_form_is_what_the_options_say(make_options):
    assert inputs.input_form("x.csv", make_options(input_format="jsonl")).name == "jsonl"


@pytest.mark.parametrize("name", ["x.txt", "x.gz", "x", "x.json"])
def test_an_unknown_form_lists_the_forms(make_options, name):
    with pytest.raises(
        ValueError, match=r"must be one of '\.csv', .* and '\.ts', .*or name the form by `input_f"
    ):
        inputs.check_inputs(make_options(name))


def test_an_unknown_format_lists_the_forms(make_options):
    with pytest.raises(
        ValueError, match=r"`input_format` must be one of 'csv', .* and 'ts', got 'tsv'"
    ):
        inputs.check_inputs(make_options(input_format="tsv"))


def test_a_file_is_named_once(make_options, write_csv):
    path = write_csv("x.csv", [])
    with pytest.raises(ValueError, match=r"`inputs` must name each file once, got '.*x\.csv'"):
        inputs.check_inputs(make_options(path, f"{path[:-5]}./x.csv"))


def test_a_glob_is_expanded_in_order(make_options, write_csv, tmp_path):
    paths = [write_csv(name, []) for name in ("b.csv", "a.csv", "[c].csv")]
    checked = inputs.check_inputs(make_options(f"{tmp_path}/?.csv", paths[2]))
    assert checked.paths == (paths[1], paths[0], paths[2])


def test_a_glob_without_a_match_is_named(make_options, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\*\.csv: must match at least one input file"):
        inputs.check_inputs(make_options(f"{tmp_path}/*.csv"))


def test_a_split_is_kept_from_the_directory(make_options, write_csv, tmp_path):
    (tmp_path / "fold1").mkdir()
    options = make_options(write_csv("fold1/x.csv", []), keep_splits=True)
    (source,) = inputs.check_inputs(options).sources
    assert source.split == b"fold1"


def test_a_directory_whose_name_is_no_split_is_named(make_options, write_csv, tmp_path):
    (tmp_path / "1st").mkdir()
    options = make_options(write_csv("1st/x.csv", []), keep_splits=True)
    with pytest.raises(
        ValueError, match=r"x\.csv: '1st' cannot be the name of a split: a split must be named"
    ):
        inputs.check_inputs(options)


def test_a_missing_file_is_named(make_options):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: the input file does not exist"):
        inputs.check_inputs(make_options("nowhere.csv"))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.npz"])
def test_an_empty_file_is_rejected(make_options, tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name}: the input must not be empty, it has 0 bytes"):
        inputs.check_inputs(make_options(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["x.csv", "x"])
def test_a_directory_is_rejected(make_options, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name}: the input must be a file, it is a directory"):
        inputs.check_inputs(make_options(str(tmp_path / name)))


def test_a_damaged_zip_is_rejected(make_options, write_npz, tmp_path):
    path = write_npz("x.npz", {"a": [[1.0]]})
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"x\.npz: must be an npz file"):
        inputs.check_inputs(make_options(path))


def test_csv_files_must_share_their_features(make_options, write_csv):
    paths = write_csv("a.csv", []), write_csv("b.csv", [], header=("key", "time", "x", "z"))
    message = r"b\.csv: the features must be those of .*a\.csv.*; `features` can name.* both, 'x'\."
    with pytest.raises(ValueError, match=message):
        inputs.check_inputs(make_options(*paths))
    inputs.check_inputs(make_options(*paths, features=["x"]))


def test_labels_do_not_go_with_npz(make_options):
    with pytest.raises(
        ValueError, match=r"x\.npz: `label` must be None with input of the form npz"
    ):
        inputs.check_inputs(make_options("x.npz", "y.csv", label="label"))


def test_feature_columns_need_a_csv(make_options):
    with pytest.raises(
        ValueError, match=r"x\.jsonl: `features` must be None with .* jsonl, whose features have no"
    ):
        inputs.check_inputs(make_options("x.jsonl", features=("x",)))


@pytest.mark.parametrize("form", sorted(inputs.FORMS.keys() - {"arrow", "csv", "parquet"}))
def test_columns_are_dropped_of_tables_alone(make_options, form):
    options = make_options("y.csv", f"x.{form}" if form != "tfds" else "tfds:x", drop=("z",))
    message = f"`drop` must be None with input of the form {form}, which has no such column"
    with pytest.raises(ValueError, match=message):
        inputs.check_inputs(options)


def test_columns_that_are_not_used_are_named(make_options, write_csv):
    first = write_csv("a.csv", [], header=("", "key", "time", "x", "note"))
    second = write_csv("b.csv", [], header=("key", "time", "note", "x"))
    checked = inputs.check_inputs(make_options(first, second, drop=("note",)))
    assert (checked.columns.features, checked.unused) == (("x",), ("", "note"))
    checked = inputs.check_inputs(make_options(first, features=("x",)))
    assert checked.unused == ("", "note")


def test_many_columns_are_shown_in_part():
    shown = feature_columns.describe_features(1025, [f"x{i}" for i in range(1025)], [])
    assert shown.startswith("1,025 features: x0, x1, ")
    assert shown.endswith(", x19, and 1,005 more")


@pytest.fixture
def opened(monkeypatch):
    """Counts how often each file is opened to be read."""
    counts, open_file = collections.Counter(), FileSystems.open

    def count(path, *args, **kwargs):
        counts[path] += 1
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(FileSystems, "open", count)
    return counts


@pytest.fixture
def one_of_each(tmp_path, write_csv, write_jsonl, write_npz):
    """One file of each form, with a sequence of one feature."""
    pq.write_table(pa.table({"key": ["p"], "sequence": [VALUES.tolist()]}), tmp_path / "x.parquet")
    (tmp_path / "x.tfrecord").write_bytes(frame_record(encode_example(b"r", VALUES)))
    (tmp_path / "x.ts").write_text("@classLabel false\n@data\n1,2\n")
    np.save(tmp_path / "y.npy", VALUES[None])
    table = pa.table({"key": ["f"], "sequence": [VALUES.tolist()]})
    feather.write_feather(table, tmp_path / "x.feather")
    return [
        write_csv("x.csv", [("c", 0, 1)], header=("key", "time", "x")),
        write_jsonl("x.jsonl", [{"key": "j", "sequence": VALUES.tolist()}]),
        write_npz("x.npz", {"n": VALUES}),
        *(str(tmp_path / f"x.{extension}") for extension in ("parquet", "tfrecord", "ts")),
        *(str(tmp_path / name) for name in ("y.npy", "x.feather")),
    ]


def test_each_file_is_opened_once_to_be_checked(make_options, one_of_each, opened):
    checked = inputs.check_inputs(make_options(*one_of_each))
    assert {source.form for source in checked.sources} == inputs.FORMS.keys() - {"tfds"}
    assert opened == dict.fromkeys(one_of_each, 1)
    assert checked.num_bytes == sum(pathlib.Path(path).stat().st_size for path in one_of_each)


def test_an_option_for_one_form_goes_with_another(make_options, one_of_each):
    options = make_options(*one_of_each, features=("x",))
    assert inputs.check_inputs(options).columns.features == ("x",)
    with pytest.raises(ValueError, match="`time_order` must be sort with input of the form npz"):
        inputs.check_inputs(make_options(*one_of_each, time_order="reject"))


def test_a_job_opens_each_file_once_more_to_read_it(make_options, one_of_each, opened):
    assert preprocess(make_options(*one_of_each)).accepted == len(one_of_each)
    assert {path: opened[path] for path in one_of_each} == dict.fromkeys(one_of_each, 2)


def test_default_features_are_those_of_inputs_with_names(make_options, write_csv, write_npz):
    options = make_options(write_npz("x.npz", {"a": VALUES}))
    assert inputs.check_inputs(options, default_features=("x",)).columns.features is None
    path = write_csv("x.csv", [])
    assert inputs.check_inputs(make_options(path), default_features=("y",)).columns.features == (
        "y",
    )
    options = make_options(path, features=("x",))
    assert inputs.check_inputs(options, default_features=("y",)).columns.features == ("x",)


def read_in_another_directory(options, monkeypatch, directory):
    """Reads as a worker does that was started elsewhere."""
    checked = inputs.check_inputs(options)
    directory.mkdir()
    monkeypatch.chdir(directory)
    items = (inputs.read_source(source, checked.columns) for source in checked.sources)
    return list(itertools.chain.from_iterable(items))


def test_workers_find_relative_paths_wherever_they_run(
    make_options, one_of_each, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    names = [pathlib.Path(path).name for path in one_of_each]
    options = make_options(*names)
    items = read_in_another_directory(options, monkeypatch, tmp_path / "worker")
    assert [fragment.place.file for _, fragment in items] == names


def test_workers_find_what_a_relative_glob_matches(make_options, write_csv, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write_csv("a.csv", [("c", 0, 1, 1)])
    write_csv("b.csv", [("d", 0, "x", 1)])
    items = read_in_another_directory(make_options("*.csv"), monkeypatch, tmp_path / "worker")
    assert [fragment.place.file for _, fragment in items] == ["a.csv", "b.csv"]


def test_workers_find_a_relative_directory_of_tfds(
    make_options, make_dataset, monkeypatch, tmp_path
):
    dataset = make_dataset({"train": [3, 1]})
    monkeypatch.chdir(pathlib.Path(dataset.split("train").files[0]).parent.parent)
    name = pathlib.Path(dataset.split("train").files[0]).parent.name
    options = make_options(f"tfds:{name}")
    items = read_in_another_directory(options, monkeypatch, tmp_path / "worker")
    assert {fragment.place.file for _, fragment in items} == {f"tfds:{name}"}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/data/../x.csv", "/data/../x.csv"),
        ("gs://bucket/x.csv", "gs://bucket/x.csv"),
        ("../x.csv", "{}/../x.csv"),
    ],
)
def test_paths_are_made_absolute_and_not_changed_otherwise(path, location, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert inputs.FORMS["csv"].locate(path) == location.format(tmp_path)


def test_relative_inputs_give_the_same_dataset(
    make_options, one_of_each, monkeypatch, tmp_path, digest
):
    monkeypatch.chdir(tmp_path)
    names = [pathlib.Path(path).name for path in one_of_each]
    preprocess(make_options(*one_of_each, directory="absolute/data"))
    preprocess(make_options(*names, directory="relative/data"))
    assert digest(tmp_path / "absolute") == digest(tmp_path / "relative")
