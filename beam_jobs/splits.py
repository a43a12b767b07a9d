"""Which split and which shard a sequence goes to, and how many shards there are.

Both are drawn from a hash of (seed, key) alone, so that a sequence stays in its split when others
come or go, on every machine and in every version of Python.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping

from padless.beam_jobs.fragments import Sequence
from padless.beam_jobs.options import PreprocessOptions

# Framing, tags and names of a record, about; for the size of a shard only.
_RECORD_OVERHEAD_BYTES = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """What is known of the dataset when all sequences have been seen.

    Attributes:
        num_features: values per timestep, of most sequences; 0 if there is no sequence.
        num_shards: split -> number of shards, in the order of the options; no empty split.
    """

    num_features: int
    num_shards: Mapping[str, int]


def hash_key(seed: int, key: bytes) -> tuple[int, int]:
    """Draws two independent numbers below 2**64 for a key: for its split and for its order."""
    digest = hashlib.blake2b(key, digest_size=16, key=b"%d" % seed).digest()
    return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")


def draw_split(key: bytes, options: PreprocessOptions) -> str:
    """Draws a split, each as often as its share says.

    Example:
        >>> from padless.beam_jobs.options import PreprocessOptions
        >>> options = PreprocessOptions(inputs=("x.npz",), output="x")
        >>> [draw_split(key, options) for key in (b"a", b"b", b"c")]
        ['train', 'train', 'test']
    """
    point = hash_key(options.seed, key)[0] / 2**64
    bound = 0.0
    for name, share in options.splits:
        bound += share
        if point < bound:
            return name
    return options.splits[-1][0]


def draw_shard(key: bytes, num_shards: int, options: PreprocessOptions) -> int:
    """Draws one of the shards of the key's split."""
    return hash_key(options.seed, key)[1] % num_shards


def order_in_shard(sequence: Sequence, options: PreprocessOptions):
    """Gives what a shard's sequences are sorted by."""
    if options.order == "input":
        return sequence.place
    return hash_key(options.seed, sequence.key)[1], sequence.key


def measure(sequence: Sequence) -> int:
    """Estimates the bytes of a sequence's record, the same for the same sequence."""
    label = sequence.label or b""
    return sequence.values.nbytes + len(sequence.key) + len(label) + _RECORD_OVERHEAD_BYTES


def plan_layout(
    counts: Mapping[tuple[str, int], int],
    num_bytes: Mapping[tuple[str, int], int],
    options: PreprocessOptions,
) -> Layout:
    """Plans the layout from what all sequences add up to.

    Args:
        counts: (split, number of features) -> number of sequences.
        num_bytes: (split, number of features) -> bytes of their records.
        options: splits, size of a shard and order.
    """
    by_features = collections.Counter()
    for (_, num_features), count in counts.items():
        by_features[num_features] += count
    if not by_features:
        return Layout(0, {})
    num_features = min(by_features, key=lambda features: (-by_features[features], features))
    return Layout(
        num_features,
        {
            split: _count_shards(num_bytes[split, num_features], options)
            for split, _ in options.splits
            if (split, num_features) in counts
        },
    )


def _count_shards(num_bytes: int, options: PreprocessOptions) -> int:
    if options.order == "input":
        return 1
    return max(1, -(-num_bytes // options.shard_bytes))
