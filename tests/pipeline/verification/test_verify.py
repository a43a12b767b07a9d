"""Every fault that can be made of a good dataset is reported, at its file and record."""

import json
import math
import shutil

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from padless.pipeline import verify_dataset
from padless.pipeline.dataset.checksums import encode_sealed
from padless.pipeline.dataset.example_proto import Example
from padless.pipeline.dataset.framing import frame_record, scan_records
from padless.pipeline.dataset.keys import draw_held_out, draw_split
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.names import PROVENANCE_FILE, REJECTS_FILE
from padless.pipeline.dataset.provenance import Draw
from padless.pipeline.dataset.records import encode_example
from padless.pipeline.verification import compare, duplicate_keys

LENGTHS = {"train": [3, 4, 5, 6, 7, 4], "test": [2, 4, 3, 5]}


@pytest.fixture(scope="module")
def original(make_dataset):
    return make_dataset(LENGTHS, num_shards=2).split("train").files[0].parent


@pytest.fixture
def data(original, tmp_path):
    """A good dataset of two splits in two shards each, to be damaged."""
    return shutil.copytree(original, tmp_path / "data")


def shard(data, split, number=0):
    return next(data.glob(f"*-{split}.tfrecord-0000{number}-*"))


def scan(path):
    with path.open("rb") as file:
        return list(scan_records(file))


def replace(path, position, data):
    """Replaces the data of a record; its CRCs are right."""
    records = [record.data for record in scan(path)]
    records[position] = data
    path.write_bytes(b"".join(map(frame_record, records)))


def flip(path, byte, mask=1):
    content = bytearray(path.read_bytes())
    content[byte] ^= mask
    path.write_bytes(content)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    is_sealed = path.name == PROVENANCE_FILE
    path.write_bytes(encode_sealed(content) if is_sealed else json.dumps(content).encode())


def set_made(data, **made):
    edit(data / PROVENANCE_FILE, lambda content: content.update(made=made))


def only_fault(data):
    report = verify_dataset(data)
    assert report.num_faults == len(report.faults) == 1, str(report)
    return report.faults[0]


def record_faults(data):
    return [fault for fault in verify_dataset(data).faults if fault.record is not None]


def test_good_dataset(data):
    report = verify_dataset(data)
    assert report.ok, str(report)
    assert [tuple(split)[:3] for split in report.splits] == [("train", 2, 6), ("test", 2, 4)]
    assert report.splits[0].num_bytes == sum(f.stat().st_size for f in data.glob("*-train.*"))
    assert {"CRC of each file", "counts", "lengths", "moments"} <= set(report.checked)
    assert "no seed and shares" in str(report)
    assert "no fault" in str(report)


def test_empty_shard_is_no_fault(make_dataset):
    dataset = make_dataset({"train": [3, 4], "test": [2]}, num_shards=2)
    assert verify_dataset(dataset.split("train").files[0].parent).ok


def test_labels_are_no_fault(make_dataset):
    dataset = make_dataset([3, 4], labels=["a", "b"])
    assert verify_dataset(dataset.split("train").files[0].parent).ok


def test_missing_directory(tmp_path):
    (tmp_path / "raw.csv").touch()
    with pytest.raises(NotADirectoryError, match=r"raw\.csv: must be a dataset directory, it is a"):
        verify_dataset(tmp_path / "raw.csv")
    with pytest.raises(FileNotFoundError, match="none: the dataset directory does not exist"):
        verify_dataset(tmp_path / "none")


@pytest.mark.parametrize(
    ("beyond", "rule"),
    [(5, "its size must take 12 bytes"), (30, "its data must take"), (-2, "its data must take")],
    ids=["in the size", "in the data", "in the CRC"],
)
def test_truncated_shard(data, beyond, rule):
    path = shard(data, "train")
    starts = [record.start for record in scan(path)]
    end = starts[1] + beyond if beyond > 0 else starts[2] + beyond
    path.write_bytes(path.read_bytes()[:end])
    (fault,) = record_faults(data)
    assert (fault.file, fault.record, fault.byte) == (path.name, 1, starts[1])
    assert fault.message.startswith(rule)
    assert "truncated" in fault.message


def test_shard_truncated_at_a_record(data):
    path = shard(data, "train")
    path.write_bytes(path.read_bytes()[: scan(path)[2].start])
    fault = only_fault(data)
    assert fault.file == path.name
    assert "must hold 3 records in" in fault.message
    assert "got 2 records in" in fault.message


def test_shard_truncated_at_a_record_where_only_counts_are_known(data):
    edit(data / PROVENANCE_FILE, lambda content: content.pop("shards"))
    path = shard(data, "test", 1)
    path.write_bytes(path.read_bytes()[: scan(path)[1].start])
    fault = only_fault(data)
    assert fault.file == path.name
    assert "must hold 2 intact records, as dataset_info.json counts, got 1" in fault.message


@pytest.mark.parametrize(
    ("byte", "part"),
    [(0, "size"), (9, "size"), (20, "data"), (-1, "data")],
    ids=["size", "CRC of the size", "data", "CRC of the data"],
)
def test_flipped_bit(data, byte, part):
    path = shard(data, "train")
    start, end = (record.start for record in scan(path)[1:3])
    flip(path, (start if byte >= 0 else end) + byte)
    (fault,) = record_faults(data)
    assert (fault.file, fault.record, fault.byte) == (path.name, 1, start)
    assert fault.message.startswith(f"its {part} must have the CRC")


def test_records_behind_a_damaged_size_are_counted(data):
    path = shard(data, "train")
    flip(path, scan(path)[1].start)
    lost = verify_dataset(data).faults[0]
    assert (lost.file, lost.record) == (path.name, None)
    assert "1 records after the damage cannot be read" in lost.message


def test_each_damaged_record_is_named(data):
    path = shard(data, "train")
    for record in scan(path)[:2]:
        flip(path, record.start + 20)
    assert [(fault.file, fault.record) for fault in record_faults(data)] == [
        (path.name, 0),
        (path.name, 1),
    ]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(choice=st.data())
def test_any_flipped_byte_is_reported(original, choice):
    path = choice.draw(st.sampled_from(sorted(original.glob("*.tfrecord-*"))))
    content = path.read_bytes()
    byte = choice.draw(st.integers(0, len(content) - 1))
    try:
        flip(path, byte, choice.draw(st.integers(1, 255)))
        damaged = [r for r in scan(path) if r.damage is not None]
        faults = verify_dataset(original).faults
    finally:
        path.write_bytes(content)
    assert {fault.file for fault in faults} == {path.name}
    assert {(r.position, r.start) for r in damaged} == {
        (fault.record, fault.byte) for fault in faults if fault.record is not None
    }


def test_missing_shard(data):
    path = shard(data, "test", 1)
    path.unlink()
    fault = only_fault(data)
    assert (fault.file, fault.record) == (path.name, None)
    assert "this shard of split 'test' must exist, it is missing" in fault.message


def test_shard_that_cannot_be_read(data):
    path = shard(data, "test", 1)
    path.unlink()
    path.mkdir()
    assert "must be readable" in only_fault(data).message


def test_shards_swapped_between_splits(data):
    paths = shard(data, "train"), shard(data, "test")
    first, second = (path.read_bytes() for path in paths)
    paths[0].write_bytes(second)
    paths[1].write_bytes(first)
    faults = {fault.file: fault.message for fault in verify_dataset(data).faults}
    assert faults.keys() == {path.name for path in paths}
    assert f"those are the bytes of {paths[1].name}" in faults[paths[0].name]
    assert f"those are the bytes of {paths[0].name}" in faults[paths[1].name]


def test_shards_swapped_between_splits_that_were_drawn(make_dataset, tmp_path):
    data = shutil.copytree(make_dataset([3]).split("train").files[0].parent, tmp_path / "data")
    set_made(data, seed=0, splits=[["test", 1.0]])
    fault = only_fault(data)
    assert (fault.file, fault.record) == (shard(data, "train").name, 0)
    assert "its key 'train/0' must be in the split that is drawn for it, 'test'" in fault.message


HOLD_OUT = [["held", 0.5]]


@pytest.mark.parametrize("splits", [None, [["train", 1.0]]], ids=["given", "drawn"])
@pytest.mark.parametrize("split", ["train", "held"])
def test_what_is_held_out_is_drawn_again(make_dataset, tmp_path, splits, split):
    source = make_dataset({split: [3] * 8}).split(split).files[0].parent
    data = shutil.copytree(source, tmp_path / "data")
    set_made(data, seed=0, splits=splits, hold_out=HOLD_OUT, hold_out_by=None)
    report = verify_dataset(data)
    assert "draw of the splits" in report.checked
    keys = [f"{split}/{i}".encode() for i in range(8)]
    wrong = [k for k in keys if (draw_held_out(k, 0, HOLD_OUT) or "train") != split]
    assert 0 < len(wrong) < 8
    faulty = [fault for fault in report.faults if "the split that is drawn for it" in fault.message]
    assert len(faulty) == report.num_faults == len(wrong)


def test_other_splits_than_what_is_held_out_are_left_alone():
    draw = Draw(0, None, in_pieces=False, hold_out=(("held", 0.5),))
    assert {draw.split_of(b"%d" % i, "test") for i in range(20)} == {"test"}
    assert {draw.split_of(b"%d" % i, "train") for i in range(20)} == {"train", "held"}


def test_what_is_held_out_by_a_column_is_not_checked(make_dataset, tmp_path):
    source = make_dataset({"train": [3], "held": [3]}).split("train").files[0].parent
    data = shutil.copytree(source, tmp_path / "data")
    by_person = {"hold_out": HOLD_OUT, "hold_out_by": "person"}
    set_made(data, seed=0, splits=[["train", 1.0]], **by_person)
    report = verify_dataset(data)
    assert report.ok
    assert "draw of the splits" in report.checked
    (reason,) = (reason for reason in report.not_checked if "held out" in reason)
    assert reason.startswith("draw of what is held out, as it is by the column 'person'")
    set_made(data, seed=0, splits=[["test", 1.0]], **by_person)
    assert verify_dataset(data).num_faults == 2


def test_shard_of_another_number_of_features(data, make_dataset):
    path = shard(data, "train")
    other = make_dataset([3, 5, 7], num_features=3).split("train").files[0]
    path.write_bytes(other.read_bytes())
    faults = verify_dataset(data).faults
    assert {fault.file for fault in faults} == {path.name}
    assert {fault.record for fault in faults} == {None, 0, 1, 2}
    assert "`length` 3 times 2 features = 6 values, got 9" in faults[1].message


def test_stray_shard(data):
    name = shard(data, "train").name.replace("00000-of-00002", "00002-of-00003")
    (data / name).write_bytes(b"")
    assert only_fault(data).file == name


def example(**features):
    message = Example()
    for name, values in features.items():
        kinds = {bytes: "bytes_list", int: "int64_list", float: "float_list"}
        feature = message.features.feature[name]
        getattr(feature, kinds[type(values[0])]).value.extend(values)
    return message.SerializeToString()


GOOD = {"key": [b"new"], "length": [1], "sequence": [0.5, 1.5]}


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        (b"\xff\xff", "its data must be a tf.train.Example"),
        (b"", "`key` must be one string, got none"),
        (example(**GOOD | {"sequence": [0.5, math.nan]}), "got nan in timestep 0, feature 1"),
        (example(**GOOD | {"sequence": [-math.inf, 1.0]}), "got -inf in timestep 0, feature 0"),
        (example(**GOOD | {"sequence": [1, 2]}), "must be a list of floats, got 2 of int64"),
        (example(**GOOD | {"length": [2]}), "`length` 2 times 2 features = 4 values, got 2"),
        (example(**GOOD | {"length": [0]}), "`length` must be at least 1, got 0"),
        (example(**GOOD | {"length": [-(2**63)]}), "`length` must be at least 1, got -9"),
        (example(**GOOD | {"length": [1, 1]}), "`length` must be one int64, got 2 of int64"),
        (example(**GOOD | {"length": [1.0]}), "`length` must be one int64, got 1 of float32"),
        (example(**GOOD | {"key": [b"a", b"b"]}), "`key` must be one string, got 2 of bytes"),
        (example(**GOOD | {"key": [7]}), "`key` must be one string, got 1 of int64"),
        (example(**GOOD | {"key": [b""]}), "`key` must not be empty"),
        (example(**GOOD | {"key": [b"\xff"]}), r"`key` must be UTF-8, got b'\xff'"),
        (example(**GOOD | {"label": [b"x"]}), "`label` must not be there, as features.json"),
    ],
)
def test_record_that_breaks_its_contract(data, record, rule):
    path = shard(data, "test")
    replace(path, 1, record)
    faults = record_faults(data)
    assert {(fault.file, fault.record) for fault in faults} == {(path.name, 1)}
    assert rule in faults[0].message


def test_record_without_its_label(make_dataset, tmp_path):
    folder = make_dataset([3, 4], labels=["a", "b"]).split("train").files[0].parent
    data = shutil.copytree(folder, tmp_path / "data")
    replace(shard(data, "train"), 1, encode_example(b"k", np.ones((4, 2))))
    (fault,) = record_faults(data)
    assert fault.record == 1
    assert fault.message == "`label` must be one string, got none."


def test_key_that_another_record_has(data):
    path = shard(data, "test", 1)
    replace(path, 1, encode_example(b"train/2", np.ones((3, 2))))
    (fault,) = record_faults(data)
    assert (fault.file, fault.record, fault.byte) == (path.name, 1, scan(path)[1].start)
    place = f"record 1 at byte {scan(shard(data, 'train'))[1].start} of {shard(data, 'train').name}"
    assert f"its key must be its own, 'train/2' is also that of {place}" in fault.message


def index_of(files):
    keys = duplicate_keys.KeyIndex()
    for file, names in files.items():
        keys.begin_file(file)
        for position, name in enumerate(names):
            keys.add(name.encode(), position, 10 * position)
    return keys


def test_key_index_names_the_first_of_many():
    keys = index_of({"a": "xyx", "b": "", "c": "zxz"})
    assert set(keys.find_duplicates()) == {
        (("a", 2, 20), ("a", 0, 0)),
        (("c", 1, 10), ("a", 0, 0)),
        (("c", 2, 20), ("c", 0, 0)),
    }


def test_key_index_blames_suspects():
    keys = index_of({"a": "xy", "b": "zx", "c": "x"})
    assert list(keys.find_duplicates(suspects={"a", "b"})) == [
        (("a", 0, 0), ("c", 0, 0)),
        (("b", 1, 10), ("c", 0, 0)),
    ]


def test_key_index_without_a_key():
    assert list(index_of({"a": "", "b": ""}).find_duplicates()) == []
    assert list(index_of({}).find_duplicates()) == []


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        (
            "lengths.json",
            lambda c: c["train"].update({"4": 1, "9": 2}),
            "as they are, got 1 of length 4 where there are 2, 2 of length 9 where there are 0.",
        ),
        ("lengths.json", lambda c: c.pop("test"), "the split 'test' must be described"),
        ("lengths.json", lambda c: c.update(x={}), "the split 'x' must be one that dataset_info"),
        (
            "statistics.json",
            lambda c: c["splits"]["train"]["mean"].__setitem__(1, 0.25),
            "the split 'train' must have the mean",
        ),
        (
            "statistics.json",
            lambda c: c["splits"]["test"]["variance"].__setitem__(
                0, c["splits"]["test"]["variance"][0] * (1 + 1e-8)
            ),
            "of feature 0, got",
        ),
        (
            "statistics.json",
            lambda c: c["splits"]["test"]["maximum"].__setitem__(0, math.nan),
            "must have the maximum",
        ),
        (
            "statistics.json",
            lambda c: c["splits"]["train"].update(timesteps=30),
            "the split 'train' must have 29 timesteps, got 30.",
        ),
        ("statistics.json", lambda c: c["splits"].pop("train"), "'train' must be described"),
        (
            "dataset_info.json",
            lambda c: c["splits"][0]["shardLengths"].__setitem__(1, "4"),
            "must be counted with the 3 records that were written to it, got 4",
        ),
        (
            "dataset_info.json",
            lambda c: c["splits"][1].update(numBytes="12"),
            "bytes of its shards, got 12",
        ),
        (PROVENANCE_FILE, lambda c: c["shards"].popitem(), "must be described, it is missing"),
        (PROVENANCE_FILE, lambda c: c["shards"].update(x=c["shards"].popitem()[1]), "'x' must be"),
        (PROVENANCE_FILE, lambda c: c.update(format_version=2), "the format version is 2, not 1"),
    ],
)
def test_edited_metadata(data, file, change, rule):
    edit(data / file, change)
    faults = verify_dataset(data).faults
    assert {fault.file for fault in faults} == {file}
    assert any(rule in fault.message for fault in faults)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b'{"train": 3}', b"{}"])
@pytest.mark.parametrize(
    "file",
    ["dataset_info.json", "features.json", "lengths.json", "statistics.json", PROVENANCE_FILE],
)
def test_unreadable_metadata(data, file, content):
    (data / file).unlink()
    if content is not None:
        (data / file).write_bytes(content)
    assert {fault.file for fault in verify_dataset(data).faults} == {file}


@pytest.mark.parametrize("num_flips", [100, pytest.param(2_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "file",
    ["dataset_info.json", "features.json", "lengths.json", "statistics.json", PROVENANCE_FILE],
)
def test_every_bit_of_the_metadata_counts(data, file, num_flips):
    path = data / file
    before = path.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(before), size=num_flips).tolist():
        flip(path, bit // 8, 1 << bit % 8)
        faults = verify_dataset(data).faults
        assert file in {fault.file for fault in faults}, (bit, path.read_bytes())
        path.write_bytes(before)


@pytest.mark.slow
def test_500_flips_over_all_files_are_found(data):
    rng = np.random.default_rng(1)
    files = [path for path in data.rglob("*") if path.is_file()]
    sizes = np.array([path.stat().st_size for path in files])
    for place in rng.integers(sizes.sum(), size=500).tolist():
        number = int(np.searchsorted(sizes.cumsum(), place, side="right"))
        byte, mask = place - int(sizes[:number].sum()), 1 << int(rng.integers(8))
        flip(files[number], byte, mask)
        assert files[number].name in verify_dataset(data).fault_counts
        flip(files[number], byte, mask)
    assert verify_dataset(data).ok


def test_a_file_that_the_provenance_names_anywhere_is_not_read(data):
    other = {"bytes": 0, "crc32c": "00000000"}
    edit(data / PROVENANCE_FILE, lambda c: c["files"].update({"/dev/zero": other}))
    assert "a file must be one of dataset_info.json, " in only_fault(data).message


@pytest.mark.parametrize("name", ["../data", "a/b", "a-b", "1a", ""])
def test_names_that_lead_elsewhere_are_faults(data, name):
    edit(data / "dataset_info.json", lambda content: content.update(name=name))
    assert f"begin with a letter, got {name!r}" in only_fault(data).message


def test_the_form_of_the_provenance_counts(data):
    path = data / PROVENANCE_FILE
    path.write_bytes(path.read_bytes().replace(b"  ", b"\t "))
    assert "in the form that padless writes" in only_fault(data).message


def test_without_checksums_the_metadata_are_not_checked(data):
    edit(data / PROVENANCE_FILE, lambda content: content.pop("files"))
    report = verify_dataset(data)
    assert report.ok
    assert "CRC of the metadata, as provenance.json records none" in report.not_checked


def test_a_dataset_that_cannot_be_opened_is_at_fault(data, monkeypatch):
    def fail(directory):
        raise ValueError(f"{directory}/lengths.json: no.")

    monkeypatch.setattr("padless.pipeline.verification.verify.open_dataset", fail)
    assert str(only_fault(data)) == "lengths.json: no."


def test_counts_are_not_blamed_for_a_damaged_shard(data):
    flip(shard(data, "train"), 20)
    report = verify_dataset(data)
    assert set(report.fault_counts) == {shard(data, "train").name}
    assert "lengths and moments of train, as its shards are at fault" in report.not_checked


def test_rejects_and_accepted_are_counted(data):
    counts = {
        "read": 13,
        "accepted": 10,
        "rejected": {"bad_time": 2, "not_finite": 1},
        "mended": {},
    }
    set_made(data, splits=None, report=counts)
    path = data / REJECTS_FILE
    assert only_fault(data).message == "the file must exist, it is missing."
    path.parent.mkdir()
    path.write_text('{"reason": "bad_time"}\n{"reason": "not_finite"}\n')
    assert "must hold 2 rejects with the reason 'bad_time'" in only_fault(data).message
    path.write_text('{"reason": "bad_time"}\nnot_finite\n')
    assert "line 2 must be a JSON object with a `reason`" in only_fault(data).message
    path.write_text('{"reason": "bad_time"}\n' * 2 + '{"reason": "not_finite"}\n')
    report = verify_dataset(data)
    assert report.ok, str(report)
    assert report.not_checked == ()


def test_numbers_of_the_report_must_add_up(data):
    set_made(data, report={"read": 12, "accepted": 10, "rejected": {}, "mended": {"pieces": 1}})
    (data / REJECTS_FILE).parent.mkdir()
    (data / REJECTS_FILE).write_bytes(b"")
    fault = only_fault(data)
    assert fault.file == PROVENANCE_FILE
    assert "must be the 13 that were read or made by splitting, got 10 and 0" in fault.message


def test_number_accepted_is_compared(data):
    set_made(data, report={"read": 9, "accepted": 9, "rejected": {}, "mended": {}})
    (data / REJECTS_FILE).parent.mkdir()
    (data / REJECTS_FILE).write_bytes(b"")
    fault = only_fault(data)
    assert fault.file == PROVENANCE_FILE
    assert "accepted must be the 10 of the shards, got 9" in fault.message


@pytest.mark.parametrize("key", [b"run", b"a\nb", b"x[1:2", b"\xff"])
def test_pieces_go_where_the_whole_goes(key):
    splits = (("train", 0.5), ("test", 0.5))
    in_pieces = Draw(3, splits, in_pieces=True)
    whole = Draw(3, splits, in_pieces=False)
    pieces = [key + b"[%d:%d]" % (10 * i, 10 * i + 10) for i in range(20)]
    assert {in_pieces.split_of(piece) for piece in pieces} == {draw_split(key, 3, splits)}
    assert {whole.split_of(piece) for piece in pieces} == {"train", "test"}


@pytest.mark.parametrize("level", [0.0, 0.1, 1e7, -1e-30, 1e30])
def test_another_order_of_sums_is_no_difference(level):
    rng = np.random.default_rng(0)
    deviations = rng.normal(size=(5000, 3)) * [0, 1e-3, 1]
    values = np.float32(level + abs(level or 1) * deviations)
    parts = [Moments.of(part) for part in np.array_split(values, 77)]
    written = Moments.from_json(merge_moments(reversed(parts)).to_json())
    assert compare.compare_moments(written, Moments.of(values)) == []


def test_faults_are_named_up_to_a_limit_and_all_counted(data, make_dataset):
    path = shard(data, "train")
    other = make_dataset([2] * 40, num_features=3).split("train").files[0]
    path.write_bytes(other.read_bytes())
    shard(data, "test").unlink()
    report = verify_dataset(data)
    assert report.num_faults == 45
    assert len(report.faults) == 7
    assert "45 faults in 2 files" in str(report)
    assert f"{path.name}: and 38 more" in str(report)
    assert "and 44 more in other files" in report.describe(max_faults=1)
    assert len(verify_dataset(data, faults_per_file=None).faults) == 45


def test_progress_ends_at_all(data, monkeypatch):
    monkeypatch.setattr("padless.pipeline.verification.meter.MEBIBYTE", 100)
    seen = []
    verify_dataset(data, progress=lambda progress: seen.append((progress.done, progress.total)))
    assert len(seen) > 4
    assert seen == sorted(set(seen))
    assert seen[-1][0] == seen[-1][1]
