"""How mixed the order of an epoch is: what training sees of it, measured on the batches.

An order is mixed where neither the step before nor the time in the epoch predicts how long the
sequences of a step are, and where a sequence's batch-mates are others in each epoch. Three numbers
say so (`EpochOrder`), in memory that does not grow with the data:

- `StepOrder` adds up the mean lengths of steps as they come: correlation and drift;
- `MateSample` follows the batch-mates of some sequences from epoch to epoch;
- `chance_of_mates` says how often mates meet again in a perfectly random order;
- `measure_order` reads the batches of whole epochs and yields an `EpochOrder` for each.

NumPy only, but for `measure_order`, which reads batches.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress

if TYPE_CHECKING:
    from padless.pipeline.batching.grouping import Shuffle

# Below it a variance is what float64 leaves of one that is 0.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True, slots=True)
class EpochOrder:
    """How mixed the order of one epoch was.

    A number is nan where it is not defined: where there are too few steps, where all steps have the
    same mean length, or where no epoch was read before.

    Attributes:
        epoch: number of the epoch.
        steps: steps of the epoch.
        correlation: of the mean lengths of adjacent steps.
        correlation_by_chance: two standard deviations of it in a random order.
        drift: mean length of the last fifth of the steps, relative to that of the others, minus 1.
        drift_by_chance: two standard deviations of it in a random order.
        repeated_mates: share of the batch-mates of the epoch before that are mates again.
        repeated_by_chance: that share in a random order; 1 for lengths that fill one batch alone.
    """

    epoch: int
    steps: int
    correlation: float
    correlation_by_chance: float
    drift: float
    drift_by_chance: float
    repeated_mates: float = math.nan
    repeated_by_chance: float = math.nan

    def __str__(self) -> str:
        parts = [
            f"epoch {self.epoch}: {self.steps:,} steps",
            _shown("correlation of adjacent lengths", self.correlation, "+.3f")
            + _chance(f"within {self.correlation_by_chance:.3f}", self.correlation),
            _shown("drift in the last fifth", self.drift, "+.1%")
            + _chance(f"within {self.drift_by_chance:.1%}", self.drift),
        ]
        if not math.isnan(self.repeated_mates):
            parts.append(
                _shown("batch-mates repeated", self.repeated_mates, ".1%")
                + _chance(f"{self.repeated_by_chance:.1%}", self.repeated_mates)
            )
        return ", ".join(parts)


def _shown(name: str, value: float, form: str) -> str:
    return f"{name} {'not defined' if math.isnan(value) else format(value, form)}"


def _chance(text: str, value: float) -> str:
    return "" if math.isnan(value) else f" (by chance {text})"


@dataclasses.dataclass(slots=True)
class StepOrder:
    """Adds up the mean lengths of an epoch's steps: nine numbers, however many steps come.

    `dataclasses.asdict` returns the state as JSON can hold it, and `StepOrder(**state)` continues
    from there to exactly the same results. Lengths are counted from that of the first step, which
    keeps the sums small where lengths are large and alike.

    Attributes:
        steps_per_epoch: steps that the epoch has; it says where the last fifth begins.
        steps: steps added.
        first: mean length of the first step.
        last: mean length of the last step added, minus `first`.
        total: sum of the lengths, each minus `first`, as in what follows.
        squares: sum of the squared lengths.
        products: sum of the products of adjacent lengths.
        tail: sum of the lengths in the last fifth.

    Raises:
        ValueError: if `steps_per_epoch` is below 1.

    Example:
        >>> order = StepOrder(steps_per_epoch=5)
        >>> for mean_length in (10, 30, 10, 30, 22):
        ...     order.add(mean_length)
        >>> round(order.correlation, 3), round(order.drift, 3)
        (-0.855, 0.1)
    """

    steps_per_epoch: int
    steps: int = 0
    first: float = 0.0
    last: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    tail: float = 0.0

    def __post_init__(self) -> None:
        if self.steps_per_epoch < 1:
            raise ValueError(f"`steps_per_epoch` must be at least 1, got {self.steps_per_epoch}.")

    def add(self, mean_length: float) -> None:
        """Adds a step by the mean length of its sequences, in timesteps.

        Raises:
            ValueError: if all steps of the epoch were added before.
        """
        if self.steps == self.steps_per_epoch:
            raise ValueError(f"An epoch must have {self.steps_per_epoch} steps, got one more.")
        if not self.steps:
            self.first = float(mean_length)
        length = float(mean_length) - self.first
        self.products += self.last * length
        self.total += length
        self.squares += length * length
        if self.steps >= self._tail_begin:
            self.tail += length
        self.last = length
        self.steps += 1

    @property
    def correlation(self) -> float:
        """Pearson's correlation of adjacent steps, or nan: below 3 steps, or of equal lengths."""
        if (pairs := self.steps - 1) < 2:
            return math.nan
        # The first step is 0 here, so leaving it out changes no sum.
        before, after = self.total - self.last, self.total
        variances = (
            self.squares - self.last**2 - before**2 / pairs,
            self.squares - after**2 / pairs,
        )
        if min(variances) <= _ROUNDING * self.squares:
            return math.nan
        return (self.products - before * after / pairs) / math.sqrt(math.prod(variances))

    @property
    def drift(self) -> float:
        """Mean of the last fifth of the steps over that of the others, minus 1, or nan."""
        tail = self.steps - self._tail_begin
        rest = self.steps - tail
        if tail < 1 or rest < 1:
            return math.nan
        others = self.first + (self.total - self.tail) / rest
        return (self.first + self.tail / tail) / others - 1

    @property
    def spread(self) -> float:
        """Standard deviation of the steps' mean lengths over their mean, or nan without steps."""
        if not self.steps:
            return math.nan
        mean = self.total / self.steps
        return math.sqrt(max(0.0, self.squares / self.steps - mean**2)) / (self.first + mean)

    def result(self, epoch: int) -> EpochOrder:
        """Returns what was measured so far, as that of epoch `epoch`, without batch-mates."""
        tail = self.steps - self._tail_begin
        shares = 1 / tail + 1 / self._tail_begin if tail > 0 and self._tail_begin else math.nan
        return EpochOrder(
            epoch=epoch,
            steps=self.steps,
            correlation=self.correlation,
            correlation_by_chance=2 / math.sqrt(max(1, self.steps - 1)),
            drift=self.drift,
            drift_by_chance=2 * self.spread * math.sqrt(shares),
        )

    @property
    def _tail_begin(self) -> int:
        return self.steps_per_epoch - self.steps_per_epoch // 5


class MateSample:
    """Follows the batch-mates of a sample of records from one epoch to the next.

    The sample is the records with the smallest hashes, so it is the same in each epoch without
    being kept anywhere. It holds at most `2 * size * (1 + most_mates)` hashes of 8 bytes.

    Args:
        size: most records to follow.
        most_mates: most mates of a record to remember.
    """

    def __init__(self, size: int = 512, most_mates: int = 256):
        self._size = size
        self._most_mates = most_mates
        self._limit = np.iinfo(np.int64).max
        self._before: dict[int, np.ndarray] = {}
        self._now: dict[int, np.ndarray] = {}
        self._repeated = self._expected = self._mates = 0.0

    def add(self, hashes: np.ndarray, chance: float) -> None:
        """Adds a batch.

        Args:
            hashes: one hash per record, int64 `(batch,)`.
            chance: that two records of this batch's bucket are mates, in a random order.
        """
        for record in hashes[hashes < self._limit].tolist():
            if (before := self._before.get(record)) is not None:
                self._repeated += np.isin(before, hashes).sum()
                self._expected += chance * len(before)
                self._mates += len(before)
            # A copy, as a view would keep all of the batch.
            self._now[record] = hashes[hashes != record][: self._most_mates].copy()
        while len(self._now) > self._size:
            self._limit = max(self._now)
            del self._now[self._limit]

    def finish_epoch(self) -> tuple[float, float]:
        """Ends the epoch; returns the share of mates repeated and that by chance, or nan."""
        shares = (
            (self._repeated / self._mates, self._expected / self._mates)
            if self._mates
            else (math.nan, math.nan)
        )
        self._before, self._now = self._now, {}
        self._repeated = self._expected = self._mates = 0.0
        return shares

    @property
    def num_hashes(self) -> int:
        """Hashes held now."""
        return sum(1 + len(mates) for held in (self._before, self._now) for mates in held.values())


def chance_of_mates(plan: BatchPlan) -> np.ndarray:
    """Computes for each bucket how likely two records that may be in it are in one batch.

    In a random order; the buckets of one length share its records. float64 `(buckets,)`.

    Example:
        >>> from padless.pipeline.planning.make_plan import plan_batches
        >>> chance_of_mates(plan_batches({7: 65, 9: 2}, batch_size=64)).round(3).tolist()
        [0.492, 0.492, 1.0]
    """
    sizes, batches = plan.bucket_batch_sizes, plan.bucket_num_batches
    _, of_length = np.unique(plan.bucket_lengths, return_inverse=True)
    records = np.bincount(of_length, sizes * batches)
    together = np.bincount(of_length, sizes * (sizes - 1) * batches)
    return (together / np.maximum(records * (records - 1), 1))[of_length]


def measure_order(
    dataset: SequenceDataset,
    plan: BatchPlan,
    *,
    split: str = "train",
    shuffle: Shuffle | None = None,
    epochs: range = range(2),
    progress: ShowProgress = ignore_progress,
) -> Iterator[EpochOrder]:
    """Reads the batches of whole epochs and yields how mixed the order of each was.

    The batches are those that `equal_length_batches` reads for the same arguments, read but not
    parsed; of a split that is not held whole, `packed_steps` draws others in the same way. From the
    second epoch on, batch-mates are compared with those of the epoch before.

    Args:
        dataset: an opened dataset.
        plan: the plan of that split's lengths.
        split: name of the split.
        shuffle: what draws the order, or None for the order of the records.
        epochs: numbers of the epochs to read.
        progress: called with how much of an epoch is read, see `padless.pipeline.Progress`.

    Raises:
        ValueError: if there is no such split, the plan is not for its lengths, or a record is
            damaged.
    """
    from padless.pipeline.batching.batches import identified_batches
    from padless.pipeline.batching.damage import explained

    batches = identified_batches(
        dataset, plan, split=split, shuffle=shuffle, epochs=epochs
    ).as_numpy_iterator()
    mates = MateSample()
    with explained(dataset.split(split)):
        for epoch in epochs:
            of_epoch = itertools.islice(batches, plan.num_batches)
            start = Progress(f"order of epoch {epoch}", 0, plan.num_batches, "batches")
            steps = _read_epoch(counted(of_epoch, progress, start), plan, mates)
            repeated, by_chance = mates.finish_epoch()
            yield dataclasses.replace(
                steps.result(epoch), repeated_mates=repeated, repeated_by_chance=by_chance
            )


def _read_epoch(batches: Iterator, plan: BatchPlan, mates: MateSample) -> StepOrder:
    order, chance = StepOrder(plan.steps_per_epoch), chance_of_mates(plan)
    timesteps = sequences = 0
    for batch in batches:
        mates.add(batch["record"], chance[batch["bucket"]])
        timesteps += batch["length"].sum()
        sequences += len(batch["length"])
        if batch["ends_step"]:
            order.add(timesteps / sequences)
            timesteps = sequences = 0
    return order
