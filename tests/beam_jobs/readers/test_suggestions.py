"""A mistyped name of a column or field is answered by the one that was meant, in every form."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padless.beam_jobs.readers import inputs, suggestions
from padless.beam_jobs.readers.suggestions import is_missing
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names

HEADER = ("machine", "hour", "state", "fold", "person", "temperature")
MISTYPED = [
    ("key", "machin", "machine"),
    ("time", "Hour", "hour"),
    ("label", "sate", "state"),
    ("split", "folds", "fold"),
    ("group", "persons", "person"),
    ("features", ("temperatur",), "temperature"),
    ("drop", ("stat",), "state"),
]


@pytest.mark.parametrize(("name", "meant"), [("KEY", " Did you mean 'key'?"), ("x", "")])
def test_did_you_mean(name, meant):
    assert did_you_mean(name, ["key", "time"]) == meant


def test_what_is_missing_in_each_record_is_searched_for_once(monkeypatch):
    searched = []
    monkeypatch.setattr(
        suggestions, "did_you_mean", lambda name, names: searched.append((name, *names)) or ""
    )
    for fields in (["one", "two"], ["two", "one"], ["one", "two", "three"]):
        rule = is_missing("field", "searched once", fields)
        assert rule == f"must have the field 'searched once', it has {list_names(sorted(fields))}."
    assert searched == [("searched once", "one", "two"), ("searched once", "one", "three", "two")]


@pytest.mark.parametrize(("role", "name", "meant"), MISTYPED)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_mistyped_column_is_suggested(make_options, write_csv, tmp_path, form, role, name, meant):
    path = write_csv("x.csv", [], header=HEADER)
    if form == "parquet":
        path = str(tmp_path / "x.parquet")
        pq.write_table(
            pa.table({column: ["1"] for column in HEADER[:-1]} | {HEADER[-1]: [1]}), path
        )
    columns = {"key": "machine", "time": "hour", "features": ("temperature",)} | {role: name}
    columns |= {"hold_out": {"held": 0.1}} if role == "group" else {}
    mistyped = name if isinstance(name, str) else name[0]
    with pytest.raises(ValueError, match=f"{mistyped}.*{meant}") as caught:
        inputs.check_inputs(make_options(path, **columns))
    assert "it has 'machine', 'hour'," in str(caught.value)
    assert str(caught.value).endswith(f" Did you mean {meant!r}?")


@pytest.mark.parametrize(
    ("role", "name", "meant"),
    [("key", "keys", "key"), ("label", "lable", "label"), ("group", "lable", "label")],
)
@pytest.mark.parametrize("form", ["jsonl", "tfrecord"])
def test_a_mistyped_field_is_suggested(
    make_options, write_jsonl, tmp_path, form, role, name, meant
):
    path = write_jsonl("x.jsonl", [{"key": "a", "sequence": [[1]], "label": "x"}])
    if form == "tfrecord":
        path = str(tmp_path / "x.tfrecord")
        record = frame_record(encode_example(b"a", np.ones((1, 1), np.float32), b"x"))
        (tmp_path / "x.tfrecord").write_bytes(record)
    held_out = {"hold_out": {"held": 0.1}} if role == "group" else {}
    checked = inputs.check_inputs(make_options(path, **{role: name}, **held_out))
    ((item,),) = (inputs.read_source(source, checked.columns) for source in checked.sources)
    rejected = item if role == "key" else item[1]
    assert rejected.reason == f"missing_{role}"
    assert f"{name!r}, it has 'key', 'l" in rejected.rule
    assert rejected.rule.endswith(f" Did you mean {meant!r}?")
