"""What is refused before the job starts, and what the columns of several files must share."""

import pytest

from padless.beam_jobs import inputs


def test_check_inputs_takes_the_columns_of_the_first_csv(make_options, write_csv, write_jsonl):
    first = write_csv("a.csv", [], header=("key", "time", "y", "x"))
    second = write_csv("b.csv", [], header=("x", "time", "y", "key"))
    other = write_jsonl("c.ndjson", [{}])
    options = inputs.check_inputs(make_options(other, first, second))
    assert options.feature_columns == ("y", "x")
    assert [source.unit for source in inputs.list_sources(options)] == ["line"] * 3


@pytest.mark.parametrize("name", ["x.CSV", "x.csv"])
def test_input_form_ignores_case(name):
    assert inputs.input_form(name) == "csv"


def test_open_text_drops_a_byte_order_mark(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfkey\xff\r\n")
    with inputs.open_text(str(tmp_path / "x.csv"), newline="") as lines:
        assert list(lines) == ["key\udcff\r\n"]


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "x"])
def test_an_unknown_form_lists_the_forms(make_options, name):
    with pytest.raises(ValueError, match=r"must be one of \['.csv', '.jsonl', '.ndjson', '.npz'\]"):
        inputs.check_inputs(make_options(name))


def test_json_is_told_of_json_lines(make_options):
    with pytest.raises(ValueError, match=r"got '\.json'; one JSON object per line\? rename it to"):
        inputs.check_inputs(make_options("x.json"))


def test_a_missing_file_is_named(make_options):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: the input file does not exist"):
        inputs.check_inputs(make_options("nowhere.csv"))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.npz"])
def test_an_empty_file_is_refused(make_options, tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"{name}: the input must not be empty, it has 0 bytes"):
        inputs.check_inputs(make_options(str(tmp_path / name)))


@pytest.mark.parametrize("name", ["x.csv", "x"])
def test_a_directory_is_refused(make_options, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name}: the input must be a file, it is a directory"):
        inputs.check_inputs(make_options(str(tmp_path / name)))


def test_a_damaged_zip_is_refused(make_options, write_npz, tmp_path):
    path = write_npz("x.npz", {"a": [[1.0]]})
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"x\.npz: must be an npz file"):
        inputs.check_inputs(make_options(path))


def test_csv_files_must_share_their_features(make_options, write_csv):
    paths = write_csv("a.csv", []), write_csv("b.csv", [], header=("key", "time", "x", "z"))
    with pytest.raises(ValueError, match=r"b\.csv: the feature columns must be those of .*a\.csv"):
        inputs.check_inputs(make_options(*paths))


def test_labels_do_not_go_with_npz(make_options):
    with pytest.raises(ValueError, match="`label_column` must be None with an npz input"):
        inputs.check_inputs(make_options("x.npz", "y.csv", label_column="label"))


def test_feature_columns_need_a_csv(make_options):
    with pytest.raises(ValueError, match="`feature_columns` must be None without a CSV input"):
        inputs.check_inputs(make_options("x.jsonl", feature_columns=("x",)))
