"""Any bytes as a file: items, or an error that names the file, and never anything else."""

import gzip
import io
import json
import warnings
import zipfile

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns, Output, PreprocessOptions, Rules
from padless.beam_jobs.assemble import Assembler
from padless.beam_jobs.fragments import Reject, Sequence, UnreadableInputError
from padless.beam_jobs.inputs import check_inputs, list_sources, read_source

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


def read(path, data, columns):
    """Reads a file of those bytes; gives its items, or None where it is refused."""
    path.write_bytes(data)
    message, items = str(path), None
    try:
        options = check_inputs(PreprocessOptions([path], Output("out"), columns=columns))
    except ValueError as error:
        message = str(error)
    else:
        items = []
        try:
            for source in list_sources(options):
                items.extend(read_source(source, options.columns))
        except UnreadableInputError as error:
            message = str(error)
    assert message.startswith(str(path))
    return items


def check_items(items):
    """Assembles whatever was read: each key has results, and what is accepted is what it should."""
    fragments = {}
    for item in items:
        if isinstance(item, Reject):
            assert item.to_json().isascii()
        else:
            fragments.setdefault(item[0], []).append(item[1])
    assembler = Assembler(Rules(), 0, [("train", 1.0)])
    for key, parts in fragments.items():
        assert key
        results, tally = assembler.assemble(key, parts)
        assert len(results) == tally["read"] >= 1
        for result in results:
            if isinstance(result, Sequence):
                assert result.values.dtype == np.float32
                assert np.isfinite(result.values).all()
                assert min(result.values.shape) > 0
            else:
                assert json.loads(result.to_json())["message"]


def damage(data):
    """Damages bytes: cuts them, changes some, adds some."""
    return st.one_of(
        st.integers(0, len(data)).map(lambda i: data[:i]),
        st.binary(max_size=20).map(lambda more: data + more),
        st.lists(
            st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), min_size=1, max_size=4
        ).map(lambda changes: _change(data, changes)),
    )


def _change(data, changes):
    data = bytearray(data)
    for place, value in changes:
        data[place] = value
    return bytes(data)


def save_archive(compression):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, array in {"a": np.ones((3, 2)), "é": np.zeros((1, 2), np.float32)}.items():
            data = io.BytesIO()
            np.save(data, array)
            archive.writestr(f"{name}.npy", data.getvalue())
    return file.getvalue()


def save_header(header):
    """Saves one array under a header of any text."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = header.encode("latin-1", "replace") + b"\n"
        archive.writestr(
            "a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(32)
        )
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


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_as_csv(folder, data):
    check_items(read(folder / "x.csv", data, COLUMNS) or [])


@hypothesis.given(
    st.lists(st.lists(CSV_CELLS, min_size=1, max_size=6), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)
def test_any_cells_as_csv(folder, rows, end, headed):
    header = [["key", "time", "label", "split", "x", "y"]] * headed
    text = end.join(map(",".join, header + rows))
    check_items(read(folder / "x.csv", text.encode(), COLUMNS) or [])


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_as_json_lines(folder, data):
    check_items(read(folder / "x.jsonl", data, COLUMNS) or [])


@hypothesis.given(st.lists(JSON_VALUES | RECORDS, min_size=1, max_size=4))
def test_any_json_as_json_lines(folder, records):
    data = "\n".join(map(json.dumps, records)).encode()
    items = read(folder / "x.jsonl", data, COLUMNS)
    assert len(items) == len(records)
    check_items(items)


@hypothesis.given(st.binary(max_size=200))
def test_any_bytes_as_npz(folder, data):
    check_items(read(folder / "x.npz", data, Columns()) or [])


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


@hypothesis.given(
    st.sampled_from(["csv", "jsonl"]),
    st.sampled_from(["key,time,label,split,x\na,1,up,train,2\n" * 3, '{"key": 1}\n' * 9])
    .map(str.encode)
    .map(lambda text: gzip.compress(text, mtime=0))
    .flatmap(damage),
)
def test_any_damage_to_gzip(folder, form, data):
    check_items(read(folder / f"x.{form}.gz", data, COLUMNS) or [])
