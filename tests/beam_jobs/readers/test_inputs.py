"""What is rejected before the job starts, and what the columns of several files must share."""

import pytest

from padless.beam_jobs.readers import inputs


def test_check_inputs_takes_the_columns_of_the_first_csv(make_options, write_csv, write_jsonl):
    first = write_csv("a.csv", [], header=("key", "time", "y", "x"))
    second = write_csv("b.csv", [], header=("x", "time", "y", "key"))
    other = write_jsonl("c.ndjson", [{}])
    options = inputs.check_inputs(make_options(other, first, second))
    assert options.columns.features == ("y", "x")
    assert [source.unit for source in inputs.list_sources(options)] == ["line"] * 3


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
        ValueError, match=r"must be one of \['\.csv', .*or name the form by `input_f"
    ):
        inputs.check_inputs(make_options(name))


def test_an_unknown_format_lists_the_forms(make_options):
    with pytest.raises(ValueError, match=r"`input_format` must be one of \['csv', .*got 'tsv'"):
        inputs.check_inputs(make_options(input_format="tsv"))


def test_a_file_is_named_once(make_options, write_csv):
    path = write_csv("x.csv", [])
    with pytest.raises(ValueError, match=r"`inputs` must name each file once, got '.*x\.csv'"):
        inputs.check_inputs(make_options(path, f"{path[:-5]}./x.csv"))


def test_a_glob_is_expanded_in_order(make_options, write_csv, tmp_path):
    paths = [write_csv(name, []) for name in ("b.csv", "a.csv", "[c].csv")]
    options = inputs.check_inputs(make_options(f"{tmp_path}/?.csv", paths[2]))
    assert options.inputs == (paths[1], paths[0], paths[2])


def test_a_glob_without_a_match_is_named(make_options, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"\*\.csv: must match at least one input file"):
        inputs.check_inputs(make_options(f"{tmp_path}/*.csv"))


def test_a_split_is_kept_from_the_directory(make_options, write_csv, tmp_path):
    (tmp_path / "fold1").mkdir()
    options = make_options(write_csv("fold1/x.csv", []), keep_splits=True)
    (source,) = inputs.list_sources(inputs.check_inputs(options))
    assert source.split == b"fold1"


def test_a_directory_whose_name_is_no_split_is_named(make_options, write_csv, tmp_path):
    (tmp_path / "1st").mkdir()
    options = make_options(write_csv("1st/x.csv", []), keep_splits=True)
    with pytest.raises(
        ValueError, match=r"x\.csv: its split, '1st', is none: a split must be named"
    ):
        inputs.list_sources(inputs.check_inputs(options))


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
    with pytest.raises(ValueError, match=r"b\.csv: the features must be those of .*a\.csv"):
        inputs.check_inputs(make_options(*paths))


def test_labels_do_not_go_with_npz(make_options):
    with pytest.raises(
        ValueError, match=r"x\.npz: `label` must be None with input of the form npz"
    ):
        inputs.check_inputs(make_options("x.npz", "y.csv", label="label"))


def test_feature_columns_need_a_csv(make_options):
    with pytest.raises(
        ValueError, match="`features` must be None without input whose features have"
    ):
        inputs.check_inputs(make_options("x.jsonl", features=("x",)))
