"""Looks at TFRecords that padless did not write, and finds the traps that they set for readers.

1. read all records: features, kinds, counts (`scan`);
2. find which feature is the sequence, which the length and which the key;
3. read the values of the sequence;
4. ask the checks, and compute what batches of these lengths would cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from etils import epath

from padless.pipeline.diagnosis.findings import Answer
from padless.pipeline.diagnosis.report import DEFAULT_BATCH_SIZE, Diagnosis, make_diagnosis
from padless.pipeline.diagnosis.tfrecords import checks
from padless.pipeline.diagnosis.tfrecords.facts import RecordFacts, read_record_facts
from padless.pipeline.diagnosis.tfrecords.scan import Scan, expand_patterns, scan_files
from padless.pipeline.planning.padding import (
    expected_timesteps_padded_per_batch,
    timesteps_padded_to_longest,
)
from padless.pipeline.progress import ShowProgress, ignore_progress
from padless.pipeline.wording import plural

RECORD_CHECKS: dict[str, Callable[[RecordFacts], Answer]] = {
    "no_length": checks.find_no_length,
    "wrong_length": checks.find_wrong_length,
    "padded_records": checks.find_padded_records,
    "masked_values": checks.find_masked_values,
    "missing_features": checks.find_missing_features,
    "repeated_keys": checks.find_repeated_keys,
    "repeated_sequences": checks.find_repeated_sequences,
    "empty_sequences": checks.find_empty,
    "not_finite": checks.find_not_finite,
    "no_key": checks.find_no_key,
    "sorted_by_length": checks.find_sorted,
    "compressed": checks.find_compressed,
}


def diagnose_records(
    patterns: Sequence[epath.PathLike],
    *,
    sequence: str | None = None,
    length: str | None = None,
    key: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress: ShowProgress = ignore_progress,
) -> Diagnosis:
    """Finds the traps that TFRecords set for those who read them, and counts what each costs.

    All records are read twice. What cannot be told is not claimed: see `Diagnosis.not_told`.

    Args:
        patterns: files, or patterns with wildcards, of `tf.train.Example` or
            `tf.train.SequenceExample`, compressed or not.
        sequence: name of the feature with the values; by default that with most floats.
        length: name of the feature with the number of timesteps; by default one integer that the
            number of values is always the same multiple of.
        key: name of the feature that tells sequences apart; by default one whose name says so.
        batch_size: sequences of a batch, for what batches would cost.
        progress: called with how many records are read.

    Returns:
        What was found; `print` shows it.

    Raises:
        FileNotFoundError: if a pattern matches no file.
        ValueError: if a file is damaged or does not hold examples, there is no record, a name is
            not that of a feature, or `batch_size` is below 1.
    """
    started = time.monotonic()
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    scan = scan_files(expand_patterns(patterns), progress)
    facts = read_record_facts(scan, sequence, length, key)
    return make_diagnosis(
        _describe(facts),
        {name: check(facts) for name, check in RECORD_CHECKS.items()},
        outlook=_look_out(facts, batch_size),
        numbers={
            "files": len(scan.files),
            "bytes": scan.num_bytes,
            "sequences": scan.num_records,
            "timesteps_real": None if facts.lengths is None else int(facts.lengths.sum()),
            "values_per_timestep": facts.num_features,
        },
        seconds=time.monotonic() - started,
    )


def _describe(facts: RecordFacts) -> list[str]:
    scan = facts.scan
    named = {"sequence": facts.sequence, "length": facts.length, "key": facts.key}
    roles = ", ".join(f"{role}: {name or 'none'}" for role, name in named.items())
    counts = {"file": len(scan.files), "record": scan.num_records, "byte": scan.num_bytes}
    lines = [
        ", ".join(plural(count, unit) for unit, count in counts.items()),
        f"features: {'; '.join(_describe_feature(scan, name) for name in sorted(scan.features))}",
        roles,
    ]
    if facts.lengths is not None:
        lines.append(
            f"{facts.lengths.min():,} to {facts.lengths.max():,} timesteps of "
            f"{plural(facts.num_features or 1, 'value')}"
        )
    return lines


def _describe_feature(scan: Scan, name: str) -> str:
    feature = scan.features[name]
    counts = sorted({count for count in feature.counts if count >= 0})
    many = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    unit = "steps of " if feature.is_list else ""
    return f"{name} {many} {unit}{'/'.join(sorted(feature.kinds)) or 'nothing'}"


def _look_out(facts: RecordFacts, batch_size: int) -> list[str]:
    """Computes what batches of these sequences would cost; of values where lengths are unknown."""
    sizes = facts.lengths if facts.lengths is not None else facts.num_values
    sizes = sizes[sizes > 0]
    if not len(sizes):
        return []
    unit = "timesteps" if facts.lengths is not None else "values"
    lengths, counts = np.unique(sizes, return_counts=True)
    histogram = dict(zip(lengths.tolist(), counts.tolist(), strict=True))
    real = int(sizes.sum())
    to_longest = timesteps_padded_to_longest(histogram) / real
    size = min(batch_size, len(sizes))
    per_batch = expected_timesteps_padded_per_batch(histogram, size) / real
    lost = int((counts % batch_size).sum())
    without = f"  and {lost:,} of {len(sizes):,} sequences lost"
    return [
        f"what batches of {batch_size} would cost, in {unit} computed for each real one:",
        f"  padded to the longest of all        {to_longest:8.2f}",
        f"  padded to the longest of the batch  {per_batch:8.2f}",
        f"  one length, drop_remainder=True     {1:8.2f}{without}",
        f"  packed steps (padless plan)         {1:8.2f}",
    ]
