"""`padless plan`: the batches of an epoch, what padding would cost, how mixed their order is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from padless.cli.arguments import (
    COST_OPTIONS,
    add_budget_arguments,
    add_picture_argument,
    add_tail_arguments,
)
from padless.cli.parser import Parser, add_option, options_checked

if TYPE_CHECKING:
    from padless.pipeline import BatchPlan, SequenceDataset


USAGE = "DATASET [options]"
EXAMPLES = (
    "padless plan data --batch-size 32 --buckets",
    "padless plan data --batch-timesteps 2000 --order 2 --frontier",
)


def add_arguments(parser: Parser) -> None:
    """Adds the arguments."""
    parser.names |= COST_OPTIONS
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    batches = parser.add_argument_group("batches")
    add_option(batches, "--split", "split to plan", default="train", metavar="NAME")
    replicas = "replicas that share each batch"
    add_option(batches, "--replicas", replicas, type=int, default=1, metavar="N")
    add_budget_arguments(batches)
    add_tail_arguments(batches)
    shown = parser.add_argument_group("what is shown")
    shown.add_argument(
        "--buckets", action="store_true", help="also list every length with its batches"
    )
    order = "also read N epochs and show how mixed the order of each is (default: none)"
    add_option(shown, "--order", order, type=int, metavar="N")
    seed = "seed of that order, as of `padless train`"
    add_option(shown, "--seed", seed, type=int, default=0, metavar="N")
    shown.add_argument(
        "--frontier", action="store_true", help="also list what other bounds on the padding give"
    )
    add_picture_argument(shown, "draw what each bound on the padding gives into this file")


def run(args: argparse.Namespace) -> None:
    """Prints the plan."""
    from padless.pipeline import (
        describe_plan,
        list_buckets,
        open_dataset,
        plan_frontier,
    )
    from padless.pipeline.planning.padding_bounds import (
        PICTURE_BOUNDS,
        TABLE_BOUNDS,
        draw_frontier,
        list_frontier,
    )
    from padless.pipeline.planning.plan import plan_epoch

    options = _plan_options(args)
    dataset = open_dataset(args.dataset)
    lengths = dataset.split(args.split).lengths
    plan = plan_epoch(lengths, max_padding=args.max_padding, **options)
    print(f"{dataset.name}, split {args.split}")
    print(describe_plan(plan))
    if args.buckets:
        print(list_buckets(plan))
    if args.frontier:
        bounds = sorted({*TABLE_BOUNDS, args.max_padding})
        print(f"\n{list_frontier(plan_frontier(lengths, bounds, **options))}")
    if args.picture:
        draw_frontier(plan_frontier(lengths, PICTURE_BOUNDS, **options), args.picture)
        print(f"picture: {args.picture}")
    if args.order is not None:
        _print_order(dataset, plan, args)


def _print_order(dataset: SequenceDataset, plan: BatchPlan, args: argparse.Namespace) -> None:
    from padless.pipeline.tensorflow_start import start_tensorflow

    start_tensorflow()
    from padless.cli.progress import progress_shown
    from padless.pipeline import Shuffle, measure_order
    from padless.pipeline.batching.rare import describe_held

    shuffle = Shuffle(args.seed)
    num_features = dataset.record_format.num_features
    print(f"\n{describe_held(plan, num_features, shuffle.held_bytes)}")
    with progress_shown(quiet=args.quiet) as progress:
        orders = measure_order(
            dataset,
            plan,
            split=args.split,
            shuffle=shuffle,
            epochs=range(args.order),
            progress=progress,
        )
        for order in orders:
            print(order, flush=True)


def _plan_options(args: argparse.Namespace) -> dict:
    """Checks the options and returns those that every plan of this call shares."""
    from padless.pipeline import BatchCost, Budget
    from padless.pipeline.planning.plan import check_max_padding

    options: dict[str, Any] = {"replicas": args.replicas, "accumulate": args.accumulate}
    with options_checked(args.parser):
        options["budget"] = Budget.of(args.batch_size, args.batch_timesteps)
        check_max_padding(args.max_padding)
        for name, least in {"replicas": 1, "order": 1, "seed": 0}.items():
            if (value := getattr(args, name)) is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
        if args.batch_cost is not None:
            options["cost"] = BatchCost(*args.batch_cost)
    return options
