"""One objective: however the work is cut and dealt out, the weights come out the same."""

import functools
import itertools
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from padless.model import Trainer, mirrored_strategy
from padless.pipeline import Shuffle, equal_length_batches, plan_batches

# Fewer sequences than replicas of some lengths, and numbers that no number of replicas divides.
LENGTHS = [3] * 1 + [4] * 2 + [5] * 3 + [7] * 5 + [8] * 2 + [9] * 3
BATCH_SIZE = 6
STEPS = 3


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(LENGTHS)


@pytest.fixture(scope="module")
def steps(dataset):
    """The sequences of each step of an epoch, one list per step, in the order of `deal`."""
    plan = plan_batches(dataset.split("train").lengths, batch_size=BATCH_SIZE)
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
    """Trains two epochs on a number of replicas, once: (trainer, losses of the steps)."""

    @functools.cache
    def run(replicas, optimizer, accumulate=True, **options):
        trainer = make_trainer(dataset, replicas, optimizer, **options)
        batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2, accumulate=accumulate)
        sums = [trainer.train_step(batches) for _ in range(2 * plan.steps_per_epoch)]
        return trainer, [float(step.loss) for step in sums]

    return run


def mean_error(model, sequences, weighting):
    """Computes the loss of sequences in NumPy, from the output of the model for each alone."""
    variance = np.float32(model.variance)
    errors = [np.square(model(s[None])[0].numpy() - s) / variance for s in sequences]
    weights = [len(s) if weighting == "timestep" else 1 for s in sequences]
    return np.average([error.mean() for error in errors], weights=weights)


def assert_same_training(train_on, weights_of, replicas, **options):
    """Trains on 1 replica and on others, and compares losses and weights, those of each replica."""
    trainer, expected_losses = train_on(1, **options)
    expected = weights_of(trainer.model)
    for count in replicas:
        trainer, losses = train_on(count, **options)
        np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
        np.testing.assert_allclose(
            weights_of(trainer.model), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
        )
        # What each replica holds, not the first one alone.
        for variable in trainer.model.trainable_variables:
            own = trainer.strategy.experimental_local_results(variable.value)
            assert len(own) == count
            assert all((value.numpy() == own[0].numpy()).all() for value in own)


PLAIN = {"optimizer": "sgd", "weighting": "sequence", "clip_norm": None}


@pytest.mark.parametrize(
    "options",
    [
        PLAIN,
        {"optimizer": "adam", "weighting": "timestep", "clip_norm": 0.01, "accumulate": False},
    ],
    ids=["sequence", "timestep-clipped-small steps"],
)
def test_any_number_of_replicas_trains_the_same_weights(train_on, weights_of, options):
    assert_same_training(train_on, weights_of, (2, 3, 4), **options)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["sequence", "timestep"])
@pytest.mark.parametrize("accumulate", [True, False], ids=["accumulated", "small steps"])
def test_1_to_8_replicas_train_the_same_weights(train_on, weights_of, weighting, accumulate):
    options = {"optimizer": "adam", "weighting": weighting, "accumulate": accumulate}
    assert_same_training(train_on, weights_of, range(2, 9), **options)


@pytest.mark.parametrize("weighting", ["sequence", "timestep"])
def test_the_loss_of_a_step_is_the_weighted_mean_over_its_sequences(
    make_trainer, deal, dataset, steps, weighting
):
    trainer = make_trainer(dataset, replicas=2, weighting=weighting)
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
    for sequences in steps:
        expected = mean_error(trainer.model, sequences, weighting)
        sums = trainer.train_step(batches)
        assert float(sums.loss) == pytest.approx(expected, rel=1e-5)
        lengths = [len(sequence) for sequence in sequences]
        weights = lengths if weighting == "timestep" else [1] * len(lengths)
        counted = [float(n) for n in (sums.weight, sums.sequences, sums.timesteps)]
        assert counted == [sum(weights), len(lengths), sum(lengths)]


@pytest.mark.parametrize("weighting", ["sequence", "timestep"])
def test_an_accumulated_step_is_one_step_on_the_padded_batch(
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
        error = reference.analyze(padded, length)["error"]
        loss = tf.reduce_sum(weight * error) / weight.sum()
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
    (unclipped, _), (clipped, _) = train_on(1, **PLAIN), train_on(1, **PLAIN | {"clip_norm": 1e3})
    np.testing.assert_allclose(
        weights_of(clipped.model), weights_of(unclipped.model), rtol=1e-6, atol=1e-7
    )


def test_evaluation_gives_the_loss_and_leaves_the_training_alone(
    train_on, make_trainer, deal, weights_of, dataset, steps
):
    expected, losses = train_on(2, "adam")
    trainer = make_trainer(dataset, replicas=2, optimizer="adam")
    batches, plan = deal(trainer, dataset, BATCH_SIZE, epochs=2)
    evaluated, _ = deal(trainer, dataset, BATCH_SIZE, epochs=2)
    for step, sequences in zip(range(2 * plan.steps_per_epoch), itertools.cycle(steps)):
        before = weights_of(trainer.model)
        loss = float(trainer.evaluation_step(evaluated).loss)
        if step < len(steps):
            expected_loss = mean_error(trainer.model, sequences, "sequence")
            assert loss == pytest.approx(expected_loss, rel=1e-5)
        np.testing.assert_array_equal(weights_of(trainer.model), before)
        assert float(trainer.train_step(batches).loss) == pytest.approx(losses[step], rel=1e-6)
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
    assert np.isnan(trainer.train_step(batches).loss)
    np.testing.assert_array_equal(weights_of(trainer.model), before)
    assert trainer.model.optimizer.iterations.numpy() == 1
    # What the step added up is gone as well.
    bias.assign(finite)
    assert np.isfinite(trainer.train_step(batches).loss)


def test_float16_trains_as_float32_does(make_trainer, deal, weights_of, dataset):
    """The loss is scaled by 2**15 and back: what is left is the rounding of 16 bits."""
    steps = {}
    for precision in ("float32", "mixed_float16"):
        options = {"precision": precision, "clip_norm": 0.1}
        trainer = make_trainer(dataset, replicas=2, optimizer="sgd", **options)
        assert trainer.scales_loss == (precision == "mixed_float16")
        start = weights_of(trainer.model)
        sums = trainer.train_step(deal(trainer, dataset, BATCH_SIZE)[0])
        steps[precision] = weights_of(trainer.model) - start, float(sums.gradient_norm)
    (expected, norm), (change, scaled_norm) = steps.values()
    assert np.linalg.norm(change - expected) <= 0.01 * np.linalg.norm(expected)
    assert scaled_norm == pytest.approx(norm, rel=0.01)
    assert np.linalg.norm(expected) == pytest.approx(0.01 * min(norm, 0.1), rel=1e-3)


def test_a_gradient_that_overflows_lowers_the_scale(make_trainer, deal, weights_of, dataset):
    trainer = make_trainer(dataset, replicas=2, optimizer="sgd", precision="mixed_float16")
    batches, _ = deal(trainer, dataset, BATCH_SIZE)
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
    plan = plan_batches(dataset.split("train").lengths, batch_size=BATCH_SIZE)
    slow = equal_length_batches(dataset, plan).map(
        tf.autograph.experimental.do_not_convert(_sleep_with_batch)
    )
    waited = float(trainer.train_step(iter(slow)).waited_seconds)
    assert waited > 0.9 * 0.2


def _sleep_with_batch(batch):
    def sleep(ends_step):
        time.sleep(0.2)
        return ends_step

    slept = tf.numpy_function(sleep, [batch["ends_step"]], tf.bool)
    slept.set_shape((None,))
    return {name: batch[name] for name in ("sequence", "length", "weight")} | {"ends_step": slept}


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
