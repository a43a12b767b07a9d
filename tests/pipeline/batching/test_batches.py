"""The contracts of the batches, read from real files."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from padless.pipeline import (
    RecordFormat,
    Shuffle,
    equal_length_batches,
    open_dataset,
    open_records,
    plan_batches,
)
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.grouping import _group
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.records import decode_example


def plan_of(dataset, split="train", **options):
    return plan_batches(dataset.split(split).lengths, **options)


def stored_in(dataset):
    """Reads the training split without tf.data, as `{key: sequence}`."""
    examples = [decode_example(r) for f in dataset.split("train").files for r in read_records(f)]
    num_features = dataset.record_format.num_features
    return {e["key"][0]: e["sequence"].reshape(-1, num_features) for e in examples}


def keys_seen(batches):
    return [key for batch in batches.as_numpy_iterator() for key in batch["key"].tolist()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=80),
    batch_size=st.integers(1, 20),
    num_shards=st.integers(1, 3),
    shuffle=st.none()
    | st.builds(
        Shuffle,
        st.integers(0, 9),
        record_buffer=st.integers(1, 99),
        held_bytes=st.sampled_from([0, 3_000, 10**6]),
    ),
)
def test_batches_hold_every_key_once_and_no_padding(
    make_dataset, lengths, batch_size, num_shards, shuffle
):
    dataset = make_dataset(lengths, num_shards=num_shards)
    plan = plan_of(dataset, batch_size=batch_size)
    batches = list(equal_length_batches(dataset, plan, shuffle=shuffle).as_numpy_iterator())
    seen = collections.Counter()
    for batch in batches:
        rows, timesteps, _ = batch["sequence"].shape
        assert (batch["length"] == timesteps).all()
        assert batch["ends_step"].tolist() == [batch["ends_step"][0]] * rows
        seen.update(batch["key"].tolist())
    assert seen == {f"train/{i}".encode(): 1 for i in range(len(lengths))}
    assert len(batches) == plan.num_batches
    assert sum(batch["ends_step"][0] for batch in batches) == plan.steps_per_epoch
    assert batches[-1]["ends_step"].all()


def test_batches_give_the_values_of_their_keys(make_dataset):
    dataset = make_dataset([3, 4, 3, 4, 3])
    stored = stored_in(dataset)
    for batch in equal_length_batches(dataset, plan_of(dataset, batch_size=2), shuffle=Shuffle(0)):
        for key, sequence in zip(batch["key"].numpy(), batch["sequence"].numpy(), strict=True):
            np.testing.assert_array_equal(sequence, stored[key])


def test_batches_come_in_an_order_fixed_by_seed_and_epoch(make_dataset):
    dataset = make_dataset(list(range(1, 9)) * 20, num_shards=3)
    plan = plan_of(dataset, batch_size=8)

    def order(seed, epoch):
        epochs = range(epoch, epoch + 1)
        return keys_seen(equal_length_batches(dataset, plan, shuffle=Shuffle(seed), epochs=epochs))

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_batches_come_in_an_order_that_no_global_seed_changes(make_dataset):
    dataset = make_dataset([2, 3, 3, 5] * 6, num_shards=2)

    def order(global_seed):
        tf.random.set_seed(global_seed)
        return keys_seen(equal_length_batches(dataset, plan_of(dataset), shuffle=Shuffle(0)))

    assert order(0) == order(7)


def test_batches_of_several_epochs_are_those_of_each(make_dataset):
    dataset = make_dataset([2, 3, 3, 5] * 6)
    plan = plan_of(dataset, batch_size=4)
    options = {"plan": plan, "shuffle": Shuffle(0)}
    together = keys_seen(equal_length_batches(dataset, **options, epochs=range(1, 4)))
    apart = [
        keys_seen(equal_length_batches(dataset, **options, epochs=range(epoch, epoch + 1)))
        for epoch in range(1, 4)
    ]
    assert together == list(itertools.chain(*apart))


def test_batches_of_no_epoch_are_none(make_dataset):
    dataset = make_dataset([3])
    options = {"shuffle": Shuffle(0), "epochs": range(2, 2)}
    assert list(equal_length_batches(dataset, plan_of(dataset), **options)) == []


def test_batches_say_how_many_they_are(make_dataset):
    dataset = make_dataset([2, 3, 3, 5] * 6)
    plan = plan_of(dataset, batch_size=4)
    assert len(equal_length_batches(dataset, plan, epochs=range(2))) == 2 * plan.num_batches


def test_batches_draw_new_mates_each_epoch(make_dataset):
    dataset = make_dataset([5] * 400)
    plan = plan_of(dataset, batch_size=8)
    batches = equal_length_batches(dataset, plan, shuffle=Shuffle(0), epochs=range(2))
    groups = [batch["key"].tolist() for batch in batches.as_numpy_iterator()]
    pairs = [{frozenset((a, b)) for a in group for b in group if a < b} for group in groups]
    first, second = set().union(*pairs[:50]), set().union(*pairs[50:])
    # A pair meets again with probability 7 / 399: about 25 of the 1,400 pairs.
    assert len(first & second) < 80


def test_batches_mix_lengths(make_dataset):
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(2.5, 0.6, 2000), 1, None).astype(int).tolist()
    dataset = make_dataset(lengths)
    plan = plan_of(dataset, batch_size=16)
    batches = equal_length_batches(dataset, plan, shuffle=Shuffle(0), epochs=range(4))
    timesteps = np.array([batch["sequence"].shape[1] for batch in batches.as_numpy_iterator()])
    assert abs(np.corrcoef(timesteps[1:], timesteps[:-1])[0, 1]) < 0.15


def test_group_is_bucket_by_sequence_length(make_dataset):
    plan = plan_of(make_dataset([2] * 7 + [3] * 5 + [9]), batch_size=3)
    buckets = np.repeat(
        np.arange(len(plan.bucket_lengths)), plan.bucket_batch_sizes * plan.bucket_num_batches
    )
    np.random.default_rng(0).shuffle(buckets)
    records = tf.data.Dataset.from_tensor_slices((buckets, np.arange(len(buckets))))
    reference = records.bucket_by_sequence_length(
        element_length_func=lambda bucket, record: tf.cast(bucket, tf.int32),
        bucket_boundaries=range(1, len(plan.bucket_lengths)),
        bucket_batch_sizes=plan.bucket_batch_sizes.tolist(),
        no_padding=True,
    )
    ours = [record.tolist() for _, record in _group(records, plan).as_numpy_iterator()]
    assert ours == [record.tolist() for _, record in reference.as_numpy_iterator()]


def test_batches_reject_the_plan_of_another_split(make_dataset):
    dataset = make_dataset({"train": [3, 4], "validation": [3]})
    with pytest.raises(ValueError, match="'train': it counts 1 sequences, the split has 2"):
        equal_length_batches(dataset, plan_of(dataset, "validation"))


def test_batches_reject_an_unknown_split(make_dataset):
    dataset = make_dataset([3])
    with pytest.raises(ValueError, match=r"a split 'test', it has 'train'"):
        equal_length_batches(dataset, plan_of(dataset), split="test")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda data: data[:-5],
            r"-train\.tfrecord-00000-of-00001: record 2 at byte \d+.*truncated",
        ),
        (lambda data: data[:40] + b"\x00" + data[41:], "record 0 at byte 0: its data.*damaged"),
        (lambda data: data[: len(data) * 2 // 3], "a shard has lost records"),
        (lambda data: data + data[: len(data) // 3], "not counted often enough"),
    ],
    ids=["truncated", "flipped", "one record less", "one record more"],
)
def test_batches_of_a_damaged_shard_name_it(make_dataset, damage, message):
    dataset = make_dataset([3, 3, 3])
    (file,) = dataset.split("train").files
    file.write_bytes(damage(file.read_bytes()))
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    with pytest.raises(ValueError, match=message), explained(dataset.split("train")):
        list(equal_length_batches(dataset, plan_of(dataset), shuffle=Shuffle(0, held_bytes=0)))


def test_explained_leaves_alone_what_is_not_about_the_data(make_dataset):
    split = make_dataset([3]).split("train")
    split.files[0].write_bytes(b"damaged")
    split = open_dataset(split.files[0].parent).split("train")
    with pytest.raises(tf.errors.ResourceExhaustedError), explained(split):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")


def write_foreign(path, **features):
    example = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())


def test_open_records_reads_what_padless_did_not_write(tmp_path):
    values = tf.train.Feature(float_list=tf.train.FloatList(value=range(6)))
    steps = tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))
    write_foreign(tmp_path / "a", mfcc=values, frames=steps)
    record_format = RecordFormat(2, sequence="mfcc", length="frames", key=None)
    dataset = open_records([tmp_path / "a"], record_format)
    (batch,) = equal_length_batches(dataset, plan_of(dataset)).as_numpy_iterator()
    assert "key" not in batch
    np.testing.assert_array_equal(batch["sequence"], [[[0, 1], [2, 3], [4, 5]]])


@pytest.mark.parametrize("length", [0, -3])
def test_open_records_rejects_an_empty_sequence(tmp_path, length):
    steps = tf.train.Feature(int64_list=tf.train.Int64List(value=[length]))
    write_foreign(tmp_path / "a", frames=steps)
    with pytest.raises(ValueError, match=f"a: a length must be at least 1, got {length}"):
        open_records([tmp_path / "a"], RecordFormat(2, length="frames"))


def test_open_records_names_what_is_missing(tmp_path):
    write_foreign(tmp_path / "a", mfcc=tf.train.Feature())
    with pytest.raises(FileNotFoundError, match="b: the TFRecord file does not exist"):
        open_records([tmp_path / "b"], RecordFormat(2))
    with pytest.raises(ValueError, match="one int64 in 'frames'; in records 0 to 0"):
        open_records([tmp_path / "a"], RecordFormat(2, length="frames"))
    with pytest.raises(ValueError, match="at least one record"):
        open_records([], RecordFormat(2))


def test_open_dataset_names_what_is_missing(make_dataset, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: the dataset directory does not exist"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"which holds dataset_info\.json and other files"):
        open_dataset(tmp_path)
    (tmp_path / "features.json").touch()
    with pytest.raises(FileNotFoundError, match=r"dataset_info.json is missing.*finished"):
        open_dataset(tmp_path)
    (file,) = make_dataset([3]).split("train").files
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"of-00001: this shard of split 'train'"):
        open_dataset(file.parent)


def test_open_dataset_rejects_metadata_of_another_hand(make_dataset):
    folder = make_dataset([3]).split("train").files[0].parent
    (folder / "statistics.json").write_text("{}")
    rule = "the file must be as `padless preprocess` wrote it in this version, but it has no '"
    with pytest.raises(ValueError, match=rf"statistics.json: {rule}"):
        open_dataset(folder)
    (folder / "statistics.json").write_text("{")
    with pytest.raises(ValueError, match=r"statistics.json: the file must hold JSON"):
        open_dataset(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": -1}, "`seed`.*got -1"), ({"seed": 0, "batch_buffer": 0}, "`batch_buffer`.*got 0")],
)
def test_shuffle_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        Shuffle(**options)


def steps_of(batches):
    """Groups the keys by step."""
    steps = [[]]
    for batch in batches.as_numpy_iterator():
        steps[-1].append(batch["key"].tolist())
        if batch["ends_step"][0]:
            steps.append([])
    assert steps.pop() == []
    return steps


def test_reading_goes_on_from_any_step(make_dataset):
    # Each place to go on from is a pipeline to build, so the epochs are short.
    dataset = make_dataset([3] * 5 + [4] * 4 + [5] * 2 + [8], num_shards=2)
    options = {"plan": plan_of(dataset, batch_size=4), "shuffle": Shuffle(5)}
    steps = steps_of(equal_length_batches(dataset, epochs=range(3), **options))
    per_epoch = options["plan"].steps_per_epoch
    assert (per_epoch, len(steps)) == (3, 9)
    for epoch, step in itertools.product(range(3), range(per_epoch)):
        rest = equal_length_batches(dataset, epochs=range(epoch, 3), first_step=step, **options)
        assert steps_of(rest) == steps[epoch * per_epoch + step :]


def test_values_of_steps_left_out_are_not_parsed(make_dataset):
    dataset = make_dataset([3] * 4 + [5] * 4)
    options = {"plan": plan_of(dataset, batch_size=4)}
    (file,) = dataset.split("train").files
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    examples[0].features.feature["sequence"].float_list.value.pop()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    assert len(steps_of(equal_length_batches(dataset, first_step=1, **options))) == 1
    with pytest.raises(tf.errors.InvalidArgumentError):
        steps_of(equal_length_batches(dataset, **options))


@pytest.mark.parametrize("first_step", [-1, 2])
def test_reading_rejects_a_step_that_no_epoch_has(make_dataset, first_step):
    dataset = make_dataset([3] * 8)
    plan = plan_of(dataset, batch_size=4)
    with pytest.raises(ValueError, match=f"`first_step` must be from 0 to 1, got {first_step}"):
        equal_length_batches(dataset, plan, first_step=first_step)
