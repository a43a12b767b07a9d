"""The batch plan: which equal-length batches an epoch has, known before it starts. NumPy only.

A *batch* is one tensor, all of whose sequences have one length. A *step* is one update of the
weights: batches accumulate until the budget is full. So a rare length costs a small batch, but not
a step of its own. A step holds the budget on average, and never twice as much.

Neither batches nor steps depend on the number of replicas: it only decides how many rows of weight
0 fill a batch up to a multiple of it. That is what makes a run on 4 replicas the run on 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

DEFAULT_BATCH_SIZE = 64
# On a CPU with 64 units an epoch took 0.4 of the time of one padded per batch where 1.9 times the
# timesteps ran in a row (benchmarks/training_cost.py), and 2.3 of it where 32 times as many did.
_MANY_IN_A_ROW = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How much work one step may hold, counted in sequences or in timesteps.

    Attributes:
        batch_size: most sequences per batch, and the mean per step.
        batch_timesteps: most timesteps per batch, and the mean per step.

    Raises:
        ValueError: unless exactly one of the two is given and at least 1.
    """

    batch_size: int | None = None
    batch_timesteps: int | None = None

    def __post_init__(self):
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {name: value for name, value in given.items() if value is not None}
        if len(given) != 1:
            raise ValueError(
                "Exactly one of `batch_size` and `batch_timesteps` must be given, "
                f"got {given or 'neither'}."
            )
        for name, value in given.items():
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")

    @classmethod
    def of(cls, batch_size: int | None, batch_timesteps: int | None) -> Budget:
        """Makes the budget that is asked for; 64 sequences where none is."""
        if batch_size is None and batch_timesteps is None:
            batch_size = DEFAULT_BATCH_SIZE
        return cls(batch_size, batch_timesteps)

    @property
    def limit(self) -> int:
        """The budget of a step, in its own unit."""
        return self.batch_size or self.batch_timesteps

    def max_sequences(self, length: int) -> int:
        """Most sequences of `length` timesteps in one batch."""
        return self.batch_size or self.batch_timesteps // max(length, 1)

    def cost(self, length):
        """What one sequence of `length` timesteps takes from the budget."""
        return length if self.batch_size is None else np.ones_like(length)


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPlan:
    """The batches and steps of one epoch, as buckets of equal batches.

    A length has one bucket, or two whose batch sizes differ by one, so that every batch of a bucket
    is full: grouping leaves no remainder to drop or to flush at the end of the epoch.

    Attributes:
        lengths: length in timesteps -> number of sequences, ascending.
        budget: what was asked for.
        replicas: every batch is filled up to a multiple of it.
        bucket_lengths: timesteps, int64 `(buckets,)`, ascending.
        bucket_batch_sizes: sequences in each batch of the bucket, int64 `(buckets,)`.
        bucket_num_batches: batches of the bucket in an epoch, int64 `(buckets,)`.
    """

    lengths: Mapping[int, int]
    budget: Budget
    replicas: int
    bucket_lengths: np.ndarray
    bucket_batch_sizes: np.ndarray
    bucket_num_batches: np.ndarray

    @property
    def num_sequences(self) -> int:
        """Sequences in an epoch, each counted once."""
        return sum(self.lengths.values())

    @property
    def num_timesteps(self) -> int:
        """Timesteps that the sequences of an epoch have."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return int(self.bucket_num_batches.sum())

    @property
    def partial_batches(self) -> int:
        """Batches with fewer sequences than the budget allows at their length."""
        limits = [self.budget.max_sequences(length) for length in self.bucket_lengths.tolist()]
        return int(self.bucket_num_batches[self.bucket_batch_sizes < limits].sum())

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch.

        A step ends where the cost that remains falls to or below a multiple of the budget. As no
        batch costs more than the budget, each multiple, 0 among them, ends a step of its own, in
        whatever order the batches come.
        """
        return -(-self.epoch_cost // self.budget.limit)

    @property
    def epoch_cost(self) -> int:
        """Sequences or timesteps in an epoch, in the budget's unit."""
        return self.num_timesteps if self.budget.batch_size is None else self.num_sequences

    @property
    def padded_timesteps(self) -> int:
        """Timesteps that the batches of an epoch have beyond those of their sequences."""
        rows = self.bucket_batch_sizes * self.bucket_num_batches
        return int(self.bucket_lengths @ rows) - self.num_timesteps

    @property
    def filler_rows(self) -> int:
        """Rows of weight 0, over an epoch, that fill batches up to a multiple of the replicas."""
        return int(-self.bucket_batch_sizes % self.replicas @ self.bucket_num_batches)

    @property
    def computed_timesteps(self) -> int:
        """Timesteps that the batches of an epoch have, those of filler rows among them."""
        rows = self.bucket_batch_sizes + -self.bucket_batch_sizes % self.replicas
        return int(self.bucket_lengths * rows @ self.bucket_num_batches)

    @property
    def timesteps_in_a_row(self) -> int:
        """Timesteps that an epoch runs one after another: the lengths of its batches, added up.

        A batch takes its timesteps in turn however few its rows are, so this, and not the number of
        timesteps computed, is the time of a recurrent network on batches too small for the device.
        """
        return int(self.bucket_lengths @ self.bucket_num_batches)

    def summary(self) -> str:
        """Shows the plan, and beside it what padding would cost, as aligned lines."""
        unit = "sequences" if self.budget.batch_size else "timesteps"
        rows = [
            ("sequences", self.num_sequences, ""),
            ("lengths", len(self.lengths), f"{min(self.lengths)} to {max(self.lengths)} timesteps"),
            ("batches", self.num_batches, f"at most {self.budget.limit:,} {unit} each"),
            ("  of them partial", self.partial_batches, "below that limit"),
            ("steps per epoch", self.steps_per_epoch, f"{self.budget.limit:,} {unit} on average"),
            ("padded timesteps", self.padded_timesteps, ""),
            ("filler rows", self.filler_rows, f"of weight 0, with replicas: {self.replicas}"),
        ]
        lines = [f"{name:<18}{count:>12,}  {note}".rstrip() for name, count, note in rows]
        return "\n".join([*lines, "", *self._compare_with_padding()])

    def _compare_with_padding(self) -> list[str]:
        size = self.budget.batch_size or max(1, round(self.num_sequences / self.steps_per_epoch))
        size = min(size, self.num_sequences)
        batches = -(-self.num_sequences // size)
        per_batch = expected_timesteps_padded_per_batch(self.lengths, size)
        to_longest = timesteps_padded_to_longest(self.lengths)
        ways = {
            "equal lengths (this plan)": (self.computed_timesteps, self.timesteps_in_a_row),
            f"padded to the longest of {size}": (per_batch, per_batch / size),
            "padded to the longest of all": (to_longest, max(self.lengths) * batches),
        }
        lines = [f"{'timesteps per epoch':<34}{'computed':>16}{'':8}{'in a row':>12}"]
        for way, (computed, in_a_row) in ways.items():
            ratio = f"x {computed / self.num_timesteps:.2f}"
            lines.append(f"  {way:<32}{computed:>16,.0f}{ratio:>8}{in_a_row:>12,.0f}")
        if self.timesteps_in_a_row > _MANY_IN_A_ROW * per_batch / size:
            lines.append(
                "note: most lengths are rare, so batches are small and many timesteps run in a "
                "row: an epoch may take longer than a padded one would."
            )
        return lines

    def table(self) -> str:
        """Lists the buckets, one line each."""
        columns = self.bucket_lengths, self.bucket_batch_sizes, self.bucket_num_batches
        lines = [f"{'length':>8}  {'sequences per batch':>19}  {'batches':>8}"]
        for length, size, batches in zip(*(c.tolist() for c in columns), strict=True):
            lines.append(f"{length:>8,}  {size:>19,}  {batches:>8,}")
        return "\n".join(lines)


def plan_batches(
    lengths: Mapping[int, int],
    *,
    batch_size: int | None = None,
    batch_timesteps: int | None = None,
    replicas: int = 1,
) -> BatchPlan:
    """Plans the batches of an epoch from the histogram of lengths.

    Batches of one length are balanced: 65 sequences under a batch size of 64 give 33 + 32, not
    64 + 1.

    Args:
        lengths: length in timesteps -> number of sequences.
        batch_size: most sequences per batch; 64 if `batch_timesteps` is not given either.
        batch_timesteps: most timesteps per batch.
        replicas: number of replicas that share each batch.

    Raises:
        ValueError: if there is no sequence, an argument is below 1, both budgets are given, or
            `batch_timesteps` is less than the longest sequence.

    Example:
        >>> plan = plan_batches({7: 65, 9: 2}, batch_size=64)
        >>> plan.bucket_batch_sizes.tolist(), plan.steps_per_epoch
        ([33, 32, 2], 2)
    """
    budget = Budget.of(batch_size, batch_timesteps)
    if replicas < 1:
        raise ValueError(f"`replicas` must be at least 1, got {replicas}.")
    lengths = {length: count for length, count in sorted(lengths.items()) if count}
    if not lengths:
        raise ValueError("`lengths` must count at least one sequence, got none.")
    if budget.max_sequences(longest := max(lengths)) < 1:
        raise ValueError(
            "`batch_timesteps` must be at least the length of the longest sequence, "
            f"{longest}, got {batch_timesteps}."
        )
    buckets = [
        (length, size, batches)
        for length, count in lengths.items()
        for size, batches in _balance(count, budget.max_sequences(length))
    ]
    return BatchPlan(lengths, budget, replicas, *np.array(buckets, np.int64).T)


def _balance(count: int, limit: int) -> list[tuple[int, int]]:
    """Splits `count` into the fewest batches, as (size, number of batches), largest first."""
    batches = -(-count // limit)
    size, larger = divmod(count, batches)
    return [(s, n) for s, n in ((size + 1, larger), (size, batches - larger)) if n]


def timesteps_padded_to_longest(lengths: Mapping[int, int]) -> int:
    """Counts the timesteps of an epoch whose sequences are all padded to the longest."""
    return max(lengths) * sum(lengths.values())


def expected_timesteps_padded_per_batch(lengths: Mapping[int, int], batch_size: int) -> float:
    """Counts the timesteps of an epoch whose mixed batches are each padded to their longest.

    The exact expectation over a random order: a batch is a random subset, so its longest is at most
    `L` with probability C(n, size) / C(N, size), where n of the N sequences are at most `L` long.
    """
    values = np.array(sorted(lengths))
    at_most = np.cumsum([lengths[value] for value in values.tolist()])
    full, rest = divmod(int(at_most[-1]), batch_size)
    sizes = [(batch_size, full), (rest, 1)]
    return float(
        sum(size * n * _expected_max(values, at_most, size) for size, n in sizes if n and size)
    )


def _expected_max(values: np.ndarray, at_most: np.ndarray, size: int) -> float:
    drawn = np.arange(size)
    ratios = np.clip((at_most[:, None] - drawn) / (at_most[-1] - drawn), 0.0, None)
    not_longer = ratios.prod(axis=1)
    return float(values @ np.diff(not_longer, prepend=0.0))
