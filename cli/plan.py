"""`padless plan`: the batches of an epoch, and what padding would cost."""

from __future__ import annotations

import argparse

from padless.cli.arguments import add_budget_arguments, options_checked


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
    add_budget_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Prints the plan."""
    from padless.pipeline import Budget, open_dataset, plan_batches

    with options_checked(args.parser):
        Budget.of(args.batch_size, args.batch_timesteps)
        if args.replicas < 1:
            raise ValueError(f"`replicas` must be at least 1, got {args.replicas}.")
    dataset = open_dataset(args.dataset)
    plan = plan_batches(
        dataset.split(args.split).lengths,
        batch_size=args.batch_size,
        batch_timesteps=args.batch_timesteps,
        replicas=args.replicas,
    )
    print(f"{dataset.name}, split {args.split}")
    print(plan.summary())
    if args.buckets:
        print(plan.table())
