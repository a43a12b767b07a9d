"""The whole job, through real files and the real runner."""

import gzip
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs import preprocess
from padless.pipeline.dataset.directory import open_dataset
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.keys import draw_split


def assert_nothing_left(tmp_path):
    assert not [name for name in os.listdir(tmp_path) if name.startswith("out")]


def test_every_form_gives_the_same_sequences(
    make_options, write_csv, write_jsonl, write_npz, sequences, long_rows, read_all
):
    paths = [
        write_csv("x.csv", long_rows),
        write_jsonl("x.jsonl", [{"key": k, "sequence": s.tolist()} for k, s in sequences.items()]),
        write_npz("x.npz", sequences),
    ]
    for number, path in enumerate(paths):
        options = make_options(path)
        report = preprocess(options)
        content = read_all(options.output.directory)
        assert report.accepted == report.read == len(content) == len(sequences)
        for key, sequence in sequences.items():
            np.testing.assert_array_equal(content[key][0], sequence)
        os.rename(options.output.directory, f"{options.output.directory}{number}")


def test_the_metadata_say_what_the_shards_hold(
    make_options, write_csv, sequences, long_rows, read_split
):
    options = make_options(write_csv("x.csv", long_rows), shard_bytes=700)
    report = preprocess(options)
    dataset = open_dataset(options.output.directory)
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


def test_labels_are_kept(make_options, write_csv, write_jsonl, read_all):
    rows = [("a", 2, 1, 1, "up"), ("a", 1, 0, 0, "up")]
    paths = (
        write_csv("x.csv", rows, header=("key", "time", "x", "y", "label")),
        write_jsonl("x.jsonl", [{"key": 5, "sequence": [[1, 2]], "label": 7}]),
    )
    options = make_options(*paths, label="label", splits={"train": 1})
    preprocess(options)
    content = read_all(options.output.directory)
    assert {key: label for key, (_, label) in content.items()} == {"a": ["up"], "5": ["7"]}
    assert content["a"][0].tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("key", ["../../etc/x", "/abs", 'a"\n,b', "é" * 10_000, "all", "a b"])
def test_a_key_is_data(make_options, write_csv, tmp_path, key, read_all):
    options = make_options(write_csv("x.csv", [(key, 1, 1, 1)]), splits={"only": 1})
    preprocess(options)
    assert list(read_all(options.output.directory)) == [key]
    assert sorted(os.listdir(tmp_path)) == ["out", "x.csv"]


WORKERS = ["processes of our own, as for large inputs"]


def test_the_same_bytes_whatever_the_workers_and_retries(
    make_options, write_csv, long_rows, monkeypatch, digest
):
    rows = [*long_rows, ("bad", 1, "one", 1), ("", 1, 1, 1), ("run/3", 0, 1, 1), ("z", 1, "nan", 1)]
    paths = write_csv("a.csv", rows[::2]), write_csv("b.csv", rows[1::2])
    options = make_options(*paths, shard_bytes=500)
    contents = []
    for number, flags in enumerate(
        (
            [],
            ["--direct_runner_bundle_repeat=1"],
            ["--direct_num_workers=3", "--direct_running_mode=multi_threading"],
            ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
            WORKERS,
        )
    ):
        if flags is WORKERS:
            monkeypatch.setattr("padless.beam_jobs.engine.local_runner._BYTES_WORTH_WORKERS", 1)
        report = preprocess(options, PipelineOptions(flags if flags is not WORKERS else []))
        assert report.rejected == dict.fromkeys(
            ("duplicate_time", "missing_key", "missing_value", "not_a_number"), 1
        )
        contents.append(digest(options.output.directory))
        os.rename(options.output.directory, f"{options.output.directory}{number}")
    assert contents[1:] == contents[:1] * 4


def test_rejects_are_counted_and_named(
    make_options, write_csv, write_jsonl, write_npz, read_all, read_rejects
):
    rows = [("a", 1, 1, 1), ("b", 1, 1, "foo"), ("b", 2, 1, 1), ("", 1, 1, 1), ("c", 1, 1, 1)]
    paths = (
        write_csv("x.csv", rows),
        write_jsonl("x.jsonl", [{"key": "c", "sequence": [[1, 2]]}, {"key": "d", "sequence": []}]),
        write_npz("x.npz", {"e": np.ones((2, 3)), "f": np.ones((2, 2))}),
    )
    options = make_options(*paths, splits={"train": 1})
    report = preprocess(options)
    assert (report.read, report.accepted) == (8, 2)
    assert sorted(read_all(options.output.directory)) == ["a", "f"]
    assert [
        (r["reason"], os.path.basename(r["file"]), r.get("line", r.get("array")), r["key"])
        for r in read_rejects(options.output.directory)
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


@pytest.fixture
def wide_rows():
    """Rows of 30 sequences, each of which takes more than a block's place in its description."""
    values = np.random.default_rng(1).normal(1e6, 1, (30, 40, 12)).astype(np.float32)
    rows = [(k, t, *map(float, step)) for k, s in enumerate(values) for t, step in enumerate(s)]
    return ("key", "time", *(f"x{i}" for i in range(12))), rows


def test_large_blocks_pass_through_files(make_options, write_csv, wide_rows, digest):
    header, rows = wide_rows
    contents = []
    for order in (rows, rows[::-1]):
        options = make_options(write_csv("x.csv", order, header=header), shard_bytes=10_000)
        assert preprocess(options).accepted == 30
        contents.append(digest(options.output.directory))
        os.rename(options.output.directory, f"{options.output.directory}{len(contents)}")
    assert contents[0] == contents[1]
    sizes = [
        len(list(read_records(f)))
        for f in pathlib.Path(f"{options.output.directory}1").glob("*train*")
    ]
    assert len(sizes) > 2


def test_moments_keep_their_digits_at_a_large_mean(make_options, write_csv, wide_rows):
    header, rows = wide_rows
    options = make_options(write_csv("x.csv", rows, header=header), splits={"train": 1})
    preprocess(options)
    moments = open_dataset(options.output.directory).moments
    values = np.array([row[2:] for row in rows], np.float32).astype(np.float64)
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, values.var(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(moments.minimum, values.min(axis=0))
    np.testing.assert_array_equal(moments.maximum, values.max(axis=0))


@pytest.mark.parametrize(
    "encode",
    [
        gzip.compress,
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\r\n", b"\n"),
        lambda text: text.removesuffix(b"\r\n"),
    ],
    ids=["gzip", "byte order mark", "line feeds", "no last newline"],
)
def test_a_text_is_read_however_it_is_written(make_options, write_csv, long_rows, encode):
    path = pathlib.Path(write_csv("x.csv", long_rows))
    path.write_bytes(encode(path.read_bytes()))
    options = make_options(str(path))
    report = preprocess(options)
    assert (report.accepted, report.rejected) == (40, {})


@pytest.mark.parametrize("key", ["../../etc/x", 'a"\n,b', "é" * 10_000, "\U0001f600", "[0:3]"])
def test_a_key_is_data_in_every_form(make_options, write_jsonl, write_npz, key, read_all):
    paths = [write_jsonl("x.jsonl", [{"key": key, "sequence": [[1]]}])]
    if len(key) < 10_000:  # what a zip can name
        paths.append(write_npz("x.npz", {key: np.ones((1, 1))}))
    for number, path in enumerate(paths):
        options = make_options(path, directory=str(pathlib.Path(path).parent / f"out{number}"))
        preprocess(options)
        assert list(read_all(options.output.directory)) == [key]


def test_splits_by_a_column(make_options, write_csv, read_split):
    rows = [
        ("a", 1, 1, 1, "fold_b"),
        ("b", 1, 1, 1, "test"),
        ("c", 1, 1, 1, ""),
        ("d", 1, 1, 1, "9"),
    ]
    rows += [("e", 1, 1, 1, "test"), ("e", 2, 1, 1, "train")]
    path = write_csv("x.csv", rows, header=("key", "time", "x", "y", "fold"))
    options = make_options(path, split="fold")
    report = preprocess(options)
    splits = open_dataset(options.output.directory).splits
    assert {name: list(read_split(split)) for name, split in splits.items()} == {
        "test": ["b"],
        "fold_b": ["a"],
    }
    assert report.rejected == {"bad_split": 1, "conflicting_split": 1, "missing_split": 1}


def test_splits_by_directory(make_options, write_csv, write_npz, tmp_path, read_split):
    for name in ("train", "holdout"):
        (tmp_path / name).mkdir()
    write_csv("train/x.csv", [("a", 1, 1, 1), ("both", 1, 1, 1)])
    write_csv("holdout/x.csv", [("b", 1, 1, 1), ("both", 2, 1, 1)])
    write_npz("holdout/y.npz", {"c": np.ones((2, 2))})
    options = make_options(f"{tmp_path}/*/*.*", keep_splits=True)
    report = preprocess(options)
    splits = open_dataset(options.output.directory).splits
    assert {name: set(read_split(split)) for name, split in splits.items()} == {
        "train": {"a"},
        "holdout": {"b", "c"},
    }
    assert list(report.splits) == ["train", "holdout"]
    assert report.rejected == {"conflicting_split": 1}


def test_too_many_rejects_fail_before_anything_appears(make_options, write_csv, tmp_path):
    path = write_csv("x.csv", [(key, 1, "?" if key < 2 else 1, 1) for key in range(10)])
    for limit in (1, 0.1):
        with pytest.raises(
            ValueError, match=r"(?s)`max_rejects` allows .*, got 2 of 10.*line 2, key"
        ):
            preprocess(make_options(path, max_rejects=limit))
        assert_nothing_left(tmp_path)
    assert preprocess(make_options(path, max_rejects=0.2)).accepted == 8


def test_pieces_are_counted_and_stay_in_the_split_of_their_sequence(
    make_options, write_npz, read_split, read_all
):
    arrays = {f"k{i}": np.arange(i + 1.0)[:, None] for i in range(12)}
    options = make_options(write_npz("x.npz", arrays), max_length=4, too_long="split")
    report = preprocess(options)
    assert (report.read, report.mended) == (12, {"split_sequences": 8, "pieces": 20})
    assert report.accepted == 24
    content = read_all(options.output.directory)
    assert content["k11[8:12]"][0].ravel().tolist() == [8, 9, 10, 11]
    for split in open_dataset(options.output.directory).splits.values():
        parents = {key.partition("[")[0] for key in read_split(split)}
        assert all(
            draw_split(key.encode(), 0, options.output.splits) == split.name for key in parents
        )


def test_the_order_of_the_input_is_kept(make_options, write_npz, read_split):
    names = [f"{i * 7919 % 101}" for i in range(60)]
    paths = [
        write_npz(f"{part}.npz", {name: np.ones((1, 1)) for name in names[part::2]})
        for part in (0, 1)
    ]
    options = make_options(*paths, splits={"new": 1}, order="input", shard_bytes=1)
    preprocess(options)
    assert (
        list(read_split(open_dataset(options.output.directory).split("new")))
        == names[0::2] + names[1::2]
    )


def test_an_empty_split_is_left_out_and_reported(make_options, write_npz):
    options = make_options(write_npz("x.npz", {"a": np.ones((1, 1))}))
    report = preprocess(options)
    assert list(report.splits) == list(open_dataset(options.output.directory).splits) == ["train"]
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

    monkeypatch.setattr("padless.beam_jobs.output.writer.encode_metadata", crash)
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
        preprocess(PreprocessOptions((sys.argv[1],), sys.argv[2]))
        sys.exit("tensorflow" in sys.modules)
    """
    options = make_options(write_csv("x.csv", [("a", 1, 1, 1)]))
    done = run_python(code, *options.inputs, options.output.directory, cwd=tmp_path)
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
    done = run_python(code, options.output.directory, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{name} {split.num_sequences} 2" for name, split in report.splits.items()
    ]
