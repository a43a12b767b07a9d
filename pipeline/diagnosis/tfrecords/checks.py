"""Checks of TFRecords: what a reader needs and lacks, and what pads or masks would do to them.

Each check takes `RecordFacts`, and answers with a finding, with None where the trap is not there,
or with the reason why that cannot be told.
"""

from __future__ import annotations

import numpy as np

from padless.pipeline.diagnosis.findings import Answer, Finding, NotTold, share
from padless.pipeline.diagnosis.tfrecords.facts import RecordFacts
from padless.pipeline.diagnosis.tfrecords.scan import count_repeated
from padless.pipeline.wording import plural

_NO_SEQUENCE = NotTold("no feature holds several numbers, as a sequence does (--sequence NAME)")
_FEWEST_RECORDS = 20
_SORTED = 0.5


def find_no_length(facts: RecordFacts) -> Answer:
    """Finds records whose number of timesteps no feature holds."""
    if facts.sequence is None:
        return _NO_SEQUENCE
    if facts.length is not None or facts.lengths is not None:
        return None
    sizes = facts.num_values
    if len(np.unique(sizes)) == 1 and facts.ends is None:
        return None  # all have one length
    return Finding(
        "no_length",
        f"no length: no feature holds the number of timesteps of {facts.sequence!r}",
        f"The {plural(facts.scan.num_records, 'record')} have {sizes.min():,} to {sizes.max():,} "
        "values. parse_example pads them to the longest of a batch without a word "
        "(FixedLenSequenceFeature), and afterwards only values can tell where a sequence ended.",
        "Write the length beside the values; a timestep's number of values divides them:",
        _preprocess(facts),
        {"records": facts.scan.num_records},
    )


def _preprocess(facts: RecordFacts) -> tuple[str, ...]:
    key = f" --key-column {facts.key}" if facts.key else ""
    return (
        f"padless preprocess FILES --output data{key} --sequence-column {facts.sequence}",
        "# or, where they are written: int64 feature 'length' = len(sequence)",
    )


def find_wrong_length(facts: RecordFacts) -> Answer:
    """Finds lengths that do not fit the number of values."""
    if facts.length is None or facts.sequence is None or facts.lengths is not None:
        return None
    single = facts.scan.features[facts.length].single
    lengths = np.array([-1 if one is None else one for one in single])
    known = (lengths > 0) & (facts.num_values > 0)
    per_timestep = facts.num_values[known] / lengths[known]
    widths, counts = np.unique(per_timestep, return_counts=True)
    usual = f"{widths[counts.argmax()]:g}" if len(widths) else "no"
    wrong = len(lengths) - (int(counts.max()) if len(counts) else 0)
    return Finding(
        "wrong_length",
        f"wrong lengths: {facts.length!r} does not fit the values of {wrong:,} of "
        f"{plural(len(lengths), 'record')}",
        f"Most have {usual} values for each timestep. A mask by such a length hides data or leaves "
        "padding in.",
        "Write the length that the values have, and no padding; `padless preprocess` rejects what "
        "does not fit, and names it.",
        numbers={"wrong": wrong, "records": len(lengths)},
    )


def find_padded_records(facts: RecordFacts) -> Answer:
    """Finds sequences that were padded before they were written."""
    ends = facts.ends
    if facts.sequence is None:
        return _NO_SEQUENCE
    if ends is None or len(np.unique(facts.num_values)) > 1:
        return None
    unit = "timestep" if facts.num_features else "value"
    total = facts.scan.num_records * int(facts.num_values[0]) // (facts.num_features or 1)
    where = "begin" if ends.is_before else "end"
    return Finding(
        "padded_records",
        f"records that were written padded: {ends.sequences:,} of {facts.scan.num_records:,} "
        f"{where} with {unit}s that are all {ends.value:g}",
        f"They all have {plural(int(facts.num_values[0]), 'value')}. "
        f"{plural(ends.timesteps, unit)} of {total:,} ({share(ends.timesteps, total)}) look like "
        "padding: they are read, computed and reconstructed like data.",
        "Write sequences at their own length; `padless preprocess` takes the raw ones.",
        numbers={"looks_padded": ends.timesteps, "all": total, "sequences": ends.sequences},
    )


def find_masked_values(facts: RecordFacts) -> Answer:
    """Finds timesteps that padding by zeros could not be told from."""
    if facts.zeros is None:
        return NotTold("the number of timesteps is not told")
    if not facts.zeros or find_padded_records(facts) is not None:
        return None
    is_one = facts.zeros == 1
    return Finding(
        "masked_values",
        f"{plural(facts.zeros, 'timestep')} {'is' if is_one else 'are'} all 0.0",
        f"{'It is' if is_one else 'They are'} in {plural(facts.sequences_with_zeros, 'sequence')}. "
        "Padded by zeros, a mask from values (Masking(0.0)) hides "
        f"{'it' if is_one else 'them'} like padding.",
        "Make masks from the length:",
        ("mask = tf.sequence_mask(length, tf.shape(x)[1])",),
        {"timesteps": facts.zeros, "sequences": facts.sequences_with_zeros},
        is_trap=False,
    )


def find_missing_features(facts: RecordFacts) -> Answer:
    """Finds features that some records lack."""
    total = facts.scan.num_records
    lacking = {n: total - f.num_records for n, f in facts.scan.features.items()}
    lacking = {name: count for name, count in sorted(lacking.items()) if count}
    if not lacking:
        return None
    listed = ", ".join(f"{name!r} in {count:,}" for name, count in lacking.items())
    return Finding(
        "missing_features",
        f"missing features: {listed} of {total:,} records",
        "FixedLenFeature without a default ends with an error at the first such record.",
        "Read them with default_value, or write all features in each record.",
        numbers={f"missing_{name}": count for name, count in lacking.items()},
    )


def find_repeated_keys(facts: RecordFacts) -> Answer:
    """Finds keys that come more than once."""
    if facts.key is None:
        return NotTold("no feature is the key (--key NAME)")
    repeated = count_repeated(facts.scan.features[facts.key].single)
    if not repeated:
        return None
    return Finding(
        "repeated_keys",
        f"keys that come twice: {repeated:,} of {facts.scan.num_records:,} records have a "
        f"{facts.key!r} that an earlier one has",
        "Scores and embeddings cannot be led back to one sequence, and a split by key keeps both "
        "together only if it is made by the key.",
        "Look for a file that is listed twice; `padless preprocess` rejects the second one.",
        numbers={"repeated": repeated, "records": facts.scan.num_records},
    )


def find_repeated_sequences(facts: RecordFacts) -> Answer:
    """Finds sequences with equal values."""
    if facts.sequence is None:
        return _NO_SEQUENCE
    repeated = count_repeated(facts.hashes)
    if not repeated:
        return None
    return Finding(
        "repeated_sequences",
        f"sequences seen twice: {repeated:,} of {facts.scan.num_records:,} are equal to an "
        "earlier one",
        f"They weigh double, and {share(repeated, facts.scan.num_records)} of an epoch's work is "
        "for them; split into training and validation, they leak.",
        "If they are no copies in the data, look for a file that is written twice.",
        numbers={"repeated": repeated, "sequences": facts.scan.num_records},
    )


def find_empty(facts: RecordFacts) -> Answer:
    """Finds sequences without values."""
    if facts.sequence is None:
        return _NO_SEQUENCE
    empty = int((facts.num_values == 0).sum())
    if not empty:
        return None
    return Finding(
        "empty_sequences",
        f"empty sequences: {empty:,} of {facts.scan.num_records:,} have no value",
        "The mean over their timesteps is 0 / 0, NaN, which the weights then are too.",
        "Leave them out; `padless preprocess` rejects them, and counts.",
        numbers={"empty": empty, "sequences": facts.scan.num_records},
    )


def find_not_finite(facts: RecordFacts) -> Answer:
    """Finds sequences with NaN or infinite values."""
    if facts.sequence is None:
        return _NO_SEQUENCE
    if not facts.not_finite:
        return None
    return Finding(
        "not_finite",
        f"values that are no numbers: {facts.not_finite:,} of {facts.scan.num_records:,} sequences "
        "hold NaN or infinity",
        "The loss of each batch with one of them is NaN, and from then on all weights are.",
        "Fill or reject them: `padless preprocess --missing` has rules, and counts.",
        numbers={"not_finite": facts.not_finite, "sequences": facts.scan.num_records},
    )


def find_no_key(facts: RecordFacts) -> Answer:
    """Finds records that no feature names."""
    if facts.key is not None:
        return None
    return Finding(
        "no_key",
        "no key: no feature with one value is named like a key",
        "A score cannot be led back to its sequence other than by its place in the files.",
        "Name one by --key, or write one: bytes feature 'key'.",
        is_trap=False,
    )


def find_sorted(facts: RecordFacts) -> Answer:
    """Finds records that are sorted by length."""
    sizes = facts.lengths if facts.lengths is not None else facts.num_values
    if facts.scan.num_records < _FEWEST_RECORDS:
        return NotTold(f"an order shows only from {_FEWEST_RECORDS} records on")
    if len(np.unique(sizes)) < 2:
        return None
    correlation = float(np.corrcoef(_ranks(sizes), np.arange(len(sizes)))[0, 1])
    if abs(correlation) < _SORTED:
        return None
    return Finding(
        "sorted_by_length",
        f"the records are sorted by length: rank correlation with their place {correlation:.2f}",
        "A shuffle buffer that does not hold all of them leaves that order: an epoch goes from "
        f"{'short to long' if correlation > 0 else 'long to short'} sequences.",
        "Shuffle all of them; serialized records are small:",
        (f"tf.data.TFRecordDataset(files).shuffle({facts.scan.num_records})",),
        {"correlation": correlation},
        is_trap=False,
    )


def _ranks(values: np.ndarray) -> np.ndarray:
    """Computes the rank of each value, equal ones by their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def find_compressed(facts: RecordFacts) -> Answer:
    """Finds compressed files, which readers must be told."""
    kinds = sorted(set(facts.scan.compressed.values()))
    if not kinds:
        return None
    count, total = len(facts.scan.compressed), len(facts.scan.files)
    mixed = "" if count == total and len(kinds) == 1 else ", and no reader takes both kinds at once"
    return Finding(
        "compressed",
        f"compressed: {count:,} of {plural(total, 'file')} ({', '.join(kinds)})",
        f"A reader that is not told ends with DataLossError{mixed}. TensorFlow Datasets cannot "
        "read them.",
        "Say so; `padless preprocess` sees it itself:",
        (f'tf.data.TFRecordDataset(files, compression_type="{kinds[0]}")',),
        {"files": count},
        is_trap=bool(mixed),
    )
