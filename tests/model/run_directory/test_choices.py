"""What is chosen where options leave it open."""

import dataclasses

import pytest

from padless.model import Architecture, TrainingOptions
from padless.model.run_directory.choices import choose, choose_batch_size


@pytest.mark.parametrize(
    ("lengths", "size"),
    [
        ({1: 1}, 1),
        ({63: 5}, 1),
        ({64: 5}, 2),
        ({116: 5}, 3),
        ({10: 4, 200: 5}, 6),  # the median, not the mean
        ({10: 5, 200: 5}, 1),
        ({5_000: 3}, 8),
    ],
)
def test_a_sequence_of_median_length_takes_some_32_recurrent_steps(lengths, size):
    chosen = choose(Architecture(), TrainingOptions(), lengths)
    assert chosen.architecture == Architecture(patch_length=size)
    assert f"the median length is {sorted(lengths)[-1 if size > 1 else 0]:,}" in chosen.reasons[0]


@pytest.mark.parametrize(
    ("count", "batch_size", "epochs"),
    [(1, 16, 60), (50, 16, 60), (300, 16, 60), (600, 32, 60), (6_600, 64, 20), (10**6, 64, 5)],
)
def test_budget_and_epochs_follow_the_number_of_sequences(count, batch_size, epochs):
    chosen = choose(Architecture(), TrainingOptions(), {20: count})
    assert (chosen.options.batch_size, chosen.options.epochs) == (batch_size, epochs)
    assert chosen.options.num_epochs == epochs
    size, number = chosen.reasons[1:]
    assert size == f"{batch_size} sequences per step: there are {count:,}"
    steps = chosen.options.plan({20: count}, replicas=1).steps_per_epoch
    assert number == f"{epochs} epochs: an epoch has {steps:,} steps"


@pytest.mark.parametrize("budget", [{"batch_size": 7}, {"batch_timesteps": 211}])
def test_epochs_are_chosen_for_the_steps_that_the_plan_has(budget):
    lengths, options = {3: 11, 20: 40, 200: 9}, TrainingOptions(**budget)
    chosen = choose(Architecture(), options, lengths)
    steps = chosen.options.plan(lengths, replicas=1).steps_per_epoch
    assert chosen.reasons[-1] == f"{chosen.options.epochs} epochs: an epoch has {steps:,} steps"


def test_what_is_given_stays():
    architecture = Architecture(patch_length=2, units=4)
    options = TrainingOptions(epochs=3, batch_timesteps=100, seed=7)
    chosen = choose(architecture, options, {1_000: 10})
    assert (chosen.architecture, chosen.options, chosen.reasons) == (architecture, options, ())
    assert choose_batch_size(options, {1_000: 10}) is options


def test_a_choice_is_final():
    lengths = {30: 100, 90: 150}
    chosen = choose(Architecture(), TrainingOptions(), lengths)
    assert choose(chosen.architecture, chosen.options, lengths) == dataclasses.replace(
        chosen, reasons=()
    )


def test_epochs_must_be_chosen_before_they_are_counted():
    with pytest.raises(ValueError, match="`epochs` must be at least 1 before training starts"):
        _ = TrainingOptions().num_epochs
