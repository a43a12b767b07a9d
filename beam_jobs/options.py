"""The options of a preprocessing job, checked where they enter."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence

DEFAULT_SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
ORDERS = ("hash", "input")
_SHARE_TOLERANCE = 1e-9
_SPLIT_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")


@dataclasses.dataclass(frozen=True, slots=True)
class PreprocessOptions:
    """What a preprocessing job reads and how it writes it.

    Attributes:
        inputs: paths of CSV, JSON-lines and npz files; the extension tells the form.
        output: dataset directory to write; must not exist.
        key_column: CSV column or JSON field with the sequence's key.
        time_column: CSV column that orders the timesteps of a key.
        sequence_column: JSON field with the list of timesteps.
        label_column: CSV column or JSON field with the sequence's label, or None for no labels.
        feature_columns: CSV columns with the features, in order; by default all but the above.
        splits: share of the sequences per split, as a mapping or as pairs; kept as pairs.
        seed: of the hash of the key that draws the split and the order.
        shard_bytes: target size of a shard.
        order: `"hash"` mixes the sequences of a split; `"input"` keeps the order of the input,
            in one shard per split.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> PreprocessOptions(inputs=("runs.csv",), output="runs", splits={"train": 1}).splits
        (('train', 1.0),)
    """

    inputs: Sequence[str]
    output: str
    key_column: str = "key"
    time_column: str = "time"
    sequence_column: str = "sequence"
    label_column: str | None = None
    feature_columns: Sequence[str] | None = None
    splits: Mapping[str, float] | Sequence[tuple[str, float]] = DEFAULT_SPLITS
    seed: int = 0
    shard_bytes: int = 128 * 1024 * 1024
    order: str = "hash"

    def __post_init__(self):
        self._set(inputs=_as_paths(self.inputs), output=os.fspath(self.output))
        if self.feature_columns is not None:
            self._set(feature_columns=_as_names("feature_columns", self.feature_columns))
        self._set(splits=_as_splits(self.splits))
        if not self.output:
            raise ValueError(f"`output` must name a directory, got {self.output!r}.")
        self._check_columns()
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"`seed` must be in [0, 2**63), got {self.seed}.")
        if self.shard_bytes < 1:
            raise ValueError(f"`shard_bytes` must be at least 1, got {self.shard_bytes}.")
        if self.order not in ORDERS:
            raise ValueError(f"`order` must be one of {ORDERS}, got {self.order!r}.")

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_columns(self) -> None:
        roles = {
            role: name
            for role in ("key_column", "time_column", "label_column")
            if (name := getattr(self, role)) is not None
        }
        for role, name in {**roles, "sequence_column": self.sequence_column}.items():
            if not name:
                raise ValueError(f"`{role}` must name a column, got {name!r}.")
        if len(set(roles.values())) < len(roles):
            raise ValueError(f"{', '.join(f'`{r}`' for r in roles)} must differ, got {roles}.")
        for role in roles.keys() - {"time_column"}:
            if roles[role] in (self.feature_columns or ()):
                raise ValueError(
                    f"`feature_columns` must not hold the `{role}` {roles[role]!r}, "
                    f"got {self.feature_columns}."
                )


def _as_paths(inputs) -> tuple[str, ...]:
    if isinstance(inputs, str | os.PathLike):
        raise ValueError(f"`inputs` must be a sequence of paths, got the one path {inputs!r}.")
    paths = tuple(map(os.fspath, inputs))
    if not paths:
        raise ValueError("`inputs` must name at least one file, got none.")
    for path in paths:
        if sum(os.path.normpath(path) == os.path.normpath(other) for other in paths) > 1:
            raise ValueError(f"`inputs` must name each file once, got {path!r} more than once.")
    return paths


def _as_names(argument: str, names) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"`{argument}` must be a sequence of names, got the string {names!r}.")
    names = tuple(names)
    if not names:
        raise ValueError(f"`{argument}` must name at least one column, got none.")
    if len(set(names)) < len(names):
        raise ValueError(f"`{argument}` must name each column once, got {names}.")
    return names


def _as_splits(splits) -> tuple[tuple[str, float], ...]:
    pairs = splits.items() if isinstance(splits, Mapping) else splits
    pairs = tuple((name, float(share)) for name, share in pairs)
    names = [name for name, _ in pairs]
    for name, share in pairs:
        if not _SPLIT_NAME.fullmatch(name):
            raise ValueError(
                f"`splits` must name splits by ASCII letters, digits and _, a letter first, "
                f"got {name!r}."
            )
        if name == "all":
            raise ValueError('`splits` must not name a split "all", which TFDS reserves.')
        if names.count(name) > 1:
            raise ValueError(f"`splits` must name each split once, got {names}.")
        if not share > 0:
            raise ValueError(f"`splits` must give each split a share above 0, got {name}={share}.")
    total = math.fsum(share for _, share in pairs)
    if not abs(total - 1) <= _SHARE_TOLERANCE:
        raise ValueError(f"`splits` must have shares that sum to 1, got {dict(pairs)}: {total}.")
    return pairs
