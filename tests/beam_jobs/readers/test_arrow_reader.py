"""Arrow and Feather: the file format, that of streams, all shapes of tables, damaged files."""

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs import Columns
from padless.beam_jobs.fragments import Source, UnreadableInputError
from padless.beam_jobs.readers import arrow_reader, parquet_reader
from padless.beam_jobs.readers.arrow_reader import FORM
from padless.beam_jobs.readers.inputs import check_input

RNG = np.random.default_rng(3)
KEYS = [f"k{i}" for i in range(30)]
LENGTHS = RNG.integers(1, 9, len(KEYS)).tolist()
VALUES = [RNG.normal(size=(length, 2)).astype(np.float32) for length in LENGTHS]
TABLES = {
    "nested": {"key": KEYS, "sequence": [values.tolist() for values in VALUES]},
    "lists": {
        "key": pa.array(KEYS).dictionary_encode(),
        "x": [values[:, 0].tolist() for values in VALUES],
        "y": [values[:, 1].tolist() for values in VALUES],
    },
    "long": {
        "note": ["not a feature"] * sum(LENGTHS),
        "key": np.repeat(KEYS, LENGTHS).tolist(),
        "time": np.concatenate([np.arange(n) for n in LENGTHS]).tolist(),
        "x": np.concatenate(VALUES)[:, 0].tolist(),
    },
}


def write_file(path, table, **options):
    with pa.ipc.new_file(path, table.schema, **options) as writer:
        writer.write_table(table, max_chunksize=7)


def write_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_legacy_stream(path, table):
    options = pa.ipc.IpcWriteOptions(use_legacy_format=True)
    with pa.ipc.new_stream(path, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS = {
    "file": write_file,
    "stream": write_stream,
    "legacy": write_legacy_stream,
    "lz4": lambda path, table: feather.write_feather(table, path, compression="lz4", chunksize=7),
}


def read(path, form=FORM, **columns):
    """Reads a file as a job does: looked at first, then read; each item as what can be compared."""
    columns = Columns(**columns)
    facts = check_input(path, form, columns)
    sources = [Source(0, path, "row", form.name, part) for part in facts.parts]
    items = [item for source in sources for item in form.read(source, columns)]
    return [(key, part.place.position, part.values.tolist(), part.times) for key, part in items]


def join(items):
    """Joins the rows of a key, as they are in as many parts as there are batches."""
    joined = {}
    for key, _, values, _ in items:
        joined.setdefault(key, []).extend(values)
    return joined


@pytest.mark.parametrize("batch_bytes", [1, 2**22])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("shape", TABLES)
def test_tables_are_read_as_those_of_parquet(tmp_path, monkeypatch, shape, writer, batch_bytes):
    monkeypatch.setattr(arrow_reader, "_BATCH_BYTES", batch_bytes)
    table = pa.table(TABLES[shape])
    WRITERS[writer](str(tmp_path / "x.arrow"), table)
    pq.write_table(table, tmp_path / "x.parquet")
    columns = {"drop": ("note",)} if shape == "long" else {}
    items = read(str(tmp_path / "x.arrow"), **columns)
    expected = read(str(tmp_path / "x.parquet"), parquet_reader.FORM, **columns)
    assert join(items) == join(expected)
    if shape != "long":
        assert [item[1] for item in items] == list(range(1, len(KEYS) + 1))


def test_columns_that_are_not_used_are_not_read_but_named(tmp_path):
    feather.write_feather(pa.table(TABLES["long"]), tmp_path / "x.feather")
    facts = check_input(str(tmp_path / "x.feather"), FORM, Columns(drop=("note",)))
    assert (facts.features, facts.unused) == (("x",), ("note",))


@pytest.mark.parametrize("writer", ["file", "stream"])
def test_every_cut_is_named(tmp_path, writer):
    path = tmp_path / "x.arrow"
    WRITERS[writer](str(path), pa.table(TABLES["nested"]))
    data = path.read_bytes()
    for length in range(1, len(data), 41):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"x\.arrow: must be an Arrow file"):
            read(str(path))


def test_a_stream_that_ends_after_a_batch_is_cut(tmp_path):
    path = tmp_path / "x.arrow"
    write_stream(str(path), pa.table(TABLES["nested"]))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UnreadableInputError, match=r"the mark of its end.* cut"):
        read(str(path))


def test_offsets_that_lead_out_of_a_batch_are_named(tmp_path):
    path = tmp_path / "x.arrow"
    write_file(str(path), pa.table({"key": ["a"], "sequence": [[[1.0]] * 77]}))
    data, right = path.read_bytes(), np.array([0, 77], np.int32).tobytes()
    wrong = np.array([0, 2**20], np.int32).tobytes()
    places = [i for i in range(len(data)) if data.startswith(right, i)]
    assert len(places) == 3  # the offsets, and two lengths of arrays
    for place in places:
        path.write_bytes(data[:place] + wrong + data[place + len(right) :])
        with pytest.raises(UnreadableInputError, match=r"x\.arrow: must be an Arrow file"):
            read(str(path))


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"FEA1" + bytes(40), "Feather of version 1"), (b"key,time,x\na,1,2\n", "Arrow file")],
)
def test_other_files_are_named(tmp_path, data, message):
    (tmp_path / "x.feather").write_bytes(data)
    with pytest.raises(ValueError, match=rf"x\.feather: must be .*{message}"):
        check_input(str(tmp_path / "x.feather"), FORM, Columns())
