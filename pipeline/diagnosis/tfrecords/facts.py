"""All that was counted of TFRecords, which the checks read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from padless.pipeline.diagnosis.ends import EndCounter, Ends
from padless.pipeline.diagnosis.part_names import is_key_name, is_length_name
from padless.pipeline.diagnosis.tfrecords.scan import Feature, Scan, hash_bytes, read_values
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names


@dataclasses.dataclass(frozen=True, slots=True)
class RecordFacts:
    """What the checks read.

    Attributes:
        scan: the features of the records.
        sequence: name of the feature with the values, or None.
        length: name of the feature with the number of timesteps, or None.
        key: name of the feature that tells sequences apart, or None.
        num_values: values of each sequence, `(records,)`; steps of a feature list.
        num_features: values per timestep, None where that is not told.
        lengths: timesteps of each sequence, None where that is not told.
        ends: values or timesteps that look like padding, or None.
        zeros: timesteps whose values are all 0, None where timesteps are not told.
        sequences_with_zeros: sequences that have such a timestep.
        not_finite: sequences with NaN or infinite values.
        hashes: one number per sequence that tells values apart.
    """

    scan: Scan
    sequence: str | None
    length: str | None
    key: str | None
    num_values: np.ndarray
    num_features: int | None
    lengths: np.ndarray | None
    ends: Ends | None
    zeros: int | None
    sequences_with_zeros: int
    not_finite: int
    hashes: tuple[int, ...]


def read_record_facts(
    scan: Scan, sequence: str | None, length: str | None, key: str | None
) -> RecordFacts:
    """Finds the parts of the records, and reads the values of their sequences.

    Args:
        scan: what the records hold.
        sequence: name of the feature with the values, or None to find it.
        length: name of that with the number of timesteps, or None to find it.
        key: name of that which tells sequences apart, or None to find it.

    Raises:
        ValueError: if there is no feature of such a name, or it does not hold what it should.
    """
    for argument, name in {"sequence": sequence, "length": length, "key": key}.items():
        if name is not None and name not in scan.features:
            raise ValueError(
                f"`{argument}` must be a feature of the records, "
                f"{list_names(sorted(scan.features))}, got {name!r}."
                f"{did_you_mean(name, scan.features)}"
            )
    features = scan.features
    sequence = sequence or _find_sequence(features)
    values = features[sequence] if sequence else Feature(set(), [], [])
    if sequence and "bytes" in values.kinds:
        raise ValueError(f"`sequence` must hold numbers, {sequence!r} holds bytes.")
    num_values = np.array(values.counts, np.int64)
    length = length or _find_length(features, num_values, sequence)
    num_features, lengths = _find_lengths(values, num_values, features.get(length or ""))
    return _read(
        scan,
        RecordFacts(
            scan=scan,
            sequence=sequence,
            length=length,
            key=key or _find_key(features),
            num_values=num_values,
            num_features=num_features,
            lengths=lengths,
            ends=None,
            zeros=None,
            sequences_with_zeros=0,
            not_finite=0,
            hashes=(),
        ),
    )


def _find_sequence(features: Mapping[str, Feature]) -> str | None:
    """Finds the feature with most floats, one whose number varies first, else that of integers."""
    for kind in ("float", "int64"):
        found = {n: sum(f.counts) for n, f in features.items() if f.kinds == {kind}}
        several = {n: total for n, total in found.items() if max(features[n].counts) > 1}
        if several:
            return max(several, key=lambda name: (_varies(features[name]), several[name]))
    return None


def _varies(feature: Feature) -> bool:
    return feature.is_list or len({count for count in feature.counts if count >= 0}) > 1


def _find_length(
    features: Mapping[str, Feature], num_values: np.ndarray, sequence: str | None
) -> str | None:
    """Finds the integer that the values are a multiple of, or whose name says what it is."""
    single = {
        name: np.array(feature.single)
        for name, feature in features.items()
        if name != sequence
        and feature.kinds == {"int64"}
        and not feature.is_list
        and None not in feature.single
    }
    fits = [name for name, values in single.items() if _find_multiple(num_values, values)]
    varies = [name for name in fits if len(np.unique(single[name])) > 1]
    named = [name for name in single if is_length_name(name)]
    best = [name for name in named if name in fits] or (varies if len(varies) == 1 else named)
    return best[0] if best else None


def _find_multiple(num_values: np.ndarray, lengths: np.ndarray) -> int | None:
    """Returns the number that all lengths times it are the numbers of values, or None."""
    if len(num_values) != len(lengths) or not len(lengths) or lengths.max() < 1:
        return None
    multiple = int(num_values[lengths.argmax()] // lengths.max())
    return multiple if multiple and (lengths * multiple == num_values).all() else None


def _find_lengths(
    values: Feature, num_values: np.ndarray, length: Feature | None
) -> tuple[int | None, np.ndarray | None]:
    """Returns the values per timestep, and the timesteps of each sequence."""
    if values.is_list:
        return None, np.maximum(num_values, 0)
    if length is None or None in length.single:
        return None, None
    lengths = np.array(length.single, np.int64)
    multiple = _find_multiple(num_values, lengths)
    return (multiple, lengths) if multiple else (None, None)


def _find_key(features: Mapping[str, Feature]) -> str | None:
    """Finds a feature with one string or integer per record whose name is that of a key."""
    return next(
        (n for n, f in sorted(features.items()) if is_key_name(n) and None not in f.single), None
    )


def _read(scan: Scan, facts: RecordFacts) -> RecordFacts:
    """Reads the values of the sequences."""
    if facts.sequence is None:
        return facts
    ends, hashes = EndCounter(), []
    zeros = with_zeros = not_finite = 0
    for values in read_values(scan.files, facts.sequence):
        hashes.append(hash_bytes(values.tobytes()))
        not_finite += not np.isfinite(values).all()
        if values.size:
            width = facts.num_features or 1
            ends.add(values.reshape(1, -1, width if values.size % width == 0 else 1))
        if facts.num_features:
            of_sequence = int((values.reshape(-1, facts.num_features) == 0).all(1).sum())
            zeros, with_zeros = zeros + of_sequence, with_zeros + (of_sequence > 0)
    return dataclasses.replace(
        facts,
        ends=ends.result(),
        zeros=zeros if facts.num_features else None,
        sequences_with_zeros=with_zeros,
        not_finite=int(not_finite),
        hashes=tuple(hashes),
    )
