"""`padless plan`: the batches of an epoch, and what padding would cost."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_budget_arguments, add_padding_arguments, options_checked


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
        "--frontier", action="store_true", help="also list what other bounds on the padding give"
    )
    parser.add_argument(
        "--picture",
        metavar="FILE.png",
        help="picture of what each bound gives; needs the extra `plot`",
    )
    add_budget_arguments(parser)
    add_padding_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the plan."""
    from padless.pipeline import open_dataset, plan_batches, plan_frontier
    from padless.pipeline.frontier import PICTURE_BOUNDS, TABLE_BOUNDS, draw_frontier, list_frontier

    options = _plan_options(args)
    dataset = open_dataset(args.dataset)
    lengths = dataset.split(args.split).lengths
    plan = plan_batches(lengths, max_padding=args.max_padding, **options)
    print(f"{dataset.name}, split {args.split}")
    print(plan.summary())
    if args.buckets:
        print(plan.table())
    if args.frontier:
        bounds = sorted({*TABLE_BOUNDS, args.max_padding})
        print(f"\n{list_frontier(plan_frontier(lengths, bounds, **options))}")
    if args.picture:
        draw_frontier(plan_frontier(lengths, PICTURE_BOUNDS, **options), args.picture)
        print(f"picture: {args.picture}")


def _plan_options(args: argparse.Namespace) -> dict:
    """Checks the options and gives those that every plan of this call shares."""
    from padless.pipeline import BatchCost, Budget
    from padless.pipeline.plan import check_max_padding

    options = {
        "batch_size": args.batch_size,
        "batch_timesteps": args.batch_timesteps,
        "replicas": args.replicas,
    }
    with options_checked(args.parser):
        Budget.of(args.batch_size, args.batch_timesteps)
        check_max_padding(args.max_padding)
        if args.replicas < 1:
            raise ValueError(f"`replicas` must be at least 1, got {args.replicas}.")
        return (
            options if args.batch_cost is None else options | {"cost": BatchCost(*args.batch_cost)}
        )
