"""Any bytes as a file: items, or an error that names the file, and never anything else."""

import gzip
import io
import json
import warnings
import zipfile

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.assembly.rounding import Rounding
from padless.beam_jobs.fragments import Reject, Sequence, UnreadableInputError
from padless.beam_jobs.readers.inputs import check_inputs, read_source
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

COLUMNS = Columns(label="label", split="split")
CSV_CELLS = st.sampled_from(
    [
        *("key", "time", "label", "split", "x", "a", "1", "-2.5", "1e39", "nan", "", '"', '""'),
        *('"a\n"', "2024-01-01", "all", "\ufeff", "\0", "\r", "é", "9" * 400, "1_0", "train", " "),
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)
RECORDS = st.dictionaries(
    st.sampled_from(["key", "time", "sequence", "label", "split"]),
    JSON_VALUES | st.sampled_from(["a", "train", [[1, 2], [3, 4]], [1, 2], [[None, 1e40]]]),
)
VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def save_parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def save_arrow(opener, **columns):
    file, table = io.BytesIO(), pa.table(columns)
    with opener(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def save_npz():
    file = io.BytesIO()
    np.savez_compressed(file, a=VALUES, b=VALUES[:1])
    return file.getvalue()


def save_npy(order="C", dtype="<f4"):
    file = io.BytesIO()
    np.save(file, np.arange(12).reshape(2, 3, 2).astype(dtype, order=order))
    return file.getvalue()


CSV = b'key,time,x,y\na,1,1,2\r\n"b,\n",2,,nan\na,2024-01-01,1e9,-3\n'
TS = b"#c\n@problemName p\n@timeStamps false\n@classLabel true a b\n@data\n1,2,?:3,4,5:a\n1:2:b\n"
SAMPLES = {
    "x.csv": CSV,
    "y.csv.gz": gzip.compress(CSV, mtime=0),
    "x.jsonl": json.dumps({"key": 5, "sequence": VALUES.tolist(), "time": [1, 2, 3]}).encode(),
    "x.npz": save_npz(),
    "x.npy": save_npy(),
    "columns.npy": save_npy("F", ">f8"),
    "x.ts": TS,
    "x.tfrecord": frame_record(encode_example(b"a", VALUES)),
    "whole.parquet": save_parquet(key=["a", None], sequence=[VALUES.tolist(), [[1.0, None]]]),
    "whole.arrow": save_arrow(
        pa.ipc.new_file, key=["a", None], sequence=[VALUES.tolist(), [[1.0, None]]]
    ),
    "long.arrow": save_arrow(pa.ipc.new_stream, key=["a", "a"], time=[1, 2], x=[1.0, None]),
    "long.parquet": save_parquet(key=["a", "a", "b"], time=[1, 2, 1], x=[1.0, None, 3.0]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


def read(path, data, columns):
    """Reads a file of those bytes; gives its items, or None where it is rejected."""
    path.write_bytes(data)
    message, items = str(path), None
    try:
        inputs = check_inputs(PreprocessOptions([path], Output("out"), columns=columns))
    except ValueError as error:
        message = str(error)
    else:
        items = []
        try:
            for source in inputs.sources:
                items.extend(read_source(source, inputs.columns))
        except UnreadableInputError as error:
            message = str(error)
    assert message.startswith(str(path))
    return items


def check_items(items):
    """Assembles whatever was read: each key has results, and what is accepted is what it should."""
    fragments = {}
    for item in items:
        if isinstance(item, Reject):
            assert item.message
            assert item.to_json().isascii()
        else:
            key, fragment = Rounding(None).round(item)
            fragments.setdefault(key, []).append(fragment)
    for rules in (Rules(), Rules(missing="drop_timestep")):
        assembler = Assembler(rules, 0, [("train", 1.0)])
        for key, parts in fragments.items():
            assert key
            check_results(*assembler.assemble(key, list(parts)))


def check_results(results, tally):
    assert len(results) == tally["read"] >= 1
    for result in results:
        if isinstance(result, Sequence):
            assert result.values.dtype == np.float32
            assert np.isfinite(result.values).all()
            assert min(result.values.shape) > 0
        else:
            assert json.loads(result.to_json())["message"]


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "change", "take", "cut"]), st.integers(0, 9999), st.integers(0, 255)
    ),
    min_size=1,
    max_size=6,
)


def damage(data):
    """Damages bytes: cuts them, adds some, or puts in, changes and takes out a few."""
    return st.one_of(
        st.integers(0, len(data)).map(lambda i: data[:i]),
        st.binary(max_size=20).map(lambda more: data + more),
        EDITS.map(lambda edits: _edit(data, edits)),
    )


def _edit(data, edits):
    data = bytearray(data)
    for kind, where, byte in edits:
        place = where % (len(data) + 1)
        if kind == "cut":
            del data[place:]
        else:
            data[place : place + (kind != "put")] = b"" if kind == "take" else bytes([byte])
    return bytes(data)


def save_archive(compression):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in {"a": np.ones((3, 2)), "é": np.zeros((1, 2), np.float32)}.items():
            data = io.BytesIO()
            np.save(data, array)
            archive.writestr(f"{name}.npy", data.getvalue())
    return file.getvalue()


def save_array(header):
    """Saves an array under a header of any text."""
    text = header.encode("latin-1", "replace") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(32)


def save_header(header):
    """Saves an archive of one array under a header of any text."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", save_array(header))
    return file.getvalue()


COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ARCHIVES = [save_archive(compression) for compression in COMPRESSIONS]
HEADERS = st.sampled_from(
    [
        *("{", "}", "'descr'", "'shape'", "'fortran_order'", ":", ",", "(", ")", "'<f4'", "False"),
        *("1", "-1", "[", "]", "'O'", "'<f4", "()", "(2, 2)", "{}", "9" * 30, "\\", "\0", "None"),
    ]
)
HEADER = (
    st.lists(HEADERS, max_size=12).map("".join)
    | st.tuples(HEADERS, HEADERS, HEADERS).map(
        lambda parts: "{{'descr': {}, 'fortran_order': {}, 'shape': {}}}".format(*parts)
    )
    | st.tuples(st.sampled_from(["'<f4'", "'<f8'", "'>i2'"]), st.integers(-2, 2**70)).map(
        lambda parts: "{{'descr': {}, 'fortran_order': False, 'shape': ({}, 2)}}".format(*parts)
    )
)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read(folder, name):
    items = read(folder / name, SAMPLES[name], Columns())
    assert items
    check_items(items)


@pytest.mark.parametrize(
    ("name", "columns"),
    [*((name, Columns()) for name in SAMPLES), ("x.csv", COLUMNS), ("x.jsonl", COLUMNS)],
)
@hypothesis.given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@hypothesis.settings(deadline=None)
def test_any_bytes_are_read_or_named(folder, name, columns, data):
    check_items(read(folder / name, data, columns) or [])


@pytest.mark.parametrize("name", SAMPLES)
@hypothesis.given(data=st.data())
@hypothesis.settings(deadline=None)
def test_a_damaged_file_is_read_or_named(folder, name, data):
    damaged = data.draw(damage(SAMPLES[name]))
    check_items(read(folder / name, damaged, Columns()) or [])


@hypothesis.given(
    st.lists(st.lists(CSV_CELLS, min_size=1, max_size=6), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_any_cells_as_csv(folder, rows, end, headed):
    header = [["key", "time", "label", "split", "x", "y"]] * headed
    text = end.join(map(",".join, header + rows))
    check_items(read(folder / "x.csv", text.encode(), COLUMNS) or [])


@hypothesis.given(st.lists(JSON_VALUES | RECORDS, min_size=1, max_size=4))
def test_any_json_as_json_lines(folder, records):
    data = "\n".join(map(json.dumps, records)).encode()
    items = read(folder / "x.jsonl", data, COLUMNS)
    assert len(items) == len(records)
    check_items(items)


@hypothesis.settings(max_examples=300)
@hypothesis.given(st.sampled_from(ARCHIVES).flatmap(damage))
def test_any_damage_to_npz(folder, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as of a name that stands twice
        check_items(read(folder / "x.npz", data, Columns()) or [])


@hypothesis.settings(max_examples=300)
@hypothesis.given(HEADER)
def test_any_header_of_an_array(folder, header):
    items = read(folder / "x.npz", save_header(header), Columns())
    assert len(items) == 1
    check_items(items)


@hypothesis.settings(max_examples=300)
@hypothesis.given(HEADER)
def test_any_header_of_the_array_of_a_file(folder, header):
    check_items(read(folder / "x.npy", save_array(header), Columns()) or [])


@hypothesis.given(
    st.sampled_from(["csv", "jsonl"]),
    st.sampled_from(["key,time,label,split,x\na,1,up,train,2\n" * 3, '{"key": 1}\n' * 9])
    .map(str.encode)
    .map(lambda text: gzip.compress(text, mtime=0))
    .flatmap(damage),
)
def test_any_damage_to_gzip(folder, form, data):
    check_items(read(folder / f"x.{form}.gz", data, COLUMNS) or [])
