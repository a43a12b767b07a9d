"""Each trap of TFRecords: found where it is, with its numbers, and nowhere else."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from padless.pipeline import diagnose_records

LENGTHS = [3, 9, 4, 12, 3, 5, 8, 3, 4, 7] * 2


def feature(values):
    if isinstance(values, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[values]))
    if isinstance(values, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[values]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))


def example(**parts):
    features = {name: feature(value) for name, value in parts.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def draw(length, seed):
    return np.float32(np.random.default_rng(seed).normal(size=(length, 2)) + 5)


def complete(lengths=LENGTHS):
    """The parts of records that have all a reader needs."""
    return [
        {"key": b"k%d" % i, "length": length, "values": draw(length, i)}
        for i, length in enumerate(lengths)
    ]


def without(name, records=None):
    return [{n: v for n, v in parts.items() if n != name} for parts in records or complete()]


def edited(number, **parts):
    records = complete()
    records[number] |= parts
    return records


def padded():
    records = without("length")
    for parts in records:
        parts["values"] = np.pad(parts["values"], ((0, 15 - len(parts["values"])), (0, 0)))
    return records


def zeroed():
    values = draw(9, 1)
    values[4] = 0
    return edited(1, values=values)


@pytest.fixture
def write(tmp_path):
    """Writes records, dicts of features or serialized, into a file; gives its path."""

    def write_file(records, name="a.tfrecord", compression=""):
        path = tmp_path / name
        with tf.io.TFRecordWriter(str(path), compression) as writer:
            for record in records:
                writer.write(record if isinstance(record, bytes) else example(**record))
        return path

    return write_file


# name of the trap -> records that have it; complete ones have none
TRAPS = {
    "no_length": lambda: without("length"),
    "wrong_length": lambda: edited(3, length=11),
    "padded_records": padded,
    "masked_values": zeroed,
    "missing_features": lambda: [*complete(), *without("key", complete()[:1])],
    "repeated_keys": lambda: edited(3, key=b"k0"),
    "repeated_sequences": lambda: edited(4, values=draw(3, 0)),
    "empty_sequences": lambda: edited(3, length=0, values=np.zeros((0, 2))),
    "not_finite": lambda: edited(3, values=np.full((12, 2), np.nan)),
    "no_key": lambda: without("key"),
    "sorted_by_length": lambda: complete(sorted(LENGTHS)),
}
NOTES = {"masked_values", "no_key", "sorted_by_length", "compressed"}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_found_where_it_is(write, name):
    diagnosis = diagnose_records([write(TRAPS[name]())])
    found = {finding.name: finding.is_trap for finding in diagnosis.findings}
    assert found[name] == (name not in NOTES)
    assert diagnosis.ok == (name in NOTES)
    lines = [line for line in str(diagnosis).splitlines() if not line.startswith(" " * 8)]
    assert max(map(len, lines)) <= 80


def test_complete_records_have_no_trap(write):
    diagnosis = diagnose_records([write(complete())])
    assert diagnosis.ok
    assert diagnosis.findings == ()
    assert diagnosis.not_told == {}
    assert diagnosis.not_found == (*TRAPS, "compressed")
    numbers = dict(diagnosis.numbers)
    assert (numbers["timesteps_real"], numbers["values_per_timestep"]) == (sum(LENGTHS), 2)
    assert "sequence: values, length: length, key: key" in diagnosis.description


def test_records_of_padless_have_no_trap(make_dataset):
    dataset = make_dataset(LENGTHS)
    assert diagnose_records(dataset.split("train").files).findings == ()


def test_what_batches_would_cost(write):
    outlook = diagnose_records([write(complete([2, 2, 2, 4]))], batch_size=2).outlook
    assert outlook[1].endswith(" 1.60")
    assert outlook[2].endswith(" 1.20")  # one pair is padded to 4, the other one to 2: 8 + 4
    assert outlook[3].endswith(" 1.00  and 2 of 4 sequences lost")
    assert outlook[4].endswith(" 1.00")


def test_padded_timesteps_are_counted(write):
    (finding,) = (
        finding
        for finding in diagnose_records([write(padded())]).findings
        if finding.name == "padded_records"
    )
    values = 15 * 2 * len(LENGTHS)
    assert finding.numbers["all"] == values
    assert finding.numbers["looks_padded"] == values - 2 * sum(LENGTHS)


def test_names_that_are_given_are_used(write):
    records = [
        {"who": parts["key"], "n": parts["length"], "x": parts["values"], "y": draw(20, 0)}
        for parts in complete()
    ]
    path = write(records)
    diagnosis = diagnose_records([path], sequence="x", length="n", key="who")
    assert diagnosis.findings == ()
    assert "sequence: x, length: n, key: none" in diagnose_records([path]).description
    fixed = diagnose_records([path], sequence="y", length="n", key="who")
    assert [finding.name for finding in fixed.findings] == ["wrong_length", "repeated_sequences"]


def test_an_integer_that_divides_the_values_is_the_length(write):
    records = [
        {"n": parts["length"], "x": parts["values"], "key": parts["key"]} for parts in complete()
    ]
    assert "sequence: x, length: n, key: key" in diagnose_records([write(records)]).description


def test_sequence_examples_carry_their_length(write):
    def encode(number, length):
        steps = tf.train.FeatureList(feature=[feature(step) for step in draw(length, number)])
        return tf.train.SequenceExample(
            context=tf.train.Features(feature={"key": feature(b"k%d" % number)}),
            feature_lists=tf.train.FeatureLists(feature_list={"values": steps}),
        ).SerializeToString()

    diagnosis = diagnose_records([write([encode(i, n) for i, n in enumerate(LENGTHS)])])
    assert diagnosis.ok
    assert diagnosis.numbers["timesteps_real"] == sum(LENGTHS)


@pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
def test_compressed_files_are_read_and_noted(write, compression):
    diagnosis = diagnose_records([write(complete(), compression=compression)])
    (finding,) = diagnosis.findings
    assert (finding.name, finding.is_trap) == ("compressed", False)
    assert f'compression_type="{compression}"' in finding.code[0]


def test_a_mix_of_compressed_and_other_files_is_a_trap(write, tmp_path):
    write(complete()[:10])
    write(complete()[10:], "b.tfrecord", "GZIP")
    (finding,) = diagnose_records([str(tmp_path / "*.tfrecord")]).findings
    assert (finding.name, finding.is_trap) == ("compressed", True)


def test_a_file_that_two_patterns_match_is_read_once(write, tmp_path):
    path = write(complete())
    assert diagnose_records([path, str(tmp_path / "*")]).findings == ()


def test_tensorflow_is_not_imported(write):
    code = (
        "import sys; from padless.pipeline import diagnose_records;"
        "print(diagnose_records(sys.argv[1:]).ok, 'tensorflow' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, write(complete())]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == ("True False\n", "")


def damaged(path):
    path.write_bytes(path.read_bytes()[:-3])
    return path


@pytest.mark.parametrize(
    ("prepare", "options", "error", "message"),
    [
        (lambda write, folder: folder / "*.rec", {}, FileNotFoundError, "it matches none"),
        (lambda write, folder: folder, {}, IsADirectoryError, r"such as .*/\*\.tfrecord\*"),
        (lambda write, folder: write([]), {}, ValueError, "must hold at least one record"),
        (
            lambda write, folder: write([b"\xff" * 9]),
            {},
            ValueError,
            "record 0: must be a",
        ),
        (lambda write, folder: write([b""]), {}, ValueError, "record 0: .* it has no feature"),
        (
            lambda write, folder: damaged(write(complete())),
            {},
            ValueError,
            "record 19: .* the file is truncated",
        ),
        (
            lambda write, folder: damaged(write(complete(), compression="GZIP")),
            {},
            ValueError,
            "the compressed file is damaged",
        ),
        (
            lambda write, folder: damaged(write(complete(), compression="ZLIB")),
            {},
            ValueError,
            "the compressed file is damaged: it ends before",
        ),
        (
            lambda write, folder: write(complete()),
            {"sequence": "value"},
            ValueError,
            r"`sequence` must be a feature of the records, .*'value'. Did you mean 'values'\?",
        ),
        (
            lambda write, folder: write(complete()),
            {"sequence": "key"},
            ValueError,
            "`sequence` must hold numbers, 'key' holds bytes",
        ),
        (
            lambda write, folder: write(complete()),
            {"batch_size": 0},
            ValueError,
            "at least 1, got 0",
        ),
    ],
)
def test_bad_files_are_answered(write, tmp_path, prepare, options, error, message):
    path = prepare(write, tmp_path)
    with pytest.raises(error, match=f"(?s){message}"):
        diagnose_records([str(path)], **options)


def test_what_is_no_tfrecord_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("key,time,x\n1,2,3\n")
    with pytest.raises(ValueError, match=r"a\.csv: must be TFRecords, its first 12 bytes are no"):
        diagnose_records([path])
