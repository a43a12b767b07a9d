"""The options of a preprocessing job, checked where they enter.

`PreprocessOptions` says what is read, and holds three parts that each step takes on its own:
`Columns` (where things are in the raw files, see `columns`), `Rules` (what is accepted) and
`Output` (what is written).
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from padless.beam_jobs.columns import Columns, as_names, is_given
from padless.beam_jobs.text_format import PLAIN, TextFormat
from padless.pipeline.dataset.names import TRAINING_SPLIT
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names

DEFAULT_SPLITS = (("train", 0.8), ("validation", 0.1), ("test", 0.1))
ORDERS = ("hash", "input")
FORMS = ("csv", "jsonl", "npy", "npz", "parquet", "arrow", "tfds", "tfrecord", "ts")
MISSING = ("reject", "forward_fill", "drop_timestep", "mask")
TOO_LONG = ("reject", "truncate", "split")
TIME_ORDERS = ("sort", "reject", "file")
_SHARE_TOLERANCE = 1e-9
_SPLIT_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """What a sequence must be to be accepted, and what becomes of one that is not.

    Attributes:
        missing: what becomes of missing values (an empty cell, null, NaN): `"reject"` the sequence,
            `"forward_fill"` with the feature's last value, `"drop_timestep"`, or `"mask"`: they
            stay NaN, no loss and no error counts them, and the model is told.
        time_order: `"sort"` the timesteps by time, `"reject"` a sequence whose times do not
            increase in the order of the input, or keep the order of the `"file"` and read no times.
        min_length: minimum number of timesteps.
        max_length: maximum number of timesteps, or None.
        too_long: what becomes of a longer sequence: `"reject"` it, `"truncate"` it to its first
            timesteps, or `"split"` it into pieces, whose keys are the sequence's followed by the
            timesteps, as in `run[0:100]`, `run[100:150]`.
        stride: timesteps from the beginning of a piece to that of the next, so that pieces overlap
            as windows do. The last one ends with the sequence and is as long as the others. If
            None, pieces follow one another, and the last one is what remains.
        labels: the labels that are known, or None for any.
        train_labels: the labels of the split `train` and of what is held out of it: sequences with
            others are left out of it, and are no rejects. None for any.
        max_rejects: a number of rejects, or a share of what was read if it is a float: with more,
            the job fails. None for any.

    Raises:
        ValueError: if a rule is out of its range.
    """

    missing: str = "reject"
    time_order: str = "sort"
    min_length: int = 1
    max_length: int | None = None
    too_long: str = "reject"
    stride: int | None = None
    labels: Sequence[str] | None = None
    train_labels: Sequence[str] | None = None
    max_rejects: int | float | None = None

    def __post_init__(self) -> None:
        _check_choice("missing", self.missing, MISSING)
        _check_choice("time_order", self.time_order, TIME_ORDERS)
        _check_choice("too_long", self.too_long, TOO_LONG)
        for name in ("labels", "train_labels"):
            if (labels := getattr(self, name)) is not None:
                _set(self, **{name: as_names(name, labels)})
        for label in self.train_labels or ():
            if self.labels is not None and label not in self.labels:
                raise ValueError(
                    f"`train_labels` must be among `labels`, {list_names(self.labels)}, "
                    f"got {label!r}."
                    f"{did_you_mean(label, self.labels)}"
                )
        if self.min_length < 1:
            raise ValueError(f"`min_length` must be at least 1, got {self.min_length}.")
        if self.max_length is not None and self.max_length < self.min_length:
            raise ValueError(
                f"`max_length` must be at least `min_length`, {self.min_length}, "
                f"got {self.max_length}."
            )
        if self.max_length is None and self.too_long != "reject":
            raise ValueError(f"`too_long` needs a `max_length`, got {self.too_long!r} without one.")
        self._check_stride()
        self._check_max_rejects()

    def _check_stride(self) -> None:
        if self.stride is None:
            return
        if self.too_long != "split" or self.max_length is None:
            raise ValueError(
                f"`stride` needs `too_long` to be 'split', got {self.stride} with "
                f"{self.too_long!r}."
            )
        if not 1 <= self.stride <= self.max_length:
            raise ValueError(
                f"`stride` must be from 1 to `max_length`, {self.max_length}, so that every "
                f"timestep is in a piece, got {self.stride}."
            )

    def _check_max_rejects(self) -> None:
        limit = self.max_rejects
        if isinstance(limit, float) and not 0 <= limit <= 1:
            raise ValueError(f"`max_rejects` must be in [0, 1] as a share, got {limit}.")
        if isinstance(limit, int) and limit < 0:
            raise ValueError(f"`max_rejects` must be at least 0, got {limit}.")


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """How a dataset is written.

    Attributes:
        directory: dataset directory to write, on a file system that Beam knows.
        splits: share of the sequences per split, as a mapping or as pairs (kept as pairs), drawn by
            the hash of the key; not used for sequences that come with a split.
        hold_out: splits that are taken from the split `train`, drawn or not, each with its share of
            it, as a mapping or as pairs (kept as pairs); drawn by the hash of the key, or of the
            group where `Columns.group` names one.
        seed: of the hash of the key that draws the split and the order.
        shard_bytes: target size of a shard.
        order: `"hash"` mixes the sequences of a split; `"input"` keeps the order of the input, in
            one shard per split.
        overwrite: whether to replace a dataset that padless wrote.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> Output("runs", splits={"train": 1}, hold_out={"validation": 0.1}).hold_out
        (('validation', 0.1),)
    """

    directory: str
    splits: Mapping[str, float] | Sequence[tuple[str, float]] = DEFAULT_SPLITS
    hold_out: Mapping[str, float] | Sequence[tuple[str, float]] = ()
    seed: int = 0
    shard_bytes: int = 128 * 1024 * 1024
    order: str = "hash"
    overwrite: bool = False

    def __post_init__(self) -> None:
        _set(self, directory=os.fspath(self.directory), splits=_as_splits(self.splits))
        _set(self, hold_out=_as_hold_out(self.hold_out))
        if not self.directory.rstrip("/"):
            raise ValueError(f"`output` must name a directory, got {self.directory!r}.")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"`seed` must be in [0, 2**63), got {self.seed}.")
        if self.shard_bytes < 1:
            raise ValueError(f"`shard_bytes` must be at least 1, got {self.shard_bytes}.")
        _check_choice("order", self.order, ORDERS)

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """The splits as pairs, which they are once they are checked."""
        return cast("tuple[tuple[str, float], ...]", self.splits)

    @property
    def held_out(self) -> tuple[tuple[str, float], ...]:
        """What is held out, as pairs."""
        return cast("tuple[tuple[str, float], ...]", self.hold_out)

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits in their order, those that are held out after the training split."""
        names = [name for name, _ in self.shares]
        held_out = [name for name, _ in self.held_out if name not in names]
        after = names.index(TRAINING_SPLIT) + 1 if TRAINING_SPLIT in names else len(names)
        return (*names[:after], *held_out, *names[after:])

    def check_drawn(self, rules: Rules) -> None:
        """Checks that what is about the training split goes with `splits`, where these are drawn.

        Args:
            rules: of the same job.

        Raises:
            ValueError: if there is no training split, or a split that is to be held out.
        """
        names = [name for name, _ in self.shares]
        if (self.held_out or rules.train_labels) and TRAINING_SPLIT not in names:
            option = "hold_out" if self.held_out else "train_labels"
            raise ValueError(needs_training_split(option, "`splits`", names))
        for name, _ in self.held_out:
            if name in names:
                raise ValueError(
                    f"`hold_out` must name a split that `splits` does not have, got {name!r}, "
                    f"which is among {list_names(names)}; what works is {self._as_held_out()}."
                )

    def _as_held_out(self) -> str:
        """Returns the options that draw the same splits, those that are held out from `train`."""
        shares = dict(self.shares)
        for name, _ in self.held_out:
            shares[TRAINING_SPLIT] += shares.pop(name, 0)
        splits, held_out = map(_list_shares, (shares.items(), self.held_out))
        return f"`--splits {splits} --hold-out {held_out}`"


@dataclasses.dataclass(frozen=True, slots=True)
class PreprocessOptions:
    """What a preprocessing job reads and how it writes it.

    Attributes:
        inputs: paths, globs, or `tfds:` and a builder's name or directory; see `docs/data.md`.
        output: an `Output`, or the directory to write.
        columns: where the parts of a sequence are.
        rules: what is accepted.
        input_format: name of the inputs' form; by default found by their extensions.
        text: how the text of files is written.
        keep_splits: whether the split of a sequence is its file's: the name of the directory that
            the file is in, or the split of a TFDS builder.

    Raises:
        ValueError: if an option is out of its range or does not go with another.

    Example:
        >>> PreprocessOptions(inputs=("runs.csv",), output="runs").output.seed
        0
    """

    inputs: Sequence[str]
    output: Output | str
    columns: Columns = dataclasses.field(default_factory=Columns)
    rules: Rules = dataclasses.field(default_factory=Rules)
    input_format: str | None = None
    keep_splits: bool = False
    text: TextFormat = PLAIN

    def __post_init__(self) -> None:
        _set(self, inputs=_as_paths(self.inputs))
        _set(self, output=as_output(self.output))
        if self.keep_splits and self.columns.split is not None:
            raise ValueError(
                f"`keep_splits` must not be set with a `split` column, got {self.columns.split!r}."
            )
        if not self.splits_are_given:
            as_output(self.output).check_drawn(self.rules)
        order = self.rules.time_order
        if self.columns.wide and order == "reject" and is_given(order):
            raise ValueError(
                "`time_order` must be sort with `wide`, by which the columns are the timesteps in "
                "their order, got 'reject'."
            )
        if self.columns.group is not None and not as_output(self.output).held_out:
            raise ValueError(
                f"`group` needs `hold_out`, which holds groups out, got {self.columns.group!r} "
                "without it."
            )
        for name in ("labels", "train_labels"):
            if (labels := getattr(self.rules, name)) is not None and self.columns.label is None:
                raise ValueError(
                    f"`{name}` needs a `label` column, got {list_names(labels)} alone."
                )

    @property
    def splits_are_given(self) -> bool:
        """Whether sequences come with their split, so that none is drawn."""
        return self.keep_splits or self.columns.split is not None


def as_output(output: Output | str) -> Output:
    """Returns an `Output`, with all defaults where only its directory is given."""
    return output if isinstance(output, Output) else Output(output)


def needs_training_split(option: str, where: str, splits: Sequence[str]) -> str:
    """Returns the rule that splits break which lack the training split."""
    return (
        f"`{option}` is about the split {TRAINING_SPLIT!r}, which {where} must have, "
        f"it has {list_names(splits)}."
    )


def check_split_name(name: str) -> None:
    """Checks that TFDS accepts a name for a split.

    Raises:
        ValueError: if it does not.
    """
    if not _SPLIT_NAME.fullmatch(name):
        raise ValueError(
            f"a split must be named by ASCII letters, digits and _, a letter first, got {name!r}."
        )
    if name == "all":
        raise ValueError('a split must not be named "all", which TFDS reserves.')


def _set(options: object, **values: object) -> None:
    for name, value in values.items():
        object.__setattr__(options, name, value)


def _check_choice(argument: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{argument}` must be one of {list_names(choices)}, got {value!r}.")


def _as_paths(inputs: Iterable[str | os.PathLike[str]]) -> tuple[str, ...]:
    if isinstance(inputs, str | os.PathLike):
        raise ValueError(f"`inputs` must be a sequence of paths, got the one path {inputs!r}.")
    paths = tuple(os.fspath(path) for path in inputs)
    if not paths:
        raise ValueError("`inputs` must name at least one file, got none.")
    return paths


def _as_splits(
    splits: Mapping[str, float] | Sequence[tuple[str, float]],
) -> tuple[tuple[str, float], ...]:
    pairs = _as_shares("splits", splits)
    for name, share in pairs:
        if not share > 0:
            raise ValueError(f"`splits` must give each split a share above 0, got {name}={share}.")
    total = math.fsum(share for _, share in pairs)
    if not abs(total - 1) <= _SHARE_TOLERANCE:
        raise ValueError(
            f"`splits` must have shares that sum to 1, got {_list_shares(pairs)}: {total:g}."
        )
    return pairs


def _as_hold_out(
    hold_out: Mapping[str, float] | Sequence[tuple[str, float]],
) -> tuple[tuple[str, float], ...]:
    pairs = _as_shares("hold_out", hold_out)
    for name, share in pairs:
        if name == TRAINING_SPLIT:
            raise ValueError(f"`hold_out` must name another split than {name!r}, it takes from it.")
        if not 0 < share < 1:
            raise ValueError(
                f"`hold_out` must hold out a share above 0 and below 1, got {name}={share}."
            )
    if not math.fsum(share for _, share in pairs) < 1:
        raise ValueError(
            f"`hold_out` must leave something of {TRAINING_SPLIT!r}, got shares that sum to 1 or "
            f"more: {_list_shares(pairs)}."
        )
    return pairs


def _list_shares(pairs: Iterable[tuple[str, float]]) -> str:
    """Writes shares as the command line takes them."""
    return ",".join(f"{name}={share:g}" for name, share in pairs) or "none"


def _as_shares(
    argument: str, splits: Mapping[str, float] | Sequence[tuple[str, float]]
) -> tuple[tuple[str, float], ...]:
    given = splits.items() if isinstance(splits, Mapping) else splits
    pairs = tuple((name, float(share)) for name, share in given)
    names = [name for name, _ in pairs]
    for name in names:
        try:
            check_split_name(name)
        except ValueError as error:
            raise ValueError(f"`{argument}`: {error}") from None
        if names.count(name) > 1:
            raise ValueError(f"`{argument}` must name each split once, got {list_names(names)}.")
    return pairs
