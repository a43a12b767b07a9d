"""One objective: whatever a step is cut into or dealt out to, the weights come out the same."""

import functools
import itertools
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Trainer, mirrored_strategy
from padless.pipeline import Shuffle, equal_length_batches, packed_steps, plan_batches

# Some lengths have fewer sequences than a group, and the last step fewer than there are replicas.
LENGTHS = [3] * 1 + [4] * 2 + [5] * 3 + [7] * 5 + [8] * 2 + [9] * 3
BATCH_SIZE, GROUP_SIZE = 6, 2
STEPS = 3


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS)


@pytest.fixture(scope="module")
def steps(dataset):
    """The sequences of each step of an epoch, one list per step, in the order of `deal`."""
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=BATCH_SIZE, group_size=GROUP_SIZE)
    steps, step = [], []
    for batch in equal_length_batches(dataset, plan, shuffle=Shuffle(4)).as_numpy_iterator():
        step.extend(batch["sequence"])
        if batch["ends_step"][0]:
            steps.append(step)
            step = []
    assert len(steps) == plan.steps_per_epoch == STEPS
    assert len({len(sequence) for sequence in steps[0]}) > 1
    return steps


@pytest.fixture(scope="module")
def untrained(make_trainer, dataset):
    """Gives a trainer that has not trained: for the same options the same, as it is traced once."""

    @functools.cache
    def make(replicas, optimizer, **options):
        trainer = make_trainer(dataset, replicas, optimizer, **options)
        state = [*trainer.model.variables, *trainer.model.optimizer.variables]
        return trainer, [(variable, variable.numpy()) for variable in state]

    def set_back(replicas=1, optimizer="adam", **options):
        trainer, state = make(replicas, optimizer, **options)
        for variable, value in state:
            variable.assign(value)
        return trainer

    return set_back


@pytest.fixture(scope="module")
def train_on(untrained, deal, dataset):
    """Trains two epochs, once: (sums of the steps, weights that each replica holds)."""

    @functools.cache
    def run(replicas=1, packed_timesteps=None, **options):
        trainer = untrained(replicas, **options)
        options = {"group_size": GROUP_SIZE, "packed_timesteps": packed_timesteps}
        batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2, **options)
        steps = [trainer.train_step(batches) for _ in range(2 * plan.steps_per_epoch)]
        variables = [variable.value for variable in trainer.model.trainable_variables]
        held = [trainer.strategy.experimental_local_results(variable) for variable in variables]
        assert all(len(own) == replicas for own in held)
        weights = [
            np.concatenate([value.numpy().ravel() for value in own])
            for own in zip(*held, strict=True)
        ]
        return [[float(value) for value in step[:4]] for step in steps], weights

    return run


def mean_error(model, sequences, weighting):
    """Computes the loss of sequences in NumPy, from the output of the model for each alone.

    The errors are in units of the sequence's own deviation, unless that is rounding.
    """
    smallest = 1e-6 * np.sqrt(model.variance)
    scales = [np.maximum(s.std(axis=0), smallest) for s in sequences]
    pairs = zip(sequences, scales, strict=True)
    errors = [np.square((model(s[None])[0].numpy() - s) / scale) for s, scale in pairs]
    weights = [len(s) if weighting == "timestep" else 1 for s in sequences]
    return np.average([error.mean() for error in errors], weights=weights)


@pytest.fixture(scope="module")
def assert_same_training(train_on):
    """Compares the steps and the weights, those of each replica, with one packed batch a step."""

    def compare(replicas=1, packed_timesteps=None, **options):
        expected, (weights,) = train_on(**options)
        steps, held = train_on(replicas, packed_timesteps=packed_timesteps, **options)
        np.testing.assert_allclose(steps, expected, rtol=1e-5)
        np.testing.assert_allclose(held[0], weights, rtol=1e-5, atol=1e-5 * np.abs(weights).max())
        # What each replica holds, not the first one alone.
        assert len(held) == replicas
        assert all((own == held[0]).all() for own in held)

    return compare


def assert_counted(sums, sequences, weighting):
    lengths = [len(sequence) for sequence in sequences]
    weights = lengths if weighting == "timestep" else [1] * len(lengths)
    counted = [float(n) for n in (sums.weight, sums.sequences, sums.timesteps)]
    assert counted == [sum(weights), len(lengths), sum(lengths)]


TIMESTEPS_CLIPPED = {"weighting": "timestep", "clip_norm": 0.01}
both_objectives = pytest.mark.parametrize(
    "options", [{}, TIMESTEPS_CLIPPED], ids=["sequence", "timestep-clipped"]
)


@both_objectives
def test_a_step_cut_into_several_packed_batches_is_the_same_step(assert_same_training, options):
    # As many timesteps as the largest group has, so that most are packed batches of their own.
    assert_same_training(packed_timesteps=18, **options)


@pytest.mark.parametrize("replicas", [2, 3])
def test_any_number_of_replicas_trains_the_same_weights(assert_same_training, replicas):
    assert_same_training(replicas)


@pytest.mark.slow
@both_objectives
@pytest.mark.parametrize("replicas", [2, 4, 5, 6, 7, 8])
def test_2_to_8_replicas_train_the_same_weights(assert_same_training, replicas, options):
    assert_same_training(replicas, **options)


def test_a_replica_without_rows_adds_nothing(untrained, deal, make_dataset):
    dataset = make_dataset([4, 6])
    losses = []
    for replicas in (1, 3):
        trainer = untrained(replicas)
        batches, _ = deal(trainer, dataset, batch_size=2, group_size=1)
        sums = trainer.train_step(batches)
        assert [float(sums.weight), float(sums.timesteps)] == [2.0, 10.0]
        assert np.isfinite(float(sums.gradient_norm))
        losses.append(float(sums.loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_loss_of_a_step_is_the_mean_over_its_sequences_weighted_by_timesteps(
    untrained, deal, dataset, steps
):
    trainer = untrained(replicas=2, **TIMESTEPS_CLIPPED)
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    for sequences in steps:
        expected = mean_error(trainer.model, sequences, "timestep")
        sums = trainer.train_step(batches)
        assert float(sums.loss) == pytest.approx(expected, rel=1e-5)
        assert_counted(sums, sequences, "timestep")


@pytest.mark.parametrize(
    ("weighting", "options"),
    [("sequence", {}), ("timestep", {"weighting": "timestep", "clip_norm": 1e3})],
    ids=["sequence", "timestep-below-clip_norm"],
)
def test_a_step_is_one_step_on_the_padded_batch(
    untrained, make_trainer, deal, weights_of, dataset, steps, weighting, options
):
    trainer = untrained(optimizer="sgd", **options)
    reference = make_trainer(dataset).model
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    trainer.train_step(batches)

    length = np.array([len(sequence) for sequence in steps[0]])
    padded = np.full((len(length), 9, 2), 1e3, np.float32)
    for row, sequence in zip(padded, steps[0], strict=True):
        row[: len(sequence)] = sequence
    weight = np.float32(length if weighting == "timestep" else np.ones_like(length))
    variables = reference.trainable_variables
    start = weights_of(reference)
    with tf.GradientTape() as tape:
        losses = reference.sequence_losses(padded, length)
        loss = tf.reduce_sum(weight * losses) / weight.sum()
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    reference.optimizer.apply(gradients, variables)

    change = weights_of(reference) - start
    distance = np.linalg.norm(weights_of(trainer.model) - start - change)
    # The change is a small difference of the weights: half of it is their rounding.
    assert distance <= 1e-4 * np.linalg.norm(change)
    np.testing.assert_allclose(weights_of(trainer.model), weights_of(reference), atol=1e-6)


def test_one_trace_takes_all_lengths(untrained, deal, make_dataset):
    dataset = make_dataset([*range(1, 16), 3, 3, 8])
    trainer = untrained(replicas=2)
    batches, plan = deal(trainer, dataset, batch_size=2, epochs=2)
    for _ in range(plan.steps_per_epoch):
        trainer.train_step(batches)
        trainer.evaluation_step(batches)
    assert trainer.train_step.experimental_get_tracing_count() == 1
    assert trainer.evaluation_step.experimental_get_tracing_count() == 1


def test_training_and_evaluation_give_the_mean_and_evaluation_leaves_the_training_alone(
    train_on, untrained, deal, weights_of, dataset, steps
):
    trained, (expected, _) = train_on(2)
    trainer = untrained(replicas=2)
    batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2)
    evaluated, _ = deal(trainer, dataset, BATCH_SIZE, epochs=2)
    for step, sequences in zip(range(2 * plan.steps_per_epoch), itertools.cycle(steps)):
        before = weights_of(trainer.model)
        loss = float(trainer.evaluation_step(evaluated).loss)
        np.testing.assert_array_equal(weights_of(trainer.model), before)
        in_first_epoch = step < len(steps)
        expected_loss = mean_error(trainer.model, sequences, "sequence") if in_first_epoch else loss
        sums = trainer.train_step(batches)
        error, weight = trained[step][:2]
        assert float(sums.loss) == pytest.approx(error / weight, rel=1e-6)
        if in_first_epoch:
            assert loss == pytest.approx(expected_loss, rel=1e-5)
            assert float(sums.loss) == pytest.approx(expected_loss, rel=1e-5)
            assert_counted(sums, sequences, "sequence")
    np.testing.assert_array_equal(weights_of(trainer.model), expected)


def test_a_step_whose_loss_is_not_finite_leaves_weights_and_optimizer_as_they_are(
    untrained, deal, weights_of, dataset
):
    trainer = untrained(replicas=2)
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    trainer.train_step(batches)
    bias = trainer.model.head.bias
    finite = bias.numpy()
    bias.assign([np.nan, 0.0])
    before = weights_of(trainer.model)
    assert not np.isfinite(trainer.train_step(batches).loss)
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert trainer.model.optimizer.iterations.numpy() == 1
    # What the step added up is gone as well.
    bias.assign(finite)
    assert np.isfinite(trainer.train_step(batches).loss)


CLIP_NORM = 0.1


@pytest.fixture(scope="module")
def first_step(make_trainer, deal, weights_of, dataset):
    """Runs a first step, once: (trainer, batches left, change of the weights, gradient norm)."""

    @functools.cache
    def run(precision, replicas):
        options = {"precision": precision, "clip_norm": CLIP_NORM}
        trainer = make_trainer(dataset, replicas, keras.optimizers.SGD(1.0), **options)
        start = weights_of(trainer.model)
        batches, _ = deal(trainer, dataset, BATCH_SIZE)
        sums = trainer.train_step(batches)
        return trainer, batches, weights_of(trainer.model) - start, float(sums.gradient_norm)

    return run


def test_clip_norm_bounds_the_update(first_step):
    *_, change, norm = first_step("float32", replicas=1)
    assert norm > 1.1 * CLIP_NORM
    assert np.linalg.norm(change.astype(np.float64)) == pytest.approx(CLIP_NORM, rel=1e-3)


def test_float16_trains_as_float32_does(first_step):
    """The loss is scaled by 2**15 and back: what is left is the rounding of 16 bits."""
    exact, _, expected, norm = first_step("float32", replicas=1)
    scaling, _, change, scaled_norm = first_step("mixed_float16", replicas=2)
    assert scaling.scales_loss
    assert not exact.scales_loss
    assert np.linalg.norm(change - expected) <= 0.01 * np.linalg.norm(expected)
    assert scaled_norm == pytest.approx(norm, rel=0.01)


def test_a_gradient_that_overflows_lowers_the_scale(first_step, weights_of):
    trainer, batches, *_ = first_step("mixed_float16", replicas=2)
    trainer.model.optimizer.dynamic_scale.assign(2.0**126)
    before = weights_of(trainer.model)
    assert not np.isfinite(trainer.train_step(batches).gradient_norm)
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert trainer.model.optimizer.dynamic_scale.numpy() == 2.0**125


def test_dropout_is_for_training_alone(untrained, make_trainer, deal, dataset):
    trainers = dropping, exact = make_trainer(dataset, dropout=0.5), untrained(optimizer="sgd")
    dropping.model.set_weights(exact.model.get_weights())
    batches = [deal(trainer, dataset, BATCH_SIZE, epochs=2)[0] for trainer in trainers]
    evaluated = [float(t.evaluation_step(b).loss) for t, b in zip(trainers, batches, strict=True)]
    assert evaluated[0] == evaluated[1]
    trained = [float(t.train_step(b).loss) for t, b in zip(trainers, batches, strict=True)]
    assert abs(trained[0] - trained[1]) > 1e-3


def test_a_step_measures_how_long_it_waited_for_its_batches(untrained, dataset):
    trainer = untrained(optimizer="sgd")
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=BATCH_SIZE, group_size=GROUP_SIZE)
    slow = packed_steps(dataset, plan).map(
        tf.autograph.experimental.do_not_convert(_sleep_with_batch)
    )
    batches = trainer.strategy.distribute_datasets_from_function(lambda context: slow)
    waited = float(trainer.train_step(iter(batches)).waited_seconds)
    assert waited > 0.9 * 0.2


def _sleep_with_batch(batch):
    def sleep(ends_step):
        time.sleep(0.2)
        return ends_step

    slept = tf.numpy_function(sleep, [batch["ends_step"]], tf.bool)
    slept.set_shape(())
    return {name: batch[name] for name in ("values", "length", "weight")} | {"ends_step": slept}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"weighting": "batch"},
            "`weighting` must be one of 'sequence' and 'timestep', got 'batch'",
        ),
        ({"clip_norm": 0.0}, r"`clip_norm` must be above 0, got 0.0"),
        ({"clip_norm": -1.0}, r"`clip_norm` must be above 0, got -1.0"),
        ({"clip_norm": float("nan")}, r"`clip_norm` must be above 0, got nan"),
    ],
)
def test_trainer_rejects(make_model, options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_model(), mirrored_strategy(1), **options)
