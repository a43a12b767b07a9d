"""From what users pass as `X` to sequences that all rules have been applied to, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from padless.beam_jobs import Rules
from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.assembly.rounding import Rounding
from padless.beam_jobs.fragments import Reject
from padless.beam_jobs.fragments import Sequence as Accepted
from padless.estimators.arrays import ArrayInput, read_arrays
from padless.estimators.tables import TableInput, is_frame, read_table
from padless.pipeline.dataset.records import encode_example

Input = ArrayInput | TableInput

_NO_TIMES = "`time=None` keeps the order of the rows."
# What mends a broken rule, by its reason.
_REMEDIES = {
    "missing_value": "NaN is a missing value: `missing` can fill it from the one before "
    "('forward_fill'), leave its timestep out ('drop_timestep') or tell the model ('mask').",
    "too_long": "`too_long='truncate'` cuts it.",
    "duplicate_time": _NO_TIMES,
    "bad_time": _NO_TIMES,
}


def read_input(
    X: Any,
    *,
    key: str,
    time: str | None,
    features: Sequence[str] | None,
) -> Input:
    """Reads arrays or a data frame; takes and raises what `read_arrays` and `read_table` do."""
    _check_container(X)
    return read_table(X, key=key, time=time, features=features) if is_frame(X) else read_arrays(X)


def _check_container(X: Any) -> None:
    """Checks that what is passed is not near to what is read, and needs one more step."""
    kind, remedy = type(X).__name__, None
    if isinstance(X, Mapping) and not hasattr(X, "toarray"):  # as some sparse arrays are, too
        kind, remedy = f"{kind} of {len(X)}", "`list(X.values())` has them in order"
    elif kind == "LazyFrame":
        remedy = "`X.collect()` makes it a data frame"
    elif kind.endswith("GroupBy"):
        remedy = "pass the data frame itself, and name the column of the groups by `key`"
    if remedy:
        raise TypeError(
            "`X` must be a data frame or hold one array (timesteps, features) per sequence, got a "
            f"{kind}; {remedy}."
        )


def assemble_all(given: Input, rules: Rules) -> list[Accepted]:
    """Applies the rules to all sequences, as the job that writes a dataset does.

    Args:
        given: the sequences.
        rules: what is accepted, and what becomes of what is not; no sequence may be split.

    Returns:
        One sequence per key, in the order in which the keys are first seen.

    Raises:
        ValueError: if a sequence is rejected, or has other features than the first one.
    """
    rounding, fragments = Rounding(None), dict[bytes, list]()
    for item in map(rounding.round, given.read()):
        if isinstance(item, Reject):
            raise ValueError(_explain(item))
        fragments.setdefault(item[0], []).append(item[1])
    names, splits = given.feature_names, (("all", 1.0),)
    assembler = Assembler(rules, seed=0, splits=splits, feature_names=names)
    sequences = []
    for key, parts in fragments.items():
        result = assembler.assemble(key, parts).results[0]
        if isinstance(result, Reject):
            raise ValueError(_explain(result))
        sequences.append(result)
    _check_same_width(sequences)
    return sequences


def encode_all(sequences: Iterable[Accepted]) -> list[bytes]:
    """Encodes sequences as the records that a dataset would hold."""
    return [encode_example(sequence.key, sequence.values) for sequence in sequences]


def _check_same_width(sequences: Sequence[Accepted]) -> None:
    width = sequences[0].values.shape[1]
    for sequence in sequences:
        if sequence.values.shape[1] != width:
            raise ValueError(
                f"{sequence.place} must have {width} features per timestep, as the first sequence "
                f"has, got {sequence.values.shape[1]}."
            )


def _explain(reject: Reject) -> str:
    remedy = _REMEDIES.get(reject.reason)
    # The key of an array is its position, which the place says too.
    where = f"{reject.place}: {reject.rule}" if reject.place.position == 0 else reject.message
    return f"{where} {remedy}" if remedy else where
