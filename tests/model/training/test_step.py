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
def train_on(make_trainer, deal, dataset):
    """Trains two epochs, once: (trainer, sums of the steps)."""

    @functools.cache
    def run(replicas=1, optimizer="adam", packed_timesteps=None, **options):
        trainer = make_trainer(dataset, replicas, optimizer, **options)
        options = {"group_size": GROUP_SIZE, "packed_timesteps": packed_timesteps}
        batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2, **options)
        steps = [trainer.train_step(batches) for _ in range(2 * plan.steps_per_epoch)]
        return trainer, [[float(value) for value in step[:4]] for step in steps]

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
def assert_same_training(train_on, weights_of):
    """Compares the steps and the weights, those of each replica, with one packed batch a step."""

    def compare(replicas=1, packed_timesteps=None, **options):
        trainer, expected = train_on(**options)
        other, steps = train_on(replicas, packed_timesteps=packed_timesteps, **options)
        np.testing.assert_allclose(steps, expected, rtol=1e-5)
        weights = weights_of(trainer.model)
        np.testing.assert_allclose(
            weights_of(other.model), weights, rtol=1e-5, atol=1e-5 * np.abs(weights).max()
        )
        # What each replica holds, not the first one alone.
        for variable in other.model.trainable_variables:
            own = other.strategy.experimental_local_results(variable.value)
            assert len(own) == replicas
            assert all((value.numpy() == own[0].numpy()).all() for value in own)

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


def test_a_replica_without_rows_adds_nothing(make_trainer, deal, make_dataset):
    dataset = make_dataset([4, 6])
    losses = []
    for replicas in (1, 3):
        trainer = make_trainer(dataset, replicas, clip_norm=1.0)
        batches, _ = deal(trainer, dataset, batch_size=2, group_size=1)
        sums = trainer.train_step(batches)
        assert [float(sums.weight), float(sums.timesteps)] == [2.0, 10.0]
        assert np.isfinite(float(sums.gradient_norm))
        losses.append(float(sums.loss))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_loss_of_a_step_is_the_mean_over_its_sequences_weighted_by_timesteps(
    make_trainer, deal, dataset, steps
):
    trainer = make_trainer(dataset, replicas=2, weighting="timestep")
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    for sequences in steps:
        expected = mean_error(trainer.model, sequences, "timestep")
        sums = trainer.train_step(batches)
        assert float(sums.loss) == pytest.approx(expected, rel=1e-5)
        assert_counted(sums, sequences, "timestep")


@pytest.mark.parametrize("weighting", ["sequence", "timestep"])
def test_a_step_is_one_step_on_the_padded_batch(
    make_trainer, deal, weights_of, dataset, steps, weighting
):
    trainer = make_trainer(dataset, weighting=weighting)
    reference = make_trainer(dataset, weighting=weighting).model
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


def test_one_trace_takes_all_lengths(make_trainer, deal, make_dataset):
    dataset = make_dataset([*range(1, 16), 3, 3, 8])
    trainer = make_trainer(dataset, replicas=2)
    batches, plan = deal(trainer, dataset, batch_size=2, epochs=2)
    for _ in range(plan.steps_per_epoch):
        trainer.train_step(batches)
        trainer.evaluation_step(batches)
    assert trainer.train_step.experimental_get_tracing_count() == 1
    assert trainer.evaluation_step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("clip_norm", [0.01, 1e3])
def test_clip_norm_bounds_the_update(make_trainer, deal, weights_of, dataset, clip_norm):
    optimizer = keras.optimizers.SGD(1.0)
    trainer = make_trainer(dataset, optimizer=optimizer, clip_norm=clip_norm)
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    start = weights_of(trainer.model).astype(np.float64)
    trainer.train_step(batches)
    change = np.linalg.norm(weights_of(trainer.model) - start)
    assert change <= clip_norm * 1.001
    assert change >= 0.01 * 0.999


def test_a_gradient_below_clip_norm_is_left_as_it_is(train_on, weights_of):
    (unclipped, _), (clipped, _) = train_on(), train_on(clip_norm=1e3)
    np.testing.assert_allclose(
        weights_of(clipped.model), weights_of(unclipped.model), rtol=1e-6, atol=1e-7
    )


def test_training_and_evaluation_give_the_mean_and_evaluation_leaves_the_training_alone(
    train_on, make_trainer, deal, weights_of, dataset, steps
):
    expected, trained = train_on(2)
    trainer = make_trainer(dataset, replicas=2, optimizer="adam")
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
    np.testing.assert_array_equal(weights_of(trainer.model), weights_of(expected.model))


def test_a_step_whose_loss_is_not_finite_leaves_weights_and_optimizer_as_they_are(
    make_trainer, deal, weights_of, dataset
):
    trainer = make_trainer(dataset, replicas=2, optimizer="adam")
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


@pytest.fixture(scope="module")
def first_step(make_trainer, deal, weights_of, dataset):
    """Runs a first step, once: (trainer, batches left, change of the weights, gradient norm)."""

    @functools.cache
    def run(precision):
        options = {"precision": precision, "clip_norm": 0.1}
        trainer = make_trainer(dataset, replicas=2, optimizer="sgd", **options)
        start = weights_of(trainer.model)
        batches, _ = deal(trainer, dataset, BATCH_SIZE)
        sums = trainer.train_step(batches)
        return trainer, batches, weights_of(trainer.model) - start, float(sums.gradient_norm)

    return run


def test_float16_trains_as_float32_does(first_step):
    """The loss is scaled by 2**15 and back: what is left is the rounding of 16 bits."""
    exact, _, expected, norm = first_step("float32")
    scaling, _, change, scaled_norm = first_step("mixed_float16")
    assert scaling.scales_loss
    assert not exact.scales_loss
    assert np.linalg.norm(change - expected) <= 0.01 * np.linalg.norm(expected)
    assert scaled_norm == pytest.approx(norm, rel=0.01)
    assert np.linalg.norm(expected) == pytest.approx(0.01 * min(norm, 0.1), rel=1e-3)


def test_a_gradient_that_overflows_lowers_the_scale(first_step, weights_of):
    trainer, batches, *_ = first_step("mixed_float16")
    trainer.model.optimizer.dynamic_scale.assign(2.0**126)
    before = weights_of(trainer.model)
    assert not np.isfinite(trainer.train_step(batches).gradient_norm)
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert trainer.model.optimizer.dynamic_scale.numpy() == 2.0**125


def test_dropout_is_for_training_alone(make_trainer, deal, dataset):
    trainers = dropping, exact = make_trainer(dataset, dropout=0.5), make_trainer(dataset)
    dropping.model.set_weights(exact.model.get_weights())
    batches = [deal(trainer, dataset, BATCH_SIZE, epochs=2)[0] for trainer in trainers]
    evaluated = [float(t.evaluation_step(b).loss) for t, b in zip(trainers, batches, strict=True)]
    assert evaluated[0] == evaluated[1]
    trained = [float(t.train_step(b).loss) for t, b in zip(trainers, batches, strict=True)]
    assert abs(trained[0] - trained[1]) > 1e-3


def test_a_step_measures_how_long_it_waited_for_its_batches(make_trainer, dataset):
    trainer = make_trainer(dataset)
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=BATCH_SIZE, group_size=GROUP_SIZE)
    slow = packed_steps(dataset, plan).map(
        tf.autograph.experimental.do_not_convert(_sleep_with_batch)
    )
    waited = float(trainer.train_step(iter(slow)).waited_seconds)
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
        ({"weighting": "batch"}, r"`weighting` must be one of \('sequence', .*got 'batch'"),
        ({"clip_norm": 0.0}, r"`clip_norm` must be above 0, got 0.0"),
        ({"clip_norm": -1.0}, r"`clip_norm` must be above 0, got -1.0"),
        ({"clip_norm": float("nan")}, r"`clip_norm` must be above 0, got nan"),
    ],
)
def test_trainer_rejects(make_model, options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(make_model(), mirrored_strategy(1), **options)
