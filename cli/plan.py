"""`padless plan`: the steps of an epoch, what padding would cost, how mixed their order is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from padless.cli.arguments import add_budget_arguments
from padless.cli.json_output import add_json_argument, print_json
from padless.cli.messages import show
from padless.cli.parser import Parser, add_option, options_checked
from padless.model.run_directory.choices import choose_batch_size
from padless.model.run_directory.training_options import TrainingOptions
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.wording import plural

if TYPE_CHECKING:
    from padless.pipeline import BatchPlan, EpochOrder, SequenceDataset


_ORDER_NOTE = """\
how mixed the order of an epoch is: neither the step before nor the time in the
epoch should tell the lengths of a step; numbers in the ranges shown are those
of a random order"""
USAGE = "DATASET [options]"
EXAMPLES = (
    "padless plan data --batch-size 32 --buckets",
    "padless plan data --batch-timesteps 2000 --order 2",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    batches = parser.add_argument_group("steps")
    add_option(batches, "--split", "split to plan", default="train", metavar="NAME")
    add_budget_arguments(batches)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--buckets", action="store_true", help="also list every length with its groups"
    )
    order = "also read N epochs and show how mixed the order of each is (default: none)"
    add_option(shown, "--order", order, type=int, metavar="N")
    seed = "seed of that order, as of `padless train`"
    add_option(shown, "--seed", seed, type=int, default=0, metavar="N")
    add_json_argument(shown)


def run(args: argparse.Namespace) -> None:
    """Prints the plan."""
    from padless.pipeline import describe_plan, list_buckets, open_dataset

    training = _check_options(args)
    dataset = open_dataset(args.dataset)
    split = dataset.split(args.split)
    trained_on = dataset.splits.get(TRAINING_SPLIT, split)
    plan = choose_batch_size(training, trained_on.lengths).plan(split.lengths, replicas=1)
    if args.json:
        orders = [] if args.order is None else list(_measure_order(dataset, plan, args))
        print_json(_as_dict(dataset, plan, args) | _list_details(plan, orders, args))
        return
    show(f"{dataset.name}, split {args.split}")
    show(describe_plan(plan))
    if args.buckets:
        show(f"\n{list_buckets(plan)}")
    if args.order is not None:
        _print_order(dataset, plan, args)


def _print_order(dataset: SequenceDataset, plan: BatchPlan, args: argparse.Namespace) -> None:
    from padless.pipeline import Shuffle
    from padless.pipeline.batching.rare import describe_held

    show(f"\n{_ORDER_NOTE}")
    num_features = dataset.record_format.num_features
    show(describe_held(plan, num_features, Shuffle(args.seed).held_bytes))
    if too_short := _explain_short_epoch(plan.steps_per_epoch):
        show(too_short)
    for order in _measure_order(dataset, plan, args):
        show(order)


def _explain_short_epoch(steps: int) -> str | None:
    """Names the numbers that an epoch has too few steps for; None where it has enough."""
    if steps >= 5:
        return None
    missing = "no drift, which needs 5 steps"
    if steps < 3:
        missing = "neither a correlation, which needs 3 steps, nor a drift, which needs 5"
    return f"an epoch of {plural(steps, 'step')} has {missing}"


def _measure_order(
    dataset: SequenceDataset, plan: BatchPlan, args: argparse.Namespace
) -> Iterator[EpochOrder]:
    """Reads epochs and yields the order of each."""
    from padless.cli.progress import progress_shown
    from padless.pipeline import Shuffle, measure_order

    shuffle = Shuffle(args.seed)
    with progress_shown(quiet=args.quiet) as progress:
        yield from measure_order(
            dataset,
            plan,
            split=args.split,
            shuffle=shuffle,
            epochs=range(args.order),
            progress=progress,
        )


def _as_dict(dataset: SequenceDataset, plan: BatchPlan, args: argparse.Namespace) -> dict[str, Any]:
    from padless.pipeline.planning.describe import count_timesteps

    return {
        "dataset": dataset.name,
        "split": args.split,
        "batch_size": plan.budget.batch_size,
        "batch_timesteps": plan.budget.batch_timesteps,
        "group_size": plan.group_size,
        "sequences": plan.num_sequences,
        "timesteps": plan.num_timesteps,
        "lengths": len(plan.lengths),
        "shortest": min(plan.lengths),
        "longest": max(plan.lengths),
        "groups": plan.num_batches,
        "partial_groups": plan.partial_batches,
        "steps_per_epoch": plan.steps_per_epoch,
        "lengths_per_step": plan.bands_per_step,
        "timesteps_per_epoch": {
            way: {"computed": computed, "in_a_row": in_a_row}
            for way, (computed, in_a_row) in count_timesteps(plan).items()
        },
    }


def _list_details(
    plan: BatchPlan, orders: list[EpochOrder], args: argparse.Namespace
) -> dict[str, Any]:
    """Returns the lists that were asked for."""
    details: dict[str, Any] = {}
    if args.buckets:
        columns = {
            "length": plan.bucket_lengths,
            "sequences_per_group": plan.bucket_batch_sizes,
            "groups": plan.bucket_num_batches,
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        details["buckets"] = [dict(zip(columns, row, strict=True)) for row in rows]
    if args.order is not None:
        details["order"] = orders
    return details


def _check_options(args: argparse.Namespace) -> TrainingOptions:
    """Checks the options and returns how they would train."""
    with options_checked(args.parser):
        training = TrainingOptions(
            batch_size=args.batch_size,
            batch_timesteps=args.batch_timesteps,
            group_size=args.group_size,
        )
        for name, least in {"order": 1, "seed": 0}.items():
            if (value := getattr(args, name)) is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
    return training
