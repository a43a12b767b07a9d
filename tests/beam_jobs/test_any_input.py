"""Whatever stands in a file, a job ends in counted rejects or in one named error, never a crash."""

import gzip
import io
import json

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from padless.beam_jobs import Columns, PreprocessOptions, Rules
from padless.beam_jobs.assemble import Assembler
from padless.beam_jobs.fragments import Reject, UnreadableInputError
from padless.beam_jobs.inputs import check_inputs, list_sources, read_source
from padless.pipeline.records import encode_example, frame_record

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez_compressed(file, a=VALUES, b=VALUES[:1])
    return file.getvalue()


CSV = b'key,time,x,y\na,1,1,2\r\n"b,\n",2,,nan\na,2024-01-01,1e9,-3\n'
TS = b"#c\n@problemName p\n@timeStamps false\n@classLabel true a b\n@data\n1,2,?:3,4,5:a\n1:2:b\n"
SAMPLES = {
    "x.csv": CSV,
    "y.csv.gz": gzip.compress(CSV, mtime=0),
    "x.jsonl": json.dumps({"key": 5, "sequence": VALUES.tolist(), "time": [1, 2, 3]}).encode(),
    "x.npz": npz(),
    "x.ts": TS,
    "x.tfrecord": frame_record(encode_example(b"a", VALUES)),
    "whole.parquet": parquet(key=["a", None], sequence=[VALUES.tolist(), [[1.0, None]]]),
    "long.parquet": parquet(key=["a", "a", "b"], time=[1, 2, 1], x=[1.0, None, 3.0]),
}


def damage(data, edits):
    """Applies (kind, where, byte) edits: puts in, changes or takes out a byte, cuts off the end."""
    data = bytearray(data)
    for kind, where, byte in edits:
        place = where % (len(data) + 1)
        if kind == "cut":
            del data[place:]
        else:
            data[place : place + (kind != "put")] = b"" if kind == "take" else bytes([byte])
    return bytes(data)


def read_all(path):
    """Reads and assembles a file as the job does; gives the number of units and of results."""
    options = check_inputs(PreprocessOptions((path,), "out", columns=Columns()))
    fragments, rejects = {}, 0
    for source in list_sources(options):
        for item in read_source(source, options.columns):
            if isinstance(item, Reject):
                rejects += 1
                assert item.message
            else:
                fragments.setdefault(item[0], []).append(item[1])
    assembler = Assembler(Rules(missing="drop_timestep"), 0, [("train", 1.0)])
    for key, parts in fragments.items():
        results, tally = assembler.assemble(key, parts)
        assert len(results) == tally["read"]
        for result in results:
            assert isinstance(result, Reject) or np.isfinite(result.values).all()
    return rejects + len(fragments)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_samples_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(SAMPLES[name])
    assert read_all(str(tmp_path / name)) > 0


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["put", "change", "take", "cut"]), st.integers(0, 9999), st.integers(0, 255)
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", SAMPLES)
@hypothesis.given(edits=EDITS)
@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_a_damaged_file_is_read_or_named(tmp_path, name, edits):
    check_read_or_named(tmp_path / name, damage(SAMPLES[name], edits))


@pytest.mark.parametrize("name", SAMPLES)
@hypothesis.given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
@hypothesis.settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_any_bytes_are_read_or_named(tmp_path, name, data):
    check_read_or_named(tmp_path / name, data)


def check_read_or_named(path, data):
    path.write_bytes(data)
    error = str(path)
    try:
        read_all(str(path))
    except (ValueError, UnreadableInputError) as caught:
        error = str(caught)
    assert error.startswith(str(path))
