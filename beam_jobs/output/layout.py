"""The layout of a dataset: which shard each partition of a split goes to.

Known when all sequences have been seen, and only then is the number of features known that most of
them have.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping

from padless.beam_jobs.options import Output

# Splits that are not drawn have no order of their own: these first, then by name.
_USUAL_ORDER = {"train": 0, "validation": 1, "test": 2}

# (split, number of features, partition) -> number of sequences and bytes of their records
Sizes = Mapping[tuple[str, int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Where each partition of each split goes.

    Attributes:
        num_features: values per timestep, of most sequences; 0 if there is no sequence.
        shards: split -> partition -> number of the shard; no empty split, partition or shard.
    """

    num_features: int
    shards: Mapping[str, Mapping[int, int]]

    @property
    def num_shards(self) -> dict[str, int]:
        """Split -> number of shards."""
        return {split: max(shards.values()) + 1 for split, shards in self.shards.items()}


def plan_layout(sizes: Sizes, output: Output) -> Layout:
    """Plans the layout from the sizes of all partitions."""
    by_features: collections.Counter[int] = collections.Counter()
    for (_, num_features, _), (count, _) in sizes.items():
        by_features[num_features] += count
    if not by_features:
        return Layout(0, {})
    num_features = min(by_features, key=lambda features: (-by_features[features], features))
    by_split: dict[str, dict[int, int]] = collections.defaultdict(dict)
    for (split, features, partition), (_, num_bytes) in sorted(sizes.items()):
        if features == num_features:
            by_split[split][partition] = num_bytes
    return Layout(
        num_features,
        {
            split: _assign_shards(by_split[split], output)
            for split in order_splits(by_split, output)
        },
    )


def order_splits(splits: Iterable[str], output: Output) -> list[str]:
    """Sorts splits: as the options name them, then others by name."""
    order = _USUAL_ORDER | {name: i for i, name in enumerate(output.split_names)}
    return sorted(splits, key=lambda split: (order.get(split, len(order)), split))


def _assign_shards(num_bytes: Mapping[int, int], output: Output) -> dict[int, int]:
    """Cuts the partitions of a split, in order, into shards of about equal bytes.

    A partition goes where its middle lies; shards that none goes to are left out.
    """
    total = sum(num_bytes.values())
    count = 1 if output.order == "input" else max(1, -(-total // output.shard_bytes))
    shards, start = {}, 0
    for partition, size in num_bytes.items():
        shards[partition] = min((2 * start + size) * count // (2 * total), count - 1)
        start += size
    numbers = {shard: number for number, shard in enumerate(sorted(set(shards.values())))}
    return {partition: numbers[shard] for partition, shard in shards.items()}
