"""Which sequences come together, for loaders that are not tf.data. NumPy only."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence

import numpy as np

from padless.pipeline.planning.make_plan import plan_batches


class BatchSampler:
    """Lists the sequences of each batch by their positions, so that no batch needs padding.

    PyTorch's `DataLoader` takes it as its `batch_sampler`; for grain, `batches` returns those of an
    epoch as a list, which is a source. They are the batches of a `BatchPlan`. Without `group_size`
    all sequences of a batch have one length, so they can be stacked. With it a batch is a step of
    many lengths, by falling length, as PyTorch's `pack_sequence` and `PackedSequences` take them.

    Each iteration is an epoch: every sequence comes exactly once, with other batch-mates and in
    another order than in the epoch before. `epoch` is the one that the next iteration lists; set it
    to resume. The order depends on the lengths, the options, `seed` and the epoch alone.

    Args:
        lengths: timesteps of each sequence, integers of at least 1, `(sequences,)`.
        batch_size: most sequences per batch, or with `group_size` their mean; 64 if
            `batch_timesteps` is not given either.
        batch_timesteps: most timesteps per batch, or with `group_size` their mean.
        group_size: most sequences of one length that come into a batch together, so that it has
            many lengths; None for batches of one length.
        seed: of the order; None for batches in the order of their lengths.

    Attributes:
        plan: the plan of an epoch.
        epoch: number of the epoch that comes next, from 0.

    Raises:
        ValueError: if there is no sequence, a length is no integer of at least 1, or an option does
            not fit, see `plan_batches`.

    Example:
        >>> sampler = BatchSampler([5, 7, 5, 5, 7], batch_size=2, seed=None)
        >>> len(sampler), list(sampler)
        (3, [[0, 2], [3], [1, 4]])
        >>> list(BatchSampler([5, 7, 5, 5, 7], batch_size=4, group_size=2, seed=None))
        [[0, 2], [1, 4, 3]]
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        batch_size: int | None = None,
        batch_timesteps: int | None = None,
        group_size: int | None = None,
        seed: int | None = 0,
    ):
        self._lengths = _as_lengths(lengths)
        self.plan = plan_batches(
            collections.Counter(self._lengths.tolist()),
            batch_size=batch_size,
            batch_timesteps=batch_timesteps,
            group_size=group_size,
        )
        if seed is not None and seed < 0:
            raise ValueError(f"`seed` must be at least 0, got {seed}.")
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Returns the number of batches in an epoch, the same in each."""
        plan = self.plan
        return plan.num_batches if plan.group_size is None else plan.steps_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Lists the batches of the next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return iter(self.batches(epoch))

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that comes next, as PyTorch's distributed samplers name it."""
        self.epoch = epoch

    def batches(self, epoch: int) -> list[list[int]]:
        """Lists the positions of the sequences of each batch of an epoch.

        Raises:
            ValueError: if the epoch is negative.
        """
        if epoch < 0:
            raise ValueError(f"`epoch` must be at least 0, got {epoch}.")
        rng = None if self.seed is None else np.random.default_rng((self.seed, epoch))
        drawn = _numbers(len(self._lengths), rng)
        by_length = drawn[np.argsort(self._lengths[drawn], kind="stable")]
        bucket = np.repeat(np.arange(len(self.plan.bucket_lengths)), self.plan.bucket_num_batches)
        ends = np.cumsum(self.plan.bucket_batch_sizes[bucket])
        groups = np.split(by_length, ends[:-1])
        order = _numbers(len(groups), rng)
        if self.plan.group_size is None:
            return [groups[number].tolist() for number in order]
        return [
            self._by_falling_length(np.concatenate([groups[number] for number in step]))
            for step in self._steps(order, bucket[order])
        ]

    def _steps(self, groups: np.ndarray, buckets: np.ndarray) -> list[np.ndarray]:
        """Cuts the groups of an epoch, in their order, into those of each step."""
        work = self.plan.bucket_work[buckets]
        after = self.plan.epoch_work - np.cumsum(work)
        ends = np.flatnonzero(self.plan.ends_step(after + work, after)) + 1
        return np.split(groups, ends[:-1])

    def _by_falling_length(self, positions: np.ndarray) -> list[int]:
        order = np.argsort(-self._lengths[positions], kind="stable")
        return positions[order].tolist()


def _numbers(count: int, rng: np.random.Generator | None) -> np.ndarray:
    return np.arange(count) if rng is None else rng.permutation(count)


def _as_lengths(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    array = np.asarray(lengths)
    if array.ndim != 1 or not len(array) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            "`lengths` must be the number of timesteps of each sequence, integers `(sequences,)`, "
            f"got shape {array.shape} of {array.dtype}."
        )
    if (least := array.min()) < 1:
        position = int(array.argmin())
        raise ValueError(f"`lengths` must be at least 1, got {least} at position {position}.")
    return array.astype(np.int64)
