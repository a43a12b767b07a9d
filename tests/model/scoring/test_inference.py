"""Contract 7: each sequence alone, in the order of the records, under its own key."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padless.model import Calibration, Inference
from padless.model.scoring import inference
from padless.model.scoring.scores_file import write_parquet
from padless.pipeline import RecordFormat, open_dataset, open_records
from padless.pipeline.dataset.framing import frame_record, read_records
from padless.pipeline.dataset.records import encode_example
from padless.pipeline.progress import Progress

LENGTHS = {"train": [3, 5, 3, 9, 5, 5, 1, 3] * 3, "test": [4, 3, 4]}
FLOATS = ["embedding", "score", "error", "unexplained", "feature_error"]
MEAN, VARIANCE = [0.1, -0.1], [0.5, 0.4]
# What float32 sums of other shapes may differ by; embeddings and scores here are about 0.1 to 1.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def dataset(make_dataset):
    labels = [f"label {i % 3}" for i in range(24)]
    return make_dataset(LENGTHS, num_shards=3, labels=labels)


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(mean=MEAN, variance=VARIANCE)


@pytest.fixture(scope="module")
def everything(model):
    return Inference(model)


@pytest.fixture(scope="module")
def table(everything, dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("table") / "scores.parquet"
    assert write_parquet(everything, dataset, output) == 27
    assert [path.name for path in output.parent.iterdir()] == ["scores.parquet"]
    return pq.read_table(output)


@pytest.fixture
def write_keys(tmp_path):
    """Writes sequences of three lengths with the given keys as one TFRecord file."""

    def write(keys):
        sequence = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
        examples = [encode_example(key, sequence[: i % 3 + 1]) for i, key in enumerate(keys)]
        (tmp_path / "in.tfrecord").write_bytes(b"".join(map(frame_record, examples)))
        return open_records([tmp_path / "in.tfrecord"], RecordFormat(2))

    return write


def numpy_column(table, name):
    return np.array(table[name].to_pylist(), np.float32)


def assert_same_tables(one, other):
    assert one.drop_columns(FLOATS).equals(other.drop_columns(FLOATS))
    for name in FLOATS:
        np.testing.assert_allclose(numpy_column(one, name), numpy_column(other, name), **TOLERANCE)


def test_write_parquet_keeps_the_order_of_splits_and_records(table, dataset, read_sequences):
    expected = [(split, key, len(sequence)) for split in LENGTHS for key, sequence in
                read_sequences(dataset, split).items()]  # fmt: skip
    columns = (table[name].to_pylist() for name in ("split", "key", "length"))
    assert list(zip(*columns, strict=True)) == expected
    # Shard after shard, every third record each: not the order of the lengths, nor of the keys.
    assert table["key"].to_pylist()[:9] == [f"train/{i}" for i in (*range(0, 24, 3), 1)]


def test_write_parquet_keeps_the_labels(table):
    for key, label in zip(table["key"].to_pylist(), table["label"].to_pylist(), strict=True):
        assert label == f"label {int(key.split('/')[1]) % 3}"


def test_results_do_not_depend_on_the_batch_mates(table, model, dataset, read_sequences):
    alone = [
        model.analyze(sequence[None])
        for split in LENGTHS
        for sequence in read_sequences(dataset, split).values()
    ]
    for name in FLOATS:
        expected = np.concatenate([results[name] for results in alone])
        np.testing.assert_allclose(numpy_column(table, name), expected, **TOLERANCE)


@pytest.mark.parametrize("window", [4096, 5])
def test_records_in_memory_give_what_a_file_does_bit_for_bit(
    everything, dataset, monkeypatch, window
):
    monkeypatch.setattr(inference, "_WINDOW", window)
    windows = list(everything.windows(dataset, "train"))
    records = [record for file in dataset.split("train").files for record in read_records(file)]
    found = everything.compute(records, dataset.record_format)
    assert found.keys() == windows[0].keys()
    for name, values in found.items():
        np.testing.assert_array_equal(values, np.concatenate([one[name] for one in windows]))


def test_results_do_not_depend_on_the_rest_of_the_file(table, everything, dataset, tmp_path):
    (file, *_) = dataset.split("test").files
    (record, *_) = read_records(file)
    (tmp_path / "one.tfrecord").write_bytes(frame_record(record))
    one = open_records([tmp_path / "one.tfrecord"], dataset.record_format, split="test")
    write_parquet(everything, one, tmp_path / "one.parquet")
    assert_same_tables(pq.read_table(tmp_path / "one.parquet"), table.slice(24, 1))


@pytest.mark.parametrize(("window", "max_timesteps"), [(1, 65_536), (5, 65_536), (4096, 7)])
def test_results_do_not_depend_on_windows_and_batches(
    monkeypatch, table, everything, dataset, tmp_path, window, max_timesteps
):
    monkeypatch.setattr(inference, "_WINDOW", window)
    monkeypatch.setattr(inference, "_MAX_BATCH_TIMESTEPS", max_timesteps)
    done = []
    write_parquet(everything, dataset, tmp_path / "out.parquet", progress=done.append)
    assert_same_tables(pq.read_table(tmp_path / "out.parquet"), table)
    assert done[-1] == Progress("score", 27, 27, "sequences")
    assert len(done) == 1 + -(-24 // window) + -(-3 // window)


@pytest.mark.parametrize("alignment", ["dynamic_repeat", "cropped_output", "padded"])
def test_batches_have_a_bounded_size_and_every_sequence(make_model, alignment):
    model = make_model(alignment=alignment, longest=40_000)
    lengths = np.array([1] * 100 + [40_000] + [30_000] * 3 + [7] * 200)
    batches = list(inference.cut_batches(model, lengths))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for rows in batches:
        computed = lengths[rows].sum()
        if model.alignment.pads:
            computed = len(rows) * model.padded_length(lengths[rows])
        # Packed, the sequence that passes the bound is the last one of its batch.
        assert computed < 65_536 + lengths[rows].max()
    assert list(inference.cut_batches(model, lengths[:0])) == []


def test_inference_needs_one_trace_for_all_lengths(model, dataset):
    everything = Inference(model)
    for split in LENGTHS:
        assert sum(len(w["key"]) for w in everything.windows(dataset, split)) == len(LENGTHS[split])
    assert everything._run.experimental_get_tracing_count() == 1


def test_write_parquet_has_the_columns_documented(table):
    # Seven statistics of 4 units in two directions.
    vector = {name: pa.list_(pa.float32(), size) for name, size in [("e", 7 * 8), ("f", 2)]}
    assert table.schema.equals(
        pa.schema(
            [
                ("key", pa.string()),
                ("split", pa.string()),
                ("label", pa.string()),
                ("length", pa.int64()),
                ("embedding", vector["e"]),
                ("score", pa.float32()),
                ("error", pa.float32()),
                ("unexplained", pa.float32()),
                ("feature_error", vector["f"]),
            ]
        )
    )
    assert table["embedding"].null_count == 0


def test_embedding_leaves_the_scores_out(table, model, dataset, tmp_path):
    embedding = Inference(model, inference.EMBEDDING)
    write_parquet(embedding, dataset, tmp_path / "embeddings.parquet")
    embeddings = pq.read_table(tmp_path / "embeddings.parquet")
    assert embeddings.column_names == ["key", "split", "label", "length", "embedding"]
    assert embeddings["key"].equals(table["key"])
    np.testing.assert_allclose(
        numpy_column(embeddings, "embedding"), numpy_column(table, "embedding"), **TOLERANCE
    )


def test_write_parquet_puts_the_p_values_behind_the_scores(table, everything, dataset, tmp_path):
    calibration = Calibration("test", np.array([3, 4, 5]), np.array([0.1, 0.5, 0.9]))
    write_parquet(everything, dataset, tmp_path / "p.parquet", calibration=calibration)
    with_p = pq.read_table(tmp_path / "p.parquet")
    names = with_p.column_names
    assert names[names.index("score") + 1] == "p_value"
    assert with_p.schema.field("p_value").type == pa.float32()
    assert with_p.drop_columns(["p_value"]).schema.equals(table.schema)
    length, score = with_p["length"].to_numpy(), with_p["score"].to_numpy()
    expected = calibration.p_values(length, score)
    np.testing.assert_array_equal(with_p["p_value"].to_numpy(), np.float32(expected))


def test_write_parquet_rejects_a_calibration_without_scores(model, dataset, tmp_path):
    calibration = Calibration("test", np.array([3]), np.array([0.1]))
    embedding = Inference(model, inference.EMBEDDING)
    with pytest.raises(ValueError, match=r"needs the output 'score', got 'embedding'"):
        write_parquet(embedding, dataset, tmp_path / "p.parquet", calibration=calibration)
    assert list(tmp_path.iterdir()) == []


def test_write_parquet_takes_the_splits_chosen(table, everything, dataset, tmp_path):
    output = tmp_path / "test.parquet"
    assert write_parquet(everything, dataset, output, splits=("test",), name_splits=False) == 3
    assert_same_tables(pq.read_table(output), table.slice(24).drop_columns(["split"]))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_results_of_a_deep_bidirectional_model_are_those_alone(
    make_model, dataset, read_sequences, cell
):
    model = make_model(mean=MEAN, variance=VARIANCE, cell=cell, layers=2, bidirectional=True)
    outputs = (*inference.WITH_BASELINES, inference.TIMESTEPS)
    (window,) = Inference(model, outputs).windows(dataset, "train")
    for i, sequence in enumerate(list(read_sequences(dataset, "train").values())[:6]):
        for name, expected in model.analyze(sequence[None]).items():
            np.testing.assert_allclose(window[name][i], expected[0], **TOLERANCE)


def test_keys_come_back_as_they_were(everything, write_keys, tmp_path):
    keys = ["../../etc/x", "/abs", 'a"\n,b', "é" * 5000, "日本", "", " ", "a\0", "a", "a", "\\'"]
    dataset = write_keys([key.encode() for key in keys])
    write_parquet(everything, dataset, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["key"].to_pylist() == keys


def test_write_parquet_rejects_a_key_that_is_not_utf8(everything, write_keys, tmp_path):
    dataset = write_keys([b"good", b"bad \xff"])
    with pytest.raises(ValueError, match=r"Keys and labels must be UTF-8, got b'bad \\xff'"):
        write_parquet(everything, dataset, tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["in.tfrecord"]


def test_write_parquet_rejects_records_without_keys(everything, write_keys, tmp_path):
    dataset = write_keys([b"a"])
    dataset = dataclasses.replace(dataset, record_format=RecordFormat(2, key=None))
    with pytest.raises(ValueError, match="must have a key in each record, it has none"):
        write_parquet(everything, dataset, tmp_path / "out.parquet")


def test_windows_read_records_without_keys(everything, write_keys):
    dataset = write_keys([b"a", b"b"])
    dataset = dataclasses.replace(dataset, record_format=RecordFormat(2, key=None))
    (window,) = everything.windows(dataset, "train")
    assert sorted(window) == sorted([*FLOATS, "length"])
    assert window["length"].tolist() == [1, 2]


def test_write_parquet_rejects_a_missing_folder(everything, dataset, tmp_path):
    output = tmp_path / "nowhere" / "out.parquet"
    with pytest.raises(FileNotFoundError, match=r"out.parquet: the folder .*nowhere does not exis"):
        write_parquet(everything, dataset, output)


def test_write_parquet_rejects_an_unknown_split(everything, dataset, tmp_path):
    with pytest.raises(ValueError, match=r"a split 'dev', it has 'test' and 'train'"):
        write_parquet(everything, dataset, tmp_path / "out.parquet", splits=("dev",))
    assert list(tmp_path.iterdir()) == []


def drop_last_record(file):
    *kept, _ = read_records(file)
    return b"".join(map(frame_record, kept))


def add_first_record(file):
    return file.read_bytes() + frame_record(next(read_records(file)))


@pytest.mark.parametrize("existing", [None, b"mine"], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.read_bytes()[:-5], r"00002-of-00003: record 2 at byte \d+.*truncated"),
        (
            lambda file: file.read_bytes()[:40] + b"\0" + file.read_bytes()[41:],
            "00002-of-00003: record 0 at byte 0: its data.*damaged",
        ),
        (drop_last_record, "'train' must hold the 9 sequences.*got 8: a shard has lost records"),
        (lambda file: b"", "'train' must hold the 9 sequences.*got 6: a shard has lost records"),
        (add_first_record, "'train' must hold the 9 sequences.*got 10: a shard has"),
    ],
    ids=["truncated", "flipped", "one record less", "empty", "one record more"],
)
def test_write_parquet_answers_a_damaged_shard(
    everything, make_dataset, tmp_path, damage, message, existing
):
    dataset = make_dataset([3, 3, 4, 5, 3, 4, 3, 3, 3], num_shards=3)
    file = dataset.split("train").files[2]
    file.write_bytes(damage(file))
    dataset = open_dataset(file.parent)
    output = tmp_path / "out.parquet"
    if existing:
        output.write_bytes(existing)
    with pytest.raises(ValueError, match=message):
        write_parquet(everything, dataset, output)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == (
        {"out.parquet": existing} if existing else {}
    )


def test_write_parquet_replaces_a_file_that_exists(everything, dataset, table, tmp_path):
    (tmp_path / "out.parquet").write_bytes(b"old")
    write_parquet(everything, dataset, tmp_path / "out.parquet")
    assert_same_tables(pq.read_table(tmp_path / "out.parquet"), table)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_features": 3}, "`sequence` must hold `length` times 3 values"),
        ({"num_features": 2, "label": "label"}, "Feature: label .*is required but could not be fo"),
    ],
)
def test_windows_name_the_folder_of_records_of_another_format(
    everything, write_keys, wrong, message
):
    dataset = dataclasses.replace(write_keys([b"a", b"b"]), record_format=RecordFormat(**wrong))
    folder = dataset.split("train").files[0].parent
    with pytest.raises(ValueError, match=f"{folder}: {message}"):
        list(everything.windows(dataset, "train"))
