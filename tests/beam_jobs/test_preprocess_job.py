"""The whole job, through real files and the real runner."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs import preprocess
from padless.pipeline.directory import open_dataset
from padless.pipeline.records import read_records


def read_split(split):
    """Reads a split with TensorFlow's own protocol buffers: key -> (values, label)."""
    content = {}
    for file in split.files:
        for record in read_records(file):
            feature = tf.train.Example.FromString(record).features.feature
            (length,) = feature["length"].int64_list.value
            values = np.array(feature["sequence"].float_list.value, np.float32)
            content[feature["key"].bytes_list.value[0].decode()] = (
                values.reshape(length, -1),
                [value.decode() for value in feature["label"].bytes_list.value],
            )
    return content


def read_all(directory):
    splits = map(read_split, open_dataset(directory).splits.values())
    return {key: value for split in splits for key, value in split.items()}


def digest(directory):
    directory = pathlib.Path(directory)
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def read_rejects(directory):
    path = pathlib.Path(directory) / "rejects" / "rejects-00000-of-00001.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_nothing_left(tmp_path):
    assert not [name for name in os.listdir(tmp_path) if name.startswith("out")]


def test_every_form_gives_the_same_sequences(
    make_options, write_csv, write_jsonl, write_npz, sequences, long_rows
):
    paths = [
        write_csv("x.csv", long_rows),
        write_jsonl("x.jsonl", [{"key": k, "sequence": s.tolist()} for k, s in sequences.items()]),
        write_npz("x.npz", sequences),
    ]
    for number, path in enumerate(paths):
        options = make_options(path)
        report = preprocess(options)
        content = read_all(options.output)
        assert report.accepted == report.read == len(content) == len(sequences)
        for key, sequence in sequences.items():
            np.testing.assert_array_equal(content[key][0], sequence)
        os.rename(options.output, f"{options.output}{number}")


def test_the_metadata_say_what_the_shards_hold(make_options, write_csv, sequences, long_rows):
    options = make_options(write_csv("x.csv", long_rows), shard_bytes=700)
    report = preprocess(options)
    dataset = open_dataset(options.output)
    assert dataset.name == "out"
    assert dataset.feature_names == ("x", "y")
    assert list(dataset.splits) == list(report.splits) == ["train", "validation", "test"]
    assert len(dataset.splits["train"].files) > 1
    for name, split in dataset.splits.items():
        lengths = [len(values) for values, _ in read_split(split).values()]
        assert split.lengths == {n: lengths.count(n) for n in sorted(set(lengths))}
        assert report.splits[name] == (len(lengths), min(lengths), max(lengths))
    values = np.concatenate([v for v, _ in read_split(dataset.splits["train"]).values()])
    np.testing.assert_allclose(dataset.moments.mean, values.mean(0, np.float64), rtol=1e-9)
    np.testing.assert_allclose(dataset.moments.variance, values.var(0, np.float64), rtol=1e-9)


def test_labels_are_kept(make_options, write_csv, write_jsonl):
    rows = [("a", 2, 1, 1, "up"), ("a", 1, 0, 0, "up")]
    paths = (
        write_csv("x.csv", rows, header=("key", "time", "x", "y", "label")),
        write_jsonl("x.jsonl", [{"key": 5, "sequence": [[1, 2]], "label": 7}]),
    )
    options = make_options(*paths, label_column="label", splits={"train": 1})
    preprocess(options)
    content = read_all(options.output)
    assert {key: label for key, (_, label) in content.items()} == {"a": ["up"], "5": ["7"]}
    assert content["a"][0].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("key", ["../../etc/x", "/abs", 'a"\n,b', "é" * 10_000, "all", " "])
def test_a_key_is_data(make_options, write_csv, tmp_path, key):
    options = make_options(write_csv("x.csv", [(key, 1, 1, 1)]), splits={"only": 1})
    preprocess(options)
    assert list(read_all(options.output)) == [key]
    assert sorted(os.listdir(tmp_path)) == ["out", "x.csv"]


def test_the_same_bytes_whatever_the_workers_and_retries(make_options, write_csv, long_rows):
    rows = [*long_rows, ("bad", 1, "?", 1), ("", 1, 1, 1), ("run/3", 0, 1, 1), ("z", 1, "nan", 1)]
    paths = write_csv("a.csv", rows[::2]), write_csv("b.csv", rows[1::2])
    options = make_options(*paths, shard_bytes=500)
    contents = []
    for number, flags in enumerate(
        (
            [],
            ["--direct_runner_bundle_repeat=1"],
            ["--direct_num_workers=3", "--direct_running_mode=multi_threading"],
            ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
        )
    ):
        report = preprocess(options, PipelineOptions(flags))
        assert report.rejected == dict.fromkeys(
            ("duplicate_time", "missing_key", "not_a_number", "not_finite"), 1
        )
        contents.append(digest(options.output))
        os.rename(options.output, f"{options.output}{number}")
    assert contents[1:] == contents[:1] * 3


def test_rejects_are_counted_and_named(make_options, write_csv, write_jsonl, write_npz):
    rows = [("a", 1, 1, 1), ("b", 1, 1, "foo"), ("b", 2, 1, 1), ("", 1, 1, 1), ("c", 1, 1, 1)]
    paths = (
        write_csv("x.csv", rows),
        write_jsonl("x.jsonl", [{"key": "c", "sequence": [[1, 2]]}, {"key": "d", "sequence": []}]),
        write_npz("x.npz", {"e": np.ones((2, 3)), "f": np.ones((2, 2))}),
    )
    options = make_options(*paths, splits={"train": 1})
    report = preprocess(options)
    assert (report.read, report.accepted) == (8, 2)
    assert sorted(read_all(options.output)) == ["a", "f"]
    assert [
        (r["reason"], os.path.basename(r["file"]), r.get("line", r.get("array")), r["key"])
        for r in read_rejects(options.output)
    ] == [
        ("not_a_number", "x.csv", 3, "b"),
        ("missing_key", "x.csv", 5, None),
        ("duplicate_key", "x.csv", 6, "c"),
        ("duplicate_key", "x.jsonl", 1, "c"),
        ("zero_timesteps", "x.jsonl", 2, "d"),
        ("wrong_num_features", "x.npz", 1, "e"),
    ]
    assert report.rejected == {
        "duplicate_key": 2,
        "missing_key": 1,
        "not_a_number": 1,
        "wrong_num_features": 1,
        "zero_timesteps": 1,
    }
    assert report.examples[0].endswith(
        "x.csv, line 3, key 'b': column 'y' must hold a number, got 'foo'."
    )


def test_the_order_of_the_input_is_kept(make_options, write_npz):
    names = [f"{i * 7919 % 101}" for i in range(60)]
    paths = [
        write_npz(f"{part}.npz", {name: np.ones((1, 1)) for name in names[part::2]})
        for part in (0, 1)
    ]
    options = make_options(*paths, splits={"new": 1}, order="input", shard_bytes=1)
    preprocess(options)
    assert list(read_split(open_dataset(options.output).split("new"))) == names[0::2] + names[1::2]


def test_an_empty_split_is_left_out_and_reported(make_options, write_npz):
    options = make_options(write_npz("x.npz", {"a": np.ones((1, 1))}))
    report = preprocess(options)
    assert list(report.splits) == list(open_dataset(options.output).splits) == ["train"]
    assert report.empty_splits == ("validation", "test")


def test_nothing_accepted_writes_nothing(make_options, write_csv, tmp_path):
    options = make_options(write_csv("x.csv", [("a", 1, "?", 1), ("b", "?", 1, 1)]))
    with pytest.raises(ValueError, match=r"(?s)No sequence was accepted.*bad_time 1.*line 2, key"):
        preprocess(options)
    assert_nothing_left(tmp_path)


def test_an_unreadable_file_fails_with_its_message_alone(make_options, write_csv, tmp_path):
    path = write_csv("x.csv", [("a", 1, 1, 1)])
    with open(path, "a") as file:
        file.write('"b,1,1,1\n')
    with pytest.raises(ValueError, match=r"^\S*x\.csv, the row that begins at line 3 must be CSV"):
        preprocess(make_options(path))
    assert_nothing_left(tmp_path)


def test_an_unreadable_array_fails_with_its_message_alone(make_options, write_npz, tmp_path):
    path = write_npz("x.npz", {"a": np.full((9, 9), 7.0)})
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[300] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"^\S*x\.npz, array 1 \('a\.npy'\) must be readable"):
        preprocess(make_options(path))
    assert_nothing_left(tmp_path)


def test_a_crash_leaves_nothing(make_options, write_csv, tmp_path, monkeypatch):
    def crash(*args, **kwargs):
        raise OSError("No space left on device.")

    monkeypatch.setattr("padless.beam_jobs.preprocess_job.write_metadata", crash)
    with pytest.raises(OSError, match="No space left"):
        preprocess(make_options(write_csv("x.csv", [("a", 1, 1, 1)])))
    assert_nothing_left(tmp_path)


def test_an_existing_output_is_kept(make_options, write_csv, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="out: the output must not exist"):
        preprocess(make_options(write_csv("x.csv", [("a", 1, 1, 1)])))
    assert os.listdir(tmp_path / "out") == []


def run_python(code, *args, cwd):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_preprocessing_is_quiet_and_never_imports_tensorflow(make_options, write_csv, tmp_path):
    code = """
        import sys
        from padless.beam_jobs import PreprocessOptions, preprocess
        preprocess(PreprocessOptions((sys.argv[1],), sys.argv[2], splits={"train": 1}))
        sys.exit("tensorflow" in sys.modules)
    """
    options = make_options(write_csv("x.csv", [("a", 1, 1, 1)]))
    done = run_python(code, *options.inputs, options.output, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tfds_opens_the_dataset_without_padless(make_options, write_csv, long_rows, tmp_path):
    code = """
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "padless":
                    raise ImportError(name)

        sys.meta_path.insert(0, Blocker())
        import tensorflow_datasets as tfds
        builder = tfds.builder_from_directory(sys.argv[1])
        for name in builder.info.splits:
            records = list(tfds.as_numpy(builder.as_dataset(split=name)))
            assert len(records) == builder.info.splits[name].num_examples
            assert all(len(r["sequence"]) == r["length"] for r in records)
            print(name, len(records), records[0]["sequence"].shape[1])
    """
    options = make_options(write_csv("x.csv", long_rows), shard_bytes=500)
    report = preprocess(options)
    done = run_python(code, options.output, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} {split.count} 2" for name, split in report.splits.items()
    ]
