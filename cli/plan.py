"""`padless plan`: the batches of an epoch, what padding would cost, how mixed their order is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from padless.cli.arguments import (
    add_budget_arguments,
    add_picture_argument,
    add_tail_arguments,
    options_checked,
)
from padless.cli.progress import progress_of

if TYPE_CHECKING:
    from padless.pipeline import BatchPlan, SequenceDataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("dataset", metavar="DATASET", help="dataset directory")
    parser.add_argument("--split", default="train", metavar="NAME", help="split to plan")
    parser.add_argument(
        "--replicas", type=int, default=1, metavar="N", help="replicas that share each batch"
    )
    parser.add_argument(
        "--buckets", action="store_true", help="also list every length with its batches"
    )
    parser.add_argument(
        "--order",
        type=int,
        metavar="N",
        help="also read N epochs and show how mixed the order of each is",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the order, as of `padless train`"
    )
    parser.add_argument(
        "--frontier", action="store_true", help="also list what other bounds on the padding give"
    )
    add_picture_argument(parser, "picture of what each bound gives")
    add_budget_arguments(parser)
    add_tail_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the plan."""
    from padless.pipeline import (
        describe_plan,
        list_buckets,
        open_dataset,
        plan_batches,
        plan_frontier,
    )
    from padless.pipeline.planning.padding_bounds import (
        PICTURE_BOUNDS,
        TABLE_BOUNDS,
        draw_frontier,
        list_frontier,
    )

    options = _plan_options(args)
    dataset = open_dataset(args.dataset)
    lengths = dataset.split(args.split).lengths
    plan = plan_batches(
        lengths, max_padding=args.max_padding, accumulate=args.accumulate, **options
    )
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
    from padless.pipeline import Shuffle, measure_order
    from padless.pipeline.batching.rare import describe_held

    shuffle = Shuffle(args.seed)
    num_features = dataset.record_format.num_features
    print(f"\n{describe_held(plan, num_features, shuffle.held_bytes)}")
    orders = measure_order(
        dataset,
        plan,
        split=args.split,
        shuffle=shuffle,
        epochs=range(args.order),
        progress=progress_of("batches"),
    )
    for order in orders:
        print(order, flush=True)


def _plan_options(args: argparse.Namespace) -> dict:
    """Checks the options and gives those that every plan of this call shares."""
    from padless.pipeline import BatchCost, Budget
    from padless.pipeline.planning.plan import check_max_padding

    options = {
        "batch_size": args.batch_size,
        "batch_timesteps": args.batch_timesteps,
        "replicas": args.replicas,
    }
    with options_checked(args.parser):
        Budget.of(args.batch_size, args.batch_timesteps)
        check_max_padding(args.max_padding)
        for name, least in {"replicas": 1, "order": 1, "seed": 0}.items():
            if (value := getattr(args, name)) is not None and value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
        return (
            options if args.batch_cost is None else options | {"cost": BatchCost(*args.batch_cost)}
        )
