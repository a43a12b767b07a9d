"""Tables with a row per sequence and a column per timestep, of text and of Parquet."""

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import Columns, Rules, TextFormat, open_raw, preprocess
from padless.beam_jobs.readers.inputs import check_inputs

NAN = float("nan")
SEQUENCES = {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0], "c": [6.0, NAN, 7.0]}
LABELS = {"a": "up", "b": "down", "c": "up"}
TIMES = ("t0", "t1", "t2", "t3")
UCR = "1\t-0.785\t1.32\tNaN\tNaN\n2\t-2.608\t0.089\t0.583\tNaN\n1\t0.5\tNaN\t1.5\t2\n"


def pad(values, missing):
    values = [missing if value != value else value for value in values]
    return [*values, *[missing] * (len(TIMES) - len(values))]


def write_csv(path):
    rows = [("key", "kind", *TIMES)]
    rows += [(key, LABELS[key], *pad(values, "")) for key, values in SEQUENCES.items()]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def as_table():
    columns = {"key": list(SEQUENCES), "kind": list(LABELS.values())}
    padded = [pad(values, None) for values in SEQUENCES.values()]
    columns |= dict(zip(TIMES, map(list, zip(*padded, strict=True)), strict=True))
    return pa.table(columns)


WRITERS = {
    "csv": write_csv,
    "parquet": lambda path: pq.write_table(as_table(), path),
    "feather": lambda path: feather.write_feather(as_table(), path),
}


@pytest.fixture(params=WRITERS)
def table(tmp_path, request):
    path = tmp_path / f"x.{request.param}"
    WRITERS[request.param](path)
    return str(path)


@pytest.fixture
def run(make_options, read_all, read_rejects):
    """Runs a job; returns its report, key -> (values, labels), and the rejects."""

    def run_job(*paths, header=True, **options):
        given = {"wide": True, "text": TextFormat(has_header=header)} | options
        options = make_options(*map(str, paths), **given)
        report = preprocess(options)
        directory = options.output.directory
        rejects = [(reject["key"], reject["reason"]) for reject in read_rejects(directory)]
        content = {
            key: (v[:, 0].tolist(), labels) for key, (v, labels) in read_all(directory).items()
        }
        return report, content, rejects

    return run_job


def test_a_row_is_a_sequence_and_missing_cells_at_its_end_are_padding(table, run):
    report, content, rejects = run(table, label="kind", missing="mask")
    assert content.keys() == {"a", "b", "c"}
    for key, (values, labels) in content.items():
        np.testing.assert_array_equal(values, SEQUENCES[key])
        assert labels == [LABELS[key]]
    assert not rejects
    assert (report.features, report.num_features) == (None, 1)
    assert report.mended["padding_timesteps"] == 4
    assert report.mended["masked_values"] == 1


def test_a_missing_cell_in_the_middle_is_a_gap(table, run):
    _, content, rejects = run(table, drop=("kind",))
    assert (content.keys(), rejects) == ({"a", "b"}, [("c", "missing_value")])


def test_columns_are_left_out_or_carried(table, make_options):
    options = make_options(table, wide=True, drop=("t3",), meta=("kind",))
    checked = check_inputs(options)
    assert (checked.columns.features, checked.unused) == (None, ("t3",))


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_a_table_of_the_ucr_archive(tmp_path, run, name):
    data = UCR.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    report, content, _ = run(tmp_path / name, header=False, label="1", missing="forward_fill")
    assert content.keys() == {"x/0", "x/1", "x/2"}
    assert content["x/0"] == (pytest.approx([-0.785, 1.32]), ["1"])
    assert content["x/2"] == ([0.5, 0.5, 1.5, 2], ["1"])
    assert report.mended["padding_timesteps"] == 3


def test_files_of_the_archive_are_its_splits(tmp_path, run):
    paths = [tmp_path / f"E_{split}.tsv" for split in ("TRAIN", "TEST")]
    for path in paths:
        path.write_text(UCR)
    report, content, _ = run(
        *paths, header=False, label="1", missing="forward_fill", keep_splits=True
    )
    assert {name: split.num_sequences for name, split in report.splits.items()} == {
        "train": 3,
        "test": 3,
    }
    assert {f"E_{split}/{row}" for split in ("TRAIN", "TEST") for row in range(3)} == content.keys()


def test_without_a_header_rows_may_be_of_any_length(tmp_path, run):
    (tmp_path / "x.csv").write_text("a,1,2\nb,1,2,3\nc,1\nd\n")
    _, content, rejects = run(tmp_path / "x.csv", header=False, key="1")
    assert content == {"a": ([1, 2], []), "b": ([1, 2, 3], []), "c": ([1], [])}
    assert rejects == [("d", "zero_timesteps")]


def test_with_a_header_a_row_has_as_many_cells(tmp_path, run):
    (tmp_path / "x.csv").write_text("key,0,1\na,1,2\nb,1\nc,1,2,3\n")
    _, content, rejects = run(tmp_path / "x.csv")
    assert (content, rejects) == ({"a": ([1, 2], [])}, [("b", "ragged_row"), ("c", "ragged_row")])


def test_rows_with_faults_are_rejected_with_their_keys(tmp_path, run):
    text = "key,kind,0,1\n,u,1,2\na,,1,2\nb,u,1,x\nc,u,1e39,1\nd,u,,\ne,u,1,2\n"
    (tmp_path / "x.csv").write_text(text)
    _, content, rejects = run(tmp_path / "x.csv", label="kind")
    assert content == {"e": ([1, 2], ["u"])}
    assert dict(rejects) == {
        **{None: "missing_key", "a": "missing_label", "b": "not_a_number"},
        **{"c": "infinite", "d": "only_padding"},
    }


def test_rows_of_parquet_with_faults_are_rejected_with_their_keys(tmp_path, run):
    columns = {"key": [None, "a", "b", "c", "d"], "kind": ["u", None, "u", "u", "u"]}
    columns |= {"0": [1.0, 1, 1e39, None, 1], "1": [1, 2, 3, None, None]}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    _, content, rejects = run(tmp_path / "x.parquet", label="kind")
    assert content == {"d": ([1], ["u"])}
    assert dict(rejects) == {
        **{None: "missing_key", "a": "missing_label", "b": "infinite", "c": "only_padding"}
    }


def test_rows_of_parquet_without_keys_are_numbered_over_all_parts(tmp_path, run, monkeypatch):
    monkeypatch.setattr("padless.beam_jobs.readers.parquet_reader._PART_BYTES", 1)
    table = pa.table({"0": np.arange(10.0), "1": np.arange(10.0)})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=3)
    _, content, _ = run(tmp_path / "x.parquet")
    assert content == {f"x/{row}": ([row, row], []) for row in range(10)}


def test_decimal_commas(tmp_path, run):
    (tmp_path / "x.csv").write_text("key;0;1\na;1,5;2\nb;-0,5;\n")
    _, content, _ = run(tmp_path / "x.csv", text=TextFormat(decimal=","))
    assert content == {"a": ([1.5, 2], []), "b": ([-0.5], [])}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "id"}, "must have a column 'id'"),
        ({"label": "knd"}, "must have a column 'knd'.* Did you mean 'kind'"),
        ({}, "numbers.*`drop`"),
        ({"drop": ("kind", *TIMES)}, "must have .*columns .*besides"),
        ({"drop": ("t9",)}, "must have the column 't9' of `drop`"),
    ],
)
def test_tables_that_cannot_be_wide_are_named(table, make_options, options, message):
    with pytest.raises(ValueError, match=message):
        check_inputs(make_options(table, wide=True, **options))


@pytest.mark.parametrize(
    ("part", "value"),
    [("time", "t"), ("sequence", "s"), ("length", "n"), ("features", ("x",))],
)
def test_parts_that_wide_tables_do_not_have_are_rejected(part, value):
    with pytest.raises(ValueError, match=f"`{part}` must be .* with `wide`"):
        Columns(wide=True, **{part: value})


def test_times_of_wide_tables_cannot_be_rejected(make_options):
    with pytest.raises(ValueError, match="`time_order` must be sort with `wide`"):
        make_options("x.csv", wide=True, time_order="reject")


def test_a_wide_table_may_have_a_timestep_called_as_a_time_is_elsewhere(tmp_path, run):
    (tmp_path / "x.csv").write_text("key,time\na,1\n")
    assert run(tmp_path / "x.csv")[1] == {"a": ([1], [])}


def test_a_model_reads_wide_tables_without_names_of_its_features(table):
    columns = Columns(wide=True, drop=("kind",))
    with open_raw(
        [table], columns=columns, feature_names=("x",), rules=Rules(missing="mask")
    ) as raw:
        assert raw.dataset.feature_names is None
        assert raw.dataset.splits["raw"].lengths == {1: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("first", ["1,0.5,0.6", "0.5,nan,0.6,0.1"])
def test_values_instead_of_a_header_are_named(tmp_path, make_options, first):
    (tmp_path / "x.csv").write_text(f"{first}\n2,0.1\n")
    with pytest.raises(ValueError, match=r"x\.csv: must have a header.* read by --no-header\.$"):
        preprocess(make_options(str(tmp_path / "x.csv"), wide=True))


@pytest.mark.parametrize("header", ["0,1,2", "0.0,0.5,1.0", "900,880,860", "0"])
def test_numbers_in_order_can_be_the_names_of_timesteps(tmp_path, run, header):
    values = [float(number) for number in range(header.count(",") + 1)]
    (tmp_path / "x.csv").write_text(f"{header}\n{','.join(map(str, values))}\n")
    _, content, _ = run(tmp_path / "x.csv")
    assert content == {"x/0": (values, [])}


def test_a_table_without_a_header_is_told_how_to_be_read(tmp_path, make_options):
    (tmp_path / "x.tsv").write_text(UCR)
    with pytest.raises(ValueError, match=r"--no-header.* --wide"):
        check_inputs(make_options(str(tmp_path / "x.tsv")))
