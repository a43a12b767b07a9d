"""The contracts of packed steps, read from real files."""

import collections
import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from padless.pipeline import (
    RecordFormat,
    Shuffle,
    StepOrder,
    equal_length_batches,
    open_dataset,
    open_records,
    packed_steps,
    plan_batches,
)
from padless.pipeline.batching import grouping
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.packed_groups import cut_steps
from padless.pipeline.batching.packed_rows import deal_rows, time_major

# 40 lengths: those far from 20 are rare.
LENGTHS = np.clip(np.random.default_rng(1).normal(20, 6, 3000).astype(int), 1, None).tolist()
# Held whole, the rare lengths alone, and nothing; and in the order of the records.
HELD = {"whole": 10**9, "rare": 50_000, "none": 0}
SHUFFLES = {
    name: Shuffle(5, record_buffer=500, batch_buffer=50, held_bytes=held_bytes)
    for name, held_bytes in HELD.items()
} | {"unshuffled": None}
shuffles = pytest.mark.parametrize("shuffle", SHUFFLES.values(), ids=SHUFFLES)
# A few records are held whole or not at all by these: 50,000 bytes hold them all.
OF_FEW = {name: shuffle for name, shuffle in SHUFFLES.items() if name != "rare"}
shuffles_of_few = pytest.mark.parametrize("shuffle", OF_FEW.values(), ids=OF_FEW)


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS, num_shards=3)


def plan_of(dataset, *, batch_size=32, group_size=4, **options):
    lengths = dataset.split("train").lengths
    return plan_batches(lengths, batch_size=batch_size, group_size=group_size, **options)


def stored_in(dataset):
    """Reads the training split by TensorFlow's own protos, as `{key: sequence}`."""
    files = [str(file) for file in dataset.split("train").files]
    stored = {}
    for record in tf.data.TFRecordDataset(files).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        values = np.array(feature["sequence"].float_list.value, np.float32)
        shape = feature["length"].int64_list.value[0], dataset.record_format.num_features
        stored[feature["key"].bytes_list.value[0]] = values.reshape(shape)
    return stored


def unpack(batch):
    """Takes the rows out of time-major values one by one, as `{key: sequence}`."""
    rows, position = [[] for _ in batch["length"]], 0
    for t in range(max(batch["length"], default=0)):
        for row in range(sum(length > t for length in batch["length"])):
            rows[row].append(batch["values"][position])
            position += 1
    assert position == len(batch["values"])
    return {key: np.array(row) for key, row in zip(batch["key"].tolist(), rows, strict=True)}


def steps_of(batches):
    """Lists the packed batches of each step."""
    steps = [[]]
    for batch in batches.as_numpy_iterator():
        steps[-1].append(batch)
        if batch["ends_step"]:
            steps.append([])
    assert steps.pop() == []
    return steps


@pytest.fixture(scope="module")
def read_epochs(dataset):
    """Reads three epochs, once for each shuffle: the steps of each."""

    @functools.cache
    def read(shuffle):
        plan = plan_of(dataset)
        steps = steps_of(packed_steps(dataset, plan, shuffle=shuffle, epochs=range(3)))
        assert len(steps) == 3 * plan.steps_per_epoch
        return [steps[i : i + plan.steps_per_epoch] for i in range(0, len(steps), len(steps) // 3)]

    return read


def keys_of(step):
    return [key for batch in step for key in batch["key"].tolist()]


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name, value in batch.items():
            np.testing.assert_array_equal(value, other[name])
            assert value.dtype == other[name].dtype


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=80),
    group_size=st.integers(1, 6),
    batch_size=st.integers(6, 20),
    packed_timesteps=st.sampled_from([1, 20, 60, 1000]),
    num_shards=st.integers(1, 3),
    shuffle=st.none()
    | st.builds(
        Shuffle,
        st.integers(0, 9),
        record_buffer=st.integers(1, 99),
        held_bytes=st.sampled_from([0, 3_000, 10**6]),
    ),
)
def test_steps_hold_every_key_once_and_no_padding(
    make_dataset, lengths, group_size, batch_size, packed_timesteps, num_shards, shuffle
):
    dataset = make_dataset(lengths, num_shards=num_shards)
    options = {"batch_size": batch_size, "packed_timesteps": packed_timesteps}
    plan = plan_of(dataset, group_size=group_size, **options)
    steps = steps_of(packed_steps(dataset, plan, shuffle=shuffle))
    stored, seen = stored_in(dataset), collections.Counter()
    for batch in itertools.chain(*steps):
        assert sum(batch["length"]) == len(batch["values"])
        assert (np.diff(batch["length"]) <= 0).all()
        assert (batch["weight"] == 1).all()
        assert len(batch["values"]) <= packed_timesteps or len(batch["length"]) == 1
        for key, sequence in unpack(batch).items():
            np.testing.assert_array_equal(sequence, stored[key])
            seen[key] += 1
    assert seen == dict.fromkeys(stored, 1)
    assert len(steps) == plan.steps_per_epoch
    assert all(sum(len(b["length"]) for b in step) < batch_size + group_size for step in steps)


def test_a_batch_has_the_types_and_shapes_that_it_says(make_dataset):
    dataset = make_dataset([3, 5, 5], num_features=7, labels=["a", "b", "c"])
    for shuffle in (None, Shuffle(0)):
        batches = packed_steps(dataset, plan_of(dataset), shuffle=shuffle)
        assert batches.element_spec == {
            "values": tf.TensorSpec([None, 7], tf.float32),
            "length": tf.TensorSpec([None], tf.int64),
            "weight": tf.TensorSpec([None], tf.float32),
            "key": tf.TensorSpec([None], tf.string),
            "label": tf.TensorSpec([None], tf.string),
            "ends_step": tf.TensorSpec([], tf.bool),
        }
        (batch,) = batches.as_numpy_iterator()
        labels = {b"train/0": b"a", b"train/1": b"b", b"train/2": b"c"}
        assert [labels[key] for key in batch["key"].tolist()] == batch["label"].tolist()


@pytest.mark.parametrize("name", ["whole", "unshuffled"])
def test_steps_are_those_of_the_groups_as_batches(dataset, read_epochs, name):
    # `equal_length_batches` is tested against `bucket_by_sequence_length`.
    plan, options = plan_of(dataset), {"shuffle": SHUFFLES[name], "epochs": range(2)}
    groups = [[]]
    for group in equal_length_batches(dataset, plan, **options).as_numpy_iterator():
        groups[-1] += zip(-group["length"], group["key"].tolist(), strict=True)
        if group["ends_step"][0]:
            groups.append([])
    assert groups.pop() == []
    steps = itertools.chain(*read_epochs(SHUFFLES[name])[:2])
    for step, rows in zip(steps, groups, strict=True):
        # Rows of one length keep the order in which they come.
        assert keys_of(step) == [key for _, key in sorted(rows, key=lambda row: row[0])]


@pytest.mark.parametrize("name", HELD)
def test_steps_are_made_of_whole_groups(dataset, read_epochs, name):
    plan = plan_of(dataset)
    planned = collections.defaultdict(set)
    for length, size in zip(plan.bucket_lengths, plan.bucket_batch_sizes, strict=True):
        planned[length].add(size)
    sums = {
        length: {sum(groups) for n in range(9) for groups in itertools.product(sizes, repeat=n)}
        for length, sizes in planned.items()
    }
    for step in read_epochs(SHUFFLES[name])[0]:
        lengths = collections.Counter(length for batch in step for length in batch["length"])
        assert all(count in sums[length] for length, count in lengths.items())
        assert len(lengths) > 1


def test_groups_are_collected_over_many_chunks(dataset, read_epochs, monkeypatch):
    plan, expected = plan_of(dataset), read_epochs(None)[0]
    monkeypatch.setattr(grouping, "_LENGTHS_PARSED_AT_ONCE", 7)
    steps = steps_of(packed_steps(dataset, plan))
    assert_same(itertools.chain(*steps), itertools.chain(*expected))
    drawn = packed_steps(dataset, plan, shuffle=Shuffle(0, batch_buffer=40, held_bytes=50_000))
    assert sorted(keys_of(drawn.as_numpy_iterator())) == sorted(map(bytes, stored_in(dataset)))


@shuffles
def test_steps_of_a_seed_and_epoch_are_fixed(dataset, read_epochs, shuffle):
    _, *epochs = read_epochs(shuffle)
    tf.random.set_seed(7)  # which must change nothing
    again = packed_steps(dataset, plan_of(dataset), shuffle=shuffle, epochs=range(1, 3))
    steps = itertools.chain(*epochs)
    assert_same(itertools.chain(*steps), again.as_numpy_iterator())


@pytest.mark.parametrize("name", HELD)
def test_mates_of_a_step_are_others_in_each_epoch(read_epochs, name):
    first, second = (
        {pair for step in steps for pair in itertools.combinations(sorted(keys_of(step)), 2)}
        for steps in read_epochs(SHUFFLES[name])[:2]
    )
    # Of 3,000 sequences, 31 are mates in a step: a pair meets again once in a hundred times.
    assert len(first & second) < 0.03 * len(first)


def test_another_seed_draws_other_steps(dataset, read_epochs):
    one, other = SHUFFLES["whole"], dataclasses.replace(SHUFFLES["whole"], seed=6)
    steps = steps_of(packed_steps(dataset, plan_of(dataset), shuffle=other))
    assert list(map(keys_of, read_epochs(one)[0])) != list(map(keys_of, steps))


@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_reading_goes_on_from_any_step_bit_for_bit(make_dataset, held_bytes):
    # Each place to go on from is a pipeline to build, so the epochs are short.
    dataset = make_dataset([3] * 5 + [4] * 4 + [5] * 2 + [8], num_shards=2)
    plan = plan_of(dataset, batch_size=4, group_size=2, packed_timesteps=12)
    options = {"shuffle": Shuffle(5, held_bytes=held_bytes)}
    steps = steps_of(packed_steps(dataset, plan, epochs=range(3), **options))
    per_epoch = plan.steps_per_epoch
    assert (per_epoch, len(steps)) == (3, 9)
    assert any(len(step) > 1 for step in steps)
    for epoch, step in itertools.product(range(3), range(per_epoch)):
        rest = packed_steps(dataset, plan, epochs=range(epoch, 3), first_step=step, **options)
        expected = steps[epoch * per_epoch + step :]
        assert_same(rest.as_numpy_iterator(), itertools.chain(*expected))


@pytest.mark.parametrize("held_bytes", [HELD["whole"], HELD["rare"]], ids=["whole", "rare"])
def test_lengths_of_adjacent_steps_do_not_correlate(make_dataset, held_bytes):
    lengths = np.clip(np.random.default_rng(0).lognormal(3, 0.5, 8_000).astype(int), 1, None)
    dataset = make_dataset(lengths.tolist(), num_features=1, num_shards=4)
    plan, shuffle = plan_of(dataset), Shuffle(0, held_bytes=20 * held_bytes)
    batches = packed_steps(dataset, plan, shuffle=shuffle, epochs=range(6)).as_numpy_iterator()
    orders = []
    for _ in range(6):
        order = StepOrder(plan.steps_per_epoch)
        for batch in itertools.islice(batches, plan.steps_per_epoch):
            order.add(batch["length"].mean())
        orders.append(order.result(len(orders)))
    assert max(abs(order.correlation) for order in orders) < 0.15
    # By chance one epoch may be off by 5 %, the mean of six by 2 %.
    assert abs(np.mean([order.drift for order in orders])) < 0.03


@shuffles_of_few
@pytest.mark.parametrize(
    "replicas",
    [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(4, marks=pytest.mark.slow), 8],
)
def test_pieces_of_all_replicas_are_the_steps_of_one(make_dataset, replicas, shuffle):
    dataset = make_dataset([2, 3, 3, 3, 5, 8, 9] * 6 + [30], num_shards=2)
    options = {"batch_size": 12, "group_size": 3, "packed_timesteps": 40}
    one = packed_steps(dataset, plan_of(dataset, **options), shuffle=shuffle)
    plan = plan_of(dataset, **options, replicas=replicas)
    pieces = list(packed_steps(dataset, plan, shuffle=shuffle).as_numpy_iterator())
    whole = list(one.as_numpy_iterator())
    assert len(pieces) == replicas * len(whole)
    for i, batch in enumerate(whole):
        own = pieces[i * replicas : (i + 1) * replicas]
        assert {bool(piece["ends_step"]) for piece in own} == {bool(batch["ends_step"])}
        rows = {key: row for piece in own for key, row in unpack(piece).items()}
        expected = unpack(batch)
        assert rows.keys() == expected.keys()
        assert sum(len(piece["length"]) for piece in own) == len(expected)
        for key, row in rows.items():
            np.testing.assert_array_equal(row, expected[key])
        counts = [len(piece["length"]) for piece in own]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_machines_take_the_pieces_that_are_theirs(make_dataset, held_bytes):
    dataset = make_dataset([3] * 5 + [4] * 7)
    plan = plan_of(dataset, batch_size=8, replicas=4)
    options = {"shuffle": Shuffle(3, held_bytes=held_bytes)}
    everything = list(packed_steps(dataset, plan, **options).as_numpy_iterator())
    for first in (0, 2):
        own = packed_steps(dataset, plan, pieces=range(first, first + 2), **options)
        expected = [piece for i, piece in enumerate(everything) if first <= i % 4 < first + 2]
        assert_same(own.as_numpy_iterator(), expected)


@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_a_piece_is_empty_where_replicas_outnumber_rows(make_dataset, held_bytes):
    dataset = make_dataset([3, 5])
    plan = plan_of(dataset, replicas=4)
    shuffle = Shuffle(0, held_bytes=held_bytes)
    pieces = list(packed_steps(dataset, plan, shuffle=shuffle).as_numpy_iterator())
    assert [piece["values"].shape for piece in pieces] == [(5, 2), (3, 2), (0, 2), (0, 2)]
    assert [piece["length"].tolist() for piece in pieces] == [[5], [3], [], []]
    assert all(piece["ends_step"] for piece in pieces)


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 8])
def test_dealt_rows_have_about_the_same_timesteps(replicas):
    length = np.sort(np.random.default_rng(0).lognormal(3.5, 0.6, 61).astype(int) + 1)[::-1]
    pieces = [
        deal_rows(tf.range(len(length)), replicas, piece).numpy() for piece in range(replicas)
    ]
    assert sorted(np.concatenate(pieces)) == list(range(61))
    timesteps = [length[piece].sum() for piece in pieces]
    assert max(timesteps) - min(timesteps) <= length[0]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30))
def test_time_major_finds_each_timestep_of_each_row(length):
    length = np.sort(length)[::-1]
    begin = np.cumsum(length) - length
    expected = [
        b + t for t in range(max(length)) for b, n in zip(begin, length, strict=True) if t < n
    ]
    assert time_major(tf.constant(begin), tf.constant(length)).numpy().tolist() == expected


@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=40),
    st.integers(1, 30),
)
def test_steps_are_cut_where_the_next_group_does_not_fit(groups, limit):
    timesteps, ends_step = map(list, zip(*groups, strict=True))
    ends_step[-1] = True
    expected, together = [], 0
    for i, (count, ends) in enumerate(zip(timesteps, ends_step, strict=True)):
        together += count
        is_last = ends or together + timesteps[i + 1] > limit
        expected.append(is_last)
        together = 0 if is_last else together
    assert cut_steps(timesteps, ends_step, limit).numpy().tolist() == expected


@shuffles
def test_a_step_above_the_limit_is_cut_at_groups(dataset, read_epochs, shuffle):
    plan, cut = (plan_of(dataset, packed_timesteps=n) for n in (None, 200))
    assert plan.bucket_batch_sizes.tolist() == cut.bucket_batch_sizes.tolist()
    whole = read_epochs(shuffle)[0]
    parts = steps_of(packed_steps(dataset, cut, shuffle=shuffle))
    assert {len(step) for step in whole} == {1}
    assert min(len(step) for step in parts) > 1
    for step, batches in zip(whole, parts, strict=True):
        assert sorted(keys_of(step)) == sorted(keys_of(batches))
        assert all(len(batch["values"]) <= 200 for batch in batches)
        sums = [len(a["values"]) + len(b["values"]) for a, b in itertools.pairwise(batches)]
        # No batch could take all of the next one in.
        assert all(together > 200 for together in sums)


@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_a_sequence_above_the_limit_is_a_batch_of_its_own(make_dataset, held_bytes):
    dataset = make_dataset([3, 3, 50, 50, 7])
    plan = plan_of(dataset, packed_timesteps=40)
    (step,) = steps_of(packed_steps(dataset, plan, shuffle=Shuffle(0, held_bytes=held_bytes)))
    lengths = sorted(batch["length"].tolist() for batch in step)
    assert lengths.count([50]) == 2
    assert sum(50 in batch for batch in lengths) == 2


def test_a_budget_of_timesteps_fills_the_steps(dataset):
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_timesteps=500, group_size=4)
    steps = steps_of(packed_steps(dataset, plan, shuffle=Shuffle(0)))
    timesteps = [sum(len(batch["values"]) for batch in step) for step in steps]
    assert len(steps) == plan.steps_per_epoch
    assert np.mean(timesteps) == pytest.approx(500, rel=0.05)
    assert max(timesteps) < 500 + 4 * max(lengths)


def test_steps_of_no_epoch_are_none(make_dataset):
    dataset = make_dataset([3])
    for shuffle in (None, Shuffle(0)):
        batches = packed_steps(dataset, plan_of(dataset), shuffle=shuffle, epochs=range(2, 2))
        assert list(batches) == []


@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_steps_say_how_many_they_are_where_none_is_cut(make_dataset, held_bytes):
    dataset = make_dataset([2, 3, 3, 5] * 6)
    plan = plan_of(dataset, batch_size=8, replicas=3)
    options = {"epochs": range(2), "first_step": 2, "shuffle": Shuffle(0, held_bytes=held_bytes)}
    batches = packed_steps(dataset, plan, **options)
    assert len(batches) == len(list(batches)) == (2 * plan.steps_per_epoch - 2) * 3
    cut = plan_of(dataset, batch_size=8, packed_timesteps=20)
    assert packed_steps(dataset, cut, **options).cardinality() == tf.data.UNKNOWN_CARDINALITY


def test_records_without_a_key_are_read(tmp_path):
    features = {
        "mfcc": tf.train.Feature(float_list=tf.train.FloatList(value=range(6))),
        "frames": tf.train.Feature(int64_list=tf.train.Int64List(value=[3])),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(str(tmp_path / "a")) as writer:
        writer.write(example.SerializeToString())
    dataset = open_records(
        [tmp_path / "a"], RecordFormat(2, sequence="mfcc", length="frames", key=None)
    )
    for shuffle in (None, Shuffle(0)):
        (batch,) = packed_steps(dataset, plan_of(dataset), shuffle=shuffle).as_numpy_iterator()
        assert "key" not in batch
        np.testing.assert_array_equal(batch["values"], [[0, 1], [2, 3], [4, 5]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_step": -1}, "`first_step` must be from 0 to 1, got -1"),
        ({"first_step": 2}, "`first_step` must be from 0 to 1, got 2"),
        ({"pieces": range(1, 3)}, r"`pieces` must be some in a row of the 2.*got range\(1, 3\)"),
        ({"pieces": range(1, 1)}, r"`pieces`.*got range\(1, 1\)"),
        ({"pieces": range(0, 2, 2)}, r"`pieces`.*got range\(0, 2, 2\)"),
        ({"split": "test"}, r"a split 'test', it has 'train'"),
        ({"split": "train"}, None),
    ],
)
def test_packed_steps_reject(make_dataset, options, message):
    dataset = make_dataset([3] * 8)
    plan = plan_of(dataset, batch_size=4, group_size=2, replicas=2)
    if message is None:
        assert len(list(packed_steps(dataset, plan, **options))) == 4
        return
    with pytest.raises(ValueError, match=message):
        packed_steps(dataset, plan, **options)


def test_packed_steps_reject_a_plan_without_groups_or_of_another_split(make_dataset):
    dataset = make_dataset({"train": [3, 4], "validation": [3]})
    with pytest.raises(ValueError, match="`plan` must have a `group_size`"):
        packed_steps(dataset, plan_batches(dataset.split("train").lengths))
    with pytest.raises(ValueError, match="'validation': it counts 2 sequences, the split has 1"):
        packed_steps(dataset, plan_of(dataset), split="validation")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files[0].write_bytes(b""), "a shard has lost records"),
        (lambda files: [file.write_bytes(b"") for file in files], "a shard has lost records"),
        (lambda files: files[0].write_bytes(files[0].read_bytes() * 2), "not counted often"),
        (lambda files: files[0].write_bytes(files[0].read_bytes() * 200), "not counted often"),
        (
            lambda files: files[0].write_bytes(files[0].read_bytes() + files[1].read_bytes()),
            "not counted often enough",
        ),
        (lambda files: files[1].write_bytes(files[1].read_bytes()[:-3]), r"-of-00002.*truncated"),
    ],
    ids=["one shard lost", "all lost", "one twice", "many times", "another twice", "truncated"],
)
@pytest.mark.parametrize("held_bytes", [10**9, 0], ids=["whole", "none"])
def test_records_that_are_not_those_of_the_plan_are_an_error(
    make_dataset, change, message, held_bytes
):
    dataset = make_dataset([3] * 40 + [5, 5, 60], num_shards=2)
    plan = plan_of(dataset, batch_size=8)
    change(dataset.split("train").files)
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    shuffle = Shuffle(0, held_bytes=held_bytes)
    with pytest.raises(ValueError, match=message), explained(dataset.split("train")):
        list(packed_steps(dataset, plan, shuffle=shuffle))


@shuffles_of_few
def test_a_record_of_an_unknown_length_is_an_error(make_dataset, shuffle):
    dataset, other = make_dataset([3] * 4 + [60] * 4), make_dataset([4])
    (file,), (more,) = dataset.split("train").files, other.split("train").files
    file.write_bytes(file.read_bytes() + more.read_bytes())
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    with (
        pytest.raises(ValueError, match="a length that is not counted"),
        explained(dataset.split("train")),
    ):
        list(packed_steps(dataset, plan_of(dataset), shuffle=shuffle))


@shuffles_of_few
def test_a_record_whose_values_do_not_fit_its_length_is_an_error(make_dataset, shuffle):
    dataset = make_dataset([3] * 4 + [5] * 4)
    (file,) = dataset.split("train").files
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    examples[0].features.feature["sequence"].float_list.value.pop()
    with tf.io.TFRecordWriter(str(file)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    dataset = open_dataset(dataset.split("train").files[0].parent)  # damaged before it was opened
    rule = "`sequence` must hold `length` times 2 values"
    with pytest.raises(ValueError, match=rule), explained(dataset.split("train")):
        list(packed_steps(dataset, plan_of(dataset), shuffle=shuffle))
