"""Metadata: what is written is what TFDS would write, and only that is read again."""

import collections
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from padless.pipeline import open_dataset, verify_dataset
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.json_content import load_json
from padless.pipeline.dataset.metadata import (
    ShardSummary,
    encode_metadata,
    parse_lengths,
    parse_statistics,
)
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.names import shard_name
from padless.pipeline.dataset.provenance import (
    Counts,
    Draw,
    Made,
    ShardInfo,
    is_provenance,
    parse_provenance,
)
from padless.pipeline.dataset.tfds_files import parse_features, parse_info

NUM_SHARDS = {"train": 3, "empty": 1, "test": 1}
MADE = Made(
    padless="1.2.3",
    seed=5,
    splits=(("train", 0.75), ("empty", 0.0), ("test", 0.25)),
    hold_out=(("held", 0.1),),
    hold_out_by="person",
    order="hash",
    rules={"too_long": "split", "max_length": 9},
    report=Counts(read=4, accepted=5, rejected={"bad_time": 1}, mended={"pieces": 3}),
)


def summarize(split, shard, *lengths):
    return ShardSummary(
        split=split,
        shard=shard,
        num_bytes=100 * len(lengths) + shard,
        lengths=collections.Counter(lengths),
        moments=Moments.of(np.arange(2.0 * sum(lengths)).reshape(-1, 2)),
        crc32c=0x0ABCDEF0 + shard,
    )


# The second shard of `train` has no record, and neither has `empty`.
SHARDS = [summarize("test", 0, 4), summarize("train", 2, 9, 3), summarize("train", 0, 5, 3)]


def write(directory, *, has_label=False, meta=(), static=(), made=MADE):
    directory.mkdir()
    encoded = encode_metadata(
        SHARDS,
        name="data",
        num_shards=NUM_SHARDS,
        contract=RecordContract(2, has_label, meta_columns=meta, static_columns=static),
        feature_names=["x", "y"],
        made=made,
    )
    for file, data in encoded.items():
        (directory / file).write_bytes(data)
    return directory


def read(directory, file, parse):
    return load_json((directory / file).read_bytes(), parse)


def write_by_tfds(directory, *, has_label, meta):
    """Writes the two files of TFDS by TFDS, which needs the shards' files."""
    import tensorflow_datasets as tfds

    directory.mkdir()
    records = {"train": [2, 0, 2], "empty": [0], "test": [1]}
    num_bytes = {"train": 402, "empty": 0, "test": 100}
    for split, count in NUM_SHARDS.items():
        for shard in range(count):
            (directory / shard_name("data", split, shard, count)).touch()
    template = {"data_dir": directory, "dataset_name": "data", "filetype_suffix": "tfrecord"}
    text = tfds.features.Text()
    features = {
        "key": text,
        "length": np.int64,
        "sequence": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
    }
    if has_label:
        features["label"] = text
    if meta:
        features["meta"] = dict.fromkeys(meta, text)
    tfds.folder_dataset.write_metadata(
        data_dir=directory,
        features=tfds.features.FeaturesDict(features),
        split_infos=[
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=records[split],
                num_bytes=num_bytes[split],
                filename_template=tfds.core.ShardedFileTemplate(split=split, **template),
            )
            for split in NUM_SHARDS
        ],
        description="Variable-length sequences, written by padless.",
        check_data=False,
    )
    return directory


@pytest.mark.parametrize("meta", [(), ("site", "a b")])
@pytest.mark.parametrize("has_label", [False, True])
def test_files_of_tfds_are_those_that_tfds_writes(tmp_path, has_label, meta):
    ours = write(tmp_path / "ours", has_label=has_label, meta=meta)
    theirs = write_by_tfds(tmp_path / "theirs", has_label=has_label, meta=meta)
    for file in ("dataset_info.json", "features.json"):
        assert (ours / file).read_bytes() == (theirs / file).read_bytes()


@pytest.mark.parametrize("meta", [(), ("a b", "site")])
@pytest.mark.parametrize("has_label", [False, True])
def test_what_is_written_is_read_again(tmp_path, has_label, meta):
    folder = write(tmp_path / "data", has_label=has_label, meta=meta, static=meta[:1])
    contract = RecordContract(2, has_label, meta_columns=meta)
    assert read(folder, "features.json", parse_features) == contract
    info = read(folder, "dataset_info.json", parse_info)
    assert (info.name, list(info.splits)) == ("data", list(NUM_SHARDS))
    assert list(info.splits["train"].shards.values()) == [2, 0, 2]
    assert info.splits["train"].num_bytes == 402
    assert info.splits["empty"] == ({"data-empty.tfrecord-00000-of-00001": 0}, 0)
    lengths = read(folder, "lengths.json", parse_lengths)
    assert lengths == {"train": {3: 2, 5: 1, 9: 1}, "empty": {}, "test": {4: 1}}
    statistics = read(folder, "statistics.json", parse_statistics)
    assert statistics.feature_names == ("x", "y")
    assert statistics.static_columns == meta[:1]
    assert {split: m.timesteps for split, m in statistics.moments.items()} == {
        "train": 20,
        "test": 4,
    }


def test_provenance_is_read_again(tmp_path):
    provenance = read(write(tmp_path / "data"), "provenance.json", parse_provenance)
    held_out = {"hold_out": MADE.hold_out, "hold_out_by": "person"}
    assert provenance.draw == Draw(5, MADE.splits, in_pieces=True, **held_out)
    assert provenance.counts == MADE.report
    assert not provenance.splits_were_given
    name = "data-train.tfrecord-00002-of-00003"
    assert provenance.shards[name] == ShardInfo(2, 202, 0x0ABCDEF2)
    assert len(provenance.shards) == 3


@pytest.mark.parametrize("name", ["read", "mended"])
def test_count_that_is_missing_is_named(tmp_path, name):
    folder = write(tmp_path / "data")
    edit(folder / "provenance.json", lambda c: c["made"]["report"].pop(name))
    with pytest.raises(ValueError, match=rf"`made\.report\.{name}` must be there, it is missing"):
        read(folder, "provenance.json", parse_provenance)


def test_provenance_of_no_job_holds_only_shards(tmp_path):
    provenance = read(write(tmp_path / "data", made=None), "provenance.json", parse_provenance)
    assert (provenance.draw, provenance.counts, provenance.splits_were_given) == (None, None, False)
    assert len(provenance.shards) == 3


@pytest.mark.parametrize(
    ("counts", "lost"),
    [
        (Counts(5, 3, {"a": 1, "b": 1}, {}), 0),
        (Counts(5, 3, {"a": 1}, {}), 1),
        (Counts(5, 6, {}, {}), -1),
        (Counts(5, 6, {"a": 1}, {"split_sequences": 2, "pieces": 4}), 0),
    ],
)
def test_lost_sequences_are_counted(counts, lost):
    assert counts.num_lost == lost


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (b'{"format_version": 7, "made": {}}', True),
        (b'{"format_version": 7}', False),
        (b"{}", False),
        (b"[]", False),
        (b"\xff", False),
        (b"[" * 100_000, False),
    ],
    ids=["of another version", "of another tool", "empty", "list", "no text", "deep"],
)
def test_provenance_is_recognized(data, is_one):
    assert is_provenance(data) is is_one


@pytest.fixture(scope="module")
def labelled(make_dataset):
    return make_dataset([3, 4, 4], labels=["a", "b", "c"]).split("train").files[0].parent


@pytest.fixture
def data(labelled, tmp_path):
    return shutil.copytree(labelled, tmp_path / "data")


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def features_of(content):
    return content["featuresDict"]["features"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (
            lambda c: features_of(c)["label"].update(pythonClassName="evil_payload.X"),
            r"`featuresDict\.features\.label\.pythonClassName` must be '.*\.Text', got 'evil_p",
        ),
        (
            lambda c: features_of(c).update(sequence={"pythonClassName": "evil_payload.X"}),
            r"`featuresDict\.features\.sequence\.pythonClassName` must be '.*\.Tensor', got 'evil_",
        ),
        (
            lambda c: c.update(pythonClassName="evil_payload.X"),
            r"`pythonClassName` must be '.*FeaturesDict', got 'evil_payload\.X'",
        ),
        (
            lambda c: c.update(pythonClassName="evil_payload.X", jsonFeature=c.pop("featuresDict")),
            r"`pythonClassName` must be '.*FeaturesDict', got 'evil_payload\.X'",
        ),
        (
            lambda c: features_of(c).update(more={"pythonClassName": "evil_payload.X"}),
            r"`featuresDict\.features\.more` must not be there, got \{'pythonClassName': 'evil_pay",
        ),
        (
            lambda c: c.update(type="evil_payload.X", content={}),
            r"`content` must not be there, got",
        ),
        (lambda c: features_of(c).pop("key"), r"`featuresDict\.features\.key` must be there"),
        (
            lambda c: features_of(c)["sequence"]["tensor"].update(dtype="float64"),
            r"`featuresDict\.features\.sequence\.tensor\.dtype` must be 'float32', got 'float64'",
        ),
        (
            lambda c: features_of(c)["sequence"]["tensor"]["shape"].update(dimensions=["-1", "0"]),
            r"`sequence` must have at least 1 feature, got 0",
        ),
        (
            lambda c: features_of(c)["sequence"]["tensor"]["shape"].update(dimensions=["3", "2"]),
            r"`featuresDict\.features\.sequence\.tensor\.shape\.dimensions` must be \['-1', '2'\]",
        ),
        (
            lambda c: features_of(c)["sequence"]["tensor"]["shape"].update(dimensions=["-1", "x"]),
            r"`.*\.shape\.dimensions` must be \['-1', '<number of features>'\], got \['-1', 'x'\]",
        ),
    ],
)
def test_features_of_another_hand_are_rejected_and_not_imported(data, monkeypatch, change, rule):
    (data.parent / "evil_payload.py").write_text("raise SystemExit('It was imported.')")
    monkeypatch.syspath_prepend(data.parent)
    edit(data / "features.json", change)
    with pytest.raises(ValueError, match=rf"features\.json: the file must be .* wrote it: {rule}"):
        open_dataset(data)
    (fault,) = verify_dataset(data).faults
    assert fault.file == "features.json"
    assert "evil_payload" not in sys.modules


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        ("dataset_info.json", lambda c: c.update(fileFormat="riegeli"), "`fileFormat` must be"),
        ("dataset_info.json", lambda c: c["splits"][0].update(name=3), "must be a string, got 3"),
        (
            "dataset_info.json",
            lambda c: c["splits"][0].update(filepathTemplate="{SPLIT}"),
            r"`splits\[0\]\.filepathTemplate` must be '\{DATASET\}-.*', got '\{SPLIT\}'",
        ),
        (
            "dataset_info.json",
            lambda c: c["splits"][0].update(shardLengths=[" 3", *["0"] * 90]),
            r"`splits\[0\]\.shardLengths` must be \['3', .{,250}\.\.\., got \[' 3', .{,250}\.\.\.",
        ),
        ("statistics.json", lambda c: c.update(feature_names=0), "must be a list or null, got 0"),
        ("statistics.json", lambda c: c.update(feature_names=["x"]), "as many names, got 1"),
        ("statistics.json", lambda c: c.update(feature_names=["x", 2]), "must be a string, got 2"),
        ("lengths.json", lambda c: c["train"].update({"4": {"a": 1}}), "TypeError"),
        ("lengths.json", lambda c: c["train"].update({"x": 1}), "invalid literal"),
        ("lengths.json", lambda c: c.update(test={}), "the splits must be those of dataset_info"),
    ],
)
def test_metadata_of_another_hand_are_rejected(data, file, change, rule):
    edit(data / file, change)
    with pytest.raises(ValueError, match=rf"(?s)/{file}: .*{rule}"):
        open_dataset(data)
    assert set(verify_dataset(data).fault_counts) == {file}


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(description="Spoken vowels."),
        lambda c: c.pop("description"),
        lambda c: c.update(citation="@book{}", moduleName="vowels", configName="small"),
        lambda c: c["splits"][0].update(statistics={}),
    ],
)
def test_information_that_padless_does_not_use_may_be_another(data, change):
    edit(data / "dataset_info.json", change)
    assert open_dataset(data).split("train").num_sequences == 3
    (fault,) = verify_dataset(data).faults  # other bytes than were written, and nothing worse
    assert fault.file == "dataset_info.json"
    assert re.match("the file must hold [0-9]+ bytes with the CRC", fault.message)


def test_nested_without_end_is_rejected(data):
    (data / "lengths.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"lengths\.json: the file must hold JSON"):
        open_dataset(data)
    assert set(verify_dataset(data).fault_counts) == {"lengths.json"}


def test_opening_imports_neither_tfds_nor_tensorflow(data):
    code = (
        "import sys; from padless.pipeline import open_dataset, verify_dataset;"
        "open_dataset(sys.argv[1]); assert verify_dataset(sys.argv[1]).ok;"
        "print(*sys.modules.keys() & {'tensorflow', 'tensorflow_datasets'})"
    )
    command = [sys.executable, "-c", code, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("\n", "")
