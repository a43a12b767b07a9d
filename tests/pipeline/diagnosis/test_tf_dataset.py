"""Each trap of a `tf.data.Dataset`: found where it is, with its numbers, and nowhere else."""

import collections
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.pipeline import (
    Shuffle,
    diagnose_dataset,
    equal_length_batches,
    plan_batches,
)
from padless.pipeline.diagnosis.tf_dataset.replicas import deal_rows

LENGTHS = (3, 3, 3, 4, 4, 5, 6, 7, 8, 8, 9, 12)
SPEC = tf.TensorSpec((None, 2), tf.float32)


def draw(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [np.float32(rng.normal(size=(length, 2)) + 5) for length in lengths]


def from_sequences(sequences):
    """A dataset of sequences `(timesteps, 2)` whose lengths nothing knows before it is read."""
    return tf.data.Dataset.from_generator(lambda: iter(sequences), output_signature=SPEC)


def source(lengths=LENGTHS):
    return from_sequences(draw(lengths))


def plain():
    return source().padded_batch(2)


def with_length(dataset):
    return dataset.map(lambda x: {"values": x, "length": tf.shape(x)[0]})


def bucketed(dataset, boundaries, size=2, **options):
    sizes = [size] * (len(boundaries) + 1)
    return dataset.bucket_by_sequence_length(
        lambda x: tf.shape(x)[0], list(boundaries), sizes, **options
    )


def exact(dataset=None, lengths=LENGTHS, size=2, **options):
    """Batches of one length each."""
    dataset = source(lengths) if dataset is None else dataset
    return bucketed(dataset, sorted({length + 1 for length in lengths}), size, **options)


def padded_tensor(lengths=LENGTHS, longest=15, *, before=False):
    """An array `(sequences, longest, 2)`, padded by zeros."""
    values = np.zeros((len(lengths), longest, 2), np.float32)
    for row, sequence in zip(values, draw(lengths), strict=True):
        place = slice(longest - len(sequence), longest) if before else slice(len(sequence))
        row[place] = sequence
    return values


def find(dataset, name, **options):
    """Returns the finding of a trap; fails if the trap is not found."""
    diagnosis = diagnose_dataset(dataset, **options)
    (finding,) = (finding for finding in diagnosis.findings if finding.name == name)
    return finding


def one_shot():
    left = iter(draw(LENGTHS))
    return tf.data.Dataset.from_generator(lambda: left, output_signature=SPEC).padded_batch(2)


def broken_record(x):
    return tf.debugging.check_numerics(x, "broken")


def with_nan():
    sequences = draw(LENGTHS)
    sequences[1][0, 0] = np.nan
    return sequences


def with_zero():
    sequences = draw(LENGTHS)
    sequences[5][2] = 0
    return sequences


def to_target(x):
    return x, x


def to_weighted(batch):
    mask = tf.sequence_mask(batch["length"], tf.shape(batch["values"])[1], tf.float32)
    return {"x": batch["values"], "length": batch["length"]}, batch["values"], mask


# name of the trap -> a pipeline that has it, and one like it that has not
TRAPS = {
    "not_batched": (source, plain),
    "padding": (plain, exact),
    "past_last_boundary": (
        lambda: bucketed(source(), [4, 6]),
        lambda: bucketed(source(), [4, 6, 13]),
    ),
    "padded_before": (
        lambda: tf.data.Dataset.from_tensor_slices(padded_tensor()).batch(4),
        lambda: source([7] * 12).padded_batch(4),
    ),
    "counted_padding": (
        lambda: source().padded_batch(2).map(to_target),
        lambda: with_length(source()).padded_batch(2).map(to_weighted),
    ),
    "masked_values": (
        lambda: from_sequences(with_zero()).padded_batch(2),
        lambda: from_sequences(with_zero()).padded_batch(2, padding_values=-99.0),
    ),
    "lost_sequences": (
        lambda: exact(drop_remainder=True),
        lambda: source().padded_batch(4, drop_remainder=True),
    ),
    "ignored_errors": (
        lambda: from_sequences(with_nan()).map(broken_record).ignore_errors().padded_batch(2),
        plain,
    ),
    "repeated_sequences": (
        lambda: from_sequences(draw(LENGTHS) * 2).padded_batch(2),
        plain,
    ),
    "empty_sequences": (
        lambda: source([0, *LENGTHS]).padded_batch(2),
        plain,
    ),
    "not_finite": (
        lambda: from_sequences(with_nan()).padded_batch(2),
        plain,
    ),
    "small_batches": (lambda: source().padded_batch(5), lambda: source().padded_batch(6)),
    "same_order": (
        plain,
        lambda: source().shuffle(12).padded_batch(2),
    ),
    "small_shuffle": (
        lambda: source().shuffle(4).padded_batch(2),
        lambda: source().shuffle(12).padded_batch(2),
    ),
    "drift": (
        lambda: source(sorted([3, 4, 4, 4] * 4 + [30] * 4)).padded_batch(1),
        lambda: source([3, 4] * 10).padded_batch(1),
    ),
    "unknown_steps": (
        plain,
        lambda: source().padded_batch(2).apply(tf.data.experimental.assert_cardinality(6)),
    ),
    "retracing": (plain, lambda: source([5] * 8).padded_batch(2)),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_is_found_where_it_is_alone(name):
    trapped, free = TRAPS[name]
    diagnosis = diagnose_once(trapped)
    assert name in {finding.name for finding in diagnosis.findings}
    fits_80_columns(str(diagnosis))
    assert name in diagnose_once(free).not_found


@functools.cache
def diagnose_once(make):
    """Diagnoses a pipeline that several traps are looked for in."""
    return diagnose_dataset(make(), replicas=2)


def fits_80_columns(text):
    lines = [line for line in text.splitlines() if not line.startswith(" " * 8)]  # without code
    assert max(map(len, lines)) <= 80


def test_a_pipeline_without_traps():
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.stack(draw(LENGTHS)))
    diagnosis = diagnose_dataset(ragged.shuffle(12).ragged_batch(3), replicas=3)
    assert diagnosis.ok
    assert [finding.name for finding in diagnosis.findings] == ["retracing"]
    assert diagnosis.numbers["timesteps_computed"] == diagnosis.numbers["timesteps_real"] == 72
    assert str(diagnosis).count("no trap found, 1 note") == 1


@pytest.mark.parametrize("to_elements", [lambda x: x, to_target, lambda x: {"a": x}])
def test_padding_is_counted_whatever_comes_after(to_elements):
    found = find(source().padded_batch(4).map(to_elements).prefetch(1), "padding")
    # Four at a time, padded to 4, 7 and 12.
    assert dict(found.numbers) == {"computed": 92, "real": 72, "computed_per_real": 92 / 72}


def test_padding_by_a_map_after_ragged_batches():
    dataset = source().ragged_batch(4).map(lambda batch: batch.to_tensor())
    assert find(dataset, "padding").numbers["computed"] == 92


def test_padding_of_tokens_to_a_fixed_length():
    tokens = tf.data.Dataset.from_generator(
        lambda: ([3] * length for length in LENGTHS),
        output_signature=tf.TensorSpec([None], "int32"),
    )
    found = find(tokens.padded_batch(4, padded_shapes=[20]), "padding")
    assert (found.numbers["computed"], found.numbers["real"]) == (240, 72)


def test_a_component_with_lengths_tells_padding_from_data():
    values = {"values": padded_tensor(), "seq_len": np.array(LENGTHS)}
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(4)
    assert find(dataset, "padding").numbers["real"] == 72
    assert "padded_before" in diagnose_dataset(dataset).not_found
    named = dataset.map(lambda b: {"values": b["values"], "n": b["seq_len"]})
    assert find(named, "padding", length="n").numbers["real"] == 72


def test_sequences_past_the_last_boundary_are_counted():
    found = find(bucketed(source(), [4, 6], size=3), "past_last_boundary")
    # Lengths 6, 7, 8 and 8, 9, 12 are padded to 8 and to 12.
    assert dict(found.numbers) == {
        "sequences": 6,
        "last_boundary": 6,
        "computed": 3 * 8 + 3 * 12,
        "real": 50,
    }
    assert "no boundary above 6" in found.cost
    assert "[..., 6, 7, 8, 9, 10, 13], no_padding=True" in found.code[0]


def test_boundaries_of_another_length_are_not_judged():
    by_half = source().bucket_by_sequence_length(lambda x: tf.shape(x)[0] // 2, [2, 3], [3] * 3)
    assert "past_last_boundary" in diagnose_dataset(by_half).not_told


def test_the_famous_question():
    """Arrays padded by zeros, the input is the target: both traps of RepeatVector are named."""
    values = padded_tensor()
    dataset = tf.data.Dataset.from_tensor_slices((values, values)).shuffle(12).batch(4)
    padded = find(dataset, "padded_before")
    assert (padded.numbers["computed"], padded.numbers["looks_real"]) == (180, 72)
    assert {"padding", "masked_values"} <= diagnose_dataset(dataset).not_told.keys()
    assert "docs/alignment.md" in padded.mending
    counted = find(dataset, "counted_padding")
    assert counted.numbers["share"] == (180 - 72) / 180
    assert "RepeatVector discards the mask" in counted.cost


def test_padding_at_the_beginning_as_pad_sequences_puts_it():
    dataset = tf.data.Dataset.from_tensor_slices(padded_tensor(before=True)).batch(4)
    found = find(dataset, "padded_before")
    assert "begin with" in found.what
    assert found.numbers["looks_real"] == 72


def test_zeros_inside_padded_sequences_are_named():
    values = padded_tensor()
    values[10, 3:5] = 0
    found = find(tf.data.Dataset.from_tensor_slices(values).batch(4), "padded_before")
    assert found.numbers["inside"] == 2
    assert "2 timesteps inside 1 sequence are 0.0 too" in found.cost


def test_padding_may_be_infinite():
    values = padded_tensor()
    values[np.arange(values.shape[1]) >= np.array(LENGTHS)[:, None]] = -np.inf
    values[7, 2] = -np.inf
    parts = {"values": values, "length": np.array(LENGTHS)}
    found = find(tf.data.Dataset.from_tensor_slices(parts).batch(4), "masked_values")
    assert dict(found.numbers) == {"timesteps": 1, "sequences": 1, "value": -np.inf}


def test_weights_on_padding_are_found():
    def weigh_all(batch):
        features, target, mask = to_weighted(batch)
        return features, target, tf.ones_like(mask)

    found = find(with_length(source()).padded_batch(2).map(weigh_all), "counted_padding")
    assert "weights are above 0 at padded timesteps" in found.what


def test_the_mending_of_counted_padding_counts_real_timesteps_alone():
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    errors = []
    for _, target, mask in with_length(source()).padded_batch(4).map(to_weighted):
        real = target.numpy()[mask.numpy() > 0]
        errors.append((float(loss(target, target + 2 * mask[..., None] + 1, mask)), real.size))
    # An error of 3 at real timesteps and of 1 at padded ones.
    assert [error for error, _ in errors] == pytest.approx([9] * 3, rel=1e-5)
    assert sum(size for _, size in errors) == 72 * 2


def test_real_timesteps_that_a_mask_would_hide_are_counted():
    found = find(from_sequences(with_zero()).padded_batch(2), "masked_values")
    assert dict(found.numbers) == {"timesteps": 1, "sequences": 1, "value": 0.0}


def test_a_component_with_lengths_tells_real_zeros_from_padding():
    values = padded_tensor()
    values[7, 2] = values[10, :2] = 0
    parts = {"values": values, "length": np.array(LENGTHS)}
    found = find(tf.data.Dataset.from_tensor_slices(parts).batch(4), "masked_values")
    assert dict(found.numbers) == {"timesteps": 3, "sequences": 2, "value": 0.0}


@pytest.mark.parametrize("size", [2, 3])
def test_lost_sequences_are_those_that_do_not_come(size):
    dataset = exact(size=size, drop_remainder=True)
    found = find(dataset, "lost_sequences")
    seen = sum(len(batch) for batch in dataset)
    assert found.numbers["lost"] == len(LENGTHS) - seen > 0
    assert "Each epoch loses the same ones, those of" in found.cost


def test_lost_records_are_counted_before_they_are_parsed():
    records = tf.data.Dataset.from_tensor_slices([str(i) for i in range(10)])
    batches = records.batch(4, drop_remainder=True)
    parsed = batches.map(lambda batch: tf.ones((tf.shape(batch)[0], 3, 2)))
    assert find(parsed, "lost_sequences").numbers["lost"] == 2
    assert "padding" in diagnose_dataset(parsed).not_told


def test_sequences_that_a_later_stage_drops_are_not_called_lost():
    dataset = source().padded_batch(5, drop_remainder=True).take(1)
    assert "lost_sequences" in diagnose_dataset(dataset).not_told


def test_the_last_batch_weighs_more():
    found = find(source().padded_batch(11), "small_batches")
    assert (found.numbers["smallest"], found.numbers["weight"], found.is_trap) == (1, 11, True)
    assert not find(source().padded_batch(7), "small_batches").is_trap


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_are_given_what_mirrored_strategy_gives_them(replicas):
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    dataset = exact(size=5)
    rows = np.array([len(batch) for batch in dataset])
    dealt = [
        [len(piece) for piece in strategy.experimental_local_results(batch)]
        for batch in strategy.experimental_distribute_dataset(dataset)
    ]
    assert deal_rows(rows, replicas).tolist() == dealt
    found = find(dataset, "unequal_replicas", replicas=replicas).numbers
    assert found["steps"] == sum(len(set(pieces)) > 1 for pieces in dealt)
    assert found["steps_with_an_empty_replica"] == sum(0 in pieces for pieces in dealt)


def test_equal_replicas():
    dataset = source().padded_batch(4)
    assert "unequal_replicas" in diagnose_dataset(dataset, replicas=2).not_found
    assert "unequal_replicas" in diagnose_dataset(dataset).not_told


def test_shapes_are_those_that_a_function_is_traced_for():
    traces = []

    @tf.function
    def step(batch):
        traces.append(batch)
        return tf.reduce_sum(batch)

    dataset = source().padded_batch(5)
    for batch in dataset:
        step(batch)
    found = find(dataset, "retracing")
    assert found.numbers["shapes"] == len(traces) == 3
    assert found.numbers["trace_seconds"] > 0
    assert not found.is_trap


@pytest.mark.parametrize(
    "shuffled",
    [
        lambda: source().shuffle(12, seed=1, reshuffle_each_iteration=False).padded_batch(2),
        lambda: source().shuffle(12).cache().padded_batch(2),
    ],
)
def test_an_order_that_is_drawn_once_is_found(shuffled):
    assert "two epochs begin with the same batches" in find(shuffled(), "same_order").what


def test_batches_that_are_shuffled_whole_are_found():
    found = find(source().padded_batch(2).shuffle(6), "same_order")
    assert "only batches are shuffled" in found.what


def test_data_that_can_be_read_once_are_found():
    assert "0 of 12 sequences" in find(one_shot(), "no_second_epoch").cost


@pytest.mark.parametrize(("size", "is_trap"), [(4, True), (9, False)])
def test_a_shuffle_buffer_that_holds_most_is_only_noted(size, is_trap):
    found = find(source().shuffle(size).padded_batch(2), "small_shuffle")
    assert (found.numbers["buffer"], found.numbers["sequences"]) == (size, 12)
    assert found.is_trap == is_trap


def test_a_drift_is_said_in_timesteps():
    found = find(TRAPS["drift"][0](), "drift")
    assert found.numbers["before"] < found.numbers["after"]
    assert "ends with the long sequences" in found.what


def test_endless_epochs_are_read_once():
    found = find(source().padded_batch(2).repeat().prefetch(1), "unknown_steps")
    assert found.numbers["batches"] == 6
    assert "steps_per_epoch=6" in found.code[0]


def test_a_part_of_an_epoch_claims_less():
    dataset = exact(drop_remainder=True)
    diagnosis = diagnose_dataset(dataset, max_batches=2)
    assert not diagnosis.numbers["is_whole_epoch"]
    assert {"lost_sequences", "small_batches", "drift"} <= diagnosis.not_told.keys()
    assert "a part of an epoch" in diagnosis.description[2]


def test_options_that_give_up_the_order_are_noted():
    options = tf.data.Options()
    options.deterministic = False
    found = find(source().padded_batch(2).with_options(options), "not_deterministic")
    assert not found.is_trap


def test_batches_of_padless(make_dataset):
    dataset = make_dataset([3, 3, 3, 3, 4, 4, 7, 7])
    plan = plan_batches(dataset.split("train").lengths, batch_size=2)
    batches = equal_length_batches(dataset, plan, shuffle=Shuffle(0))
    diagnosis = diagnose_dataset(batches, replicas=2)
    assert {finding.name for finding in diagnosis.findings} == {"same_order", "retracing"}
    assert diagnosis.numbers["timesteps_computed"] == diagnosis.numbers["timesteps_real"] == 34


def test_stages_and_components_are_named():
    dataset = bucketed(source().shuffle(4), [4, 6]).map(lambda x: {"x": x, "n": x[:, 0, 0]})
    stages, components = diagnose_dataset(dataset).description[:2]
    assert stages == "stages: from_generator, shuffle, bucket_by_sequence_length, map"
    assert components == "components: n (?) float32; x (?, ?, 2) float32"


def test_progress_is_shown():
    shown = collections.Counter()
    diagnose_dataset(source().padded_batch(2), progress=lambda step: shown.update([step.work]))
    assert shown == {"read an epoch": 7, "read what is batched": 7}


def lengthened(batch):
    return batch | {"length": batch["length"] + 9}


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (lambda: [1, 2], {}, r"must be a tf\.data\.Dataset, got a list"),
        (lambda: source([]).padded_batch(2), {}, r"must have a batch, it is empty\."),
        (
            lambda: source().padded_batch(20, drop_remainder=True),
            {},
            r"it is empty: drop_remainder drops all of its 12 sequences\.",
        ),
        (lambda: source().repeat().padded_batch(2), {}, "cardinality is infinite and repeat"),
        (lambda: source().padded_batch(2), {"replicas": 0}, "`replicas` must be at least 1, got 0"),
        (lambda: source().padded_batch(2), {"max_batches": 0}, "`max_batches` must be at least 1"),
        (lambda: tf.data.Dataset.range(8).batch(2), {}, "must name the component with the times"),
        (
            lambda: source().map(lambda x: {"values": x}).padded_batch(2),
            {"sequence": "value"},
            r"one of the components 'values', got 'value'. Did you mean 'values'\?",
        ),
        (
            lambda: with_length(source()).padded_batch(2),
            {"sequence": "length"},
            "`sequence` must have a dimension of timesteps, got length",
        ),
        (
            lambda: with_length(source()).padded_batch(2),
            {"length": "values"},
            "`length` must be one integer for each sequence, got values",
        ),
        (
            lambda: (
                with_length(source()).padded_batch(2).map(lambda b: b | {"length": b["length"] + 9})
            ),
            {},
            r"`length` must hold the timesteps of each sequence, 'length' has \[12, 12\]",
        ),
        (
            lambda: bucketed(source(), [4, 6], pad_to_bucket_boundary=True),
            {},
            r"The dataset raised an error at batch 2: assertion failed: \[When pad_to_bucket_bound",
        ),
        (
            lambda: from_sequences(with_nan()).map(broken_record).padded_batch(1),
            {},
            "The dataset raised an error at batch 1: .*broken",
        ),
    ],
)
def test_bad_datasets_are_answered(dataset, options, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        diagnose_dataset(dataset(), **options)


def test_a_cache_in_files_is_left_whole(tmp_path):
    dataset = source().cache(str(tmp_path / "cache")).padded_batch(2)
    with pytest.raises(ValueError, match="`max_batches` must not be given where the dataset has a"):
        diagnose_dataset(dataset, max_batches=1)
    assert "same_order" in diagnose_dataset(dataset).not_told
    assert not list(tmp_path.glob("*lockfile*"))


def test_an_endless_dataset_is_read_as_far_as_asked():
    dataset = source().repeat().padded_batch(2)
    assert diagnose_dataset(dataset, max_batches=3).numbers["batches"] == 3
