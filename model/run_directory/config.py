"""`config.json`: what a run was asked for, and what must be the same when it is resumed.

1. `describe_run` states it before the run begins, `write_config` writes it.
2. `read_config` reads it, checked.
3. `check_same_run` compares it with what a resumed run is asked for.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import types
import typing
from collections.abc import Mapping, Sequence

from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.run_directory.training_options import FREE_TO_CHANGE, TrainingOptions
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.fingerprint import changed_parts, fingerprint
from padless.pipeline.dataset.rules import SequenceRules, read_rules
from padless.pipeline.dataset.static_columns import StaticScale
from padless.pipeline.planning.plan import BatchPlan
from padless.pipeline.written_whole import written_whole

CONFIG_FILE = "config.json"
_PACKAGES = ("padless", "tensorflow", "keras", "numpy")
_JSON_NAMES = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "a list",
    str: "a string",
}


@dataclasses.dataclass(frozen=True, slots=True)
class RunConfig:
    """The configuration of a run. The attributes are the keys of `config.json`.

    Attributes:
        dataset: path of the dataset directory that the run is trained on.
        fingerprint: digests of its parts.
        num_features: values per timestep.
        feature_names: their names, where the dataset has names.
        architecture: what is built.
        training: how it is trained.
        replicas: number of replicas that the batches were planned for.
        devices: the devices of this machine.
        versions: package -> version that the run was started with; None where it is not installed.
        steps_per_epoch: number of steps by split.
        offsets: what was subtracted from each feature before it became float32, or None.
        static: scales of the dataset's static columns, which join the embedding, in order.
        rules: that the dataset's sequences were read by, which are those of raw files that the
            model is given; None where no job of padless made the dataset.
    """

    dataset: str
    fingerprint: Mapping[str, str]
    num_features: int
    feature_names: tuple[str, ...] | None
    architecture: Architecture
    training: TrainingOptions
    replicas: int
    devices: tuple[str, ...]
    versions: Mapping[str, str | None]
    steps_per_epoch: Mapping[str, int] = dataclasses.field(default_factory=dict)
    offsets: tuple[float, ...] | None = None
    static: tuple[StaticScale, ...] = ()
    rules: SequenceRules | None = None

    @property
    def center(self) -> dict[str, float] | None:
        """The offsets by the names of the features, or by their positions if they have none."""
        if self.offsets is None:
            return None
        names = self.feature_names or map(str, range(self.num_features))
        return dict(zip(names, self.offsets, strict=True))

    def with_plans(self, plans: Mapping[str, BatchPlan]) -> RunConfig:
        """Returns the configuration with what the plans came to."""
        steps = {split: plan.steps_per_epoch for split, plan in plans.items()}
        return dataclasses.replace(self, steps_per_epoch=steps)


def describe_run(
    directory: epath.PathLike,
    dataset: SequenceDataset,
    *,
    architecture: Architecture,
    options: TrainingOptions,
    devices: Sequence[str],
    replicas: int,
    static: Sequence[StaticScale] = (),
) -> RunConfig:
    """Describes a run before its batches are planned.

    Args:
        directory: dataset directory.
        dataset: the opened dataset.
        architecture: what is built.
        options: how it is trained.
        devices: names of the devices of this machine.
        replicas: number of replicas, those of other machines included.
        static: scales of the static columns of the dataset.
    """
    names = dataset.feature_names
    return RunConfig(
        dataset=str(epath.Path(directory).resolve()),
        fingerprint=fingerprint(dataset),
        num_features=dataset.record_format.num_features,
        feature_names=None if names is None else tuple(names),
        architecture=architecture,
        training=options,
        replicas=replicas,
        devices=tuple(devices),
        rules=read_rules(directory),
        versions={name: _version(name) for name in _PACKAGES},
        offsets=dataset.offsets,
        static=tuple(static),
    )


def write_config(run: pathlib.Path, config: RunConfig) -> None:
    """Writes `config.json` into a run directory, whole or not at all."""
    with written_whole(run / CONFIG_FILE) as beside:
        beside.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")


def read_config(run: epath.PathLike) -> RunConfig:
    """Reads the configuration of a run.

    Raises:
        FileNotFoundError: if it is not a run directory.
        ValueError: if the file does not hold what `padless train` of this version writes; names
            the key.
    """
    path = epath.Path(run) / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {run} is not a run of `padless train`.")
    try:
        values = json.loads(path.read_bytes())
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path} must hold JSON: {error}") from error
    try:
        return _parse_fields(RunConfig, values, "")
    except (ArithmeticError, TypeError, ValueError) as error:
        raise ValueError(f"{path} {error}") from error


def check_same_run(run: os.PathLike, started: RunConfig, now: RunConfig) -> None:
    """Checks that a run can be resumed as it is asked for now.

    Args:
        run: the run directory, for messages.
        started: its configuration.
        now: the configuration of what is asked for.

    Raises:
        ValueError: if the data, the model, or an option that changes the result is another.
    """
    if changed := changed_parts(started.fingerprint, now.fingerprint):
        raise ValueError(_say_other_data(run, started.dataset, now.dataset, changed))
    for group in ("architecture", "training"):
        before = dataclasses.asdict(getattr(started, group))
        for name, value in dataclasses.asdict(getattr(now, group)).items():
            if value != before[name] and not _is_free(name, started):
                raise ValueError(
                    f"{run}: `{name}` must be {before[name]!r} as in the run that is resumed, got "
                    f"{value!r}.{_why_not_free(name, started)}"
                )


def _say_other_data(
    run: os.PathLike, started_on: str, asked_for: str, changed: Sequence[str]
) -> str:
    differing = ", ".join(changed)
    if started_on == asked_for:
        return (
            f"{asked_for}: the dataset has changed since the run {run} began (what differs: "
            f"{differing}). Bring it back, or train a new run."
        )
    return (
        f"{run}: the run was started on {started_on}, and can only be resumed with the same data; "
        f"{asked_for} holds other (what differs: {differing})."
    )


def _is_free(name: str, started: RunConfig) -> bool:
    return name in FREE_TO_CHANGE and not _why_not_free(name, started)


def _why_not_free(name: str, started: RunConfig) -> str:
    """Explains why an option that is free otherwise is not."""
    schedule = started.training.schedule
    if name == "epochs" and schedule != "constant":
        return f" The schedule {schedule!r} runs along all epochs: for more, begin a new run."
    return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed


def _parse(kind: typing.Any, value: object, name: str) -> typing.Any:
    """Returns a value of JSON as the type that an annotation names.

    Raises:
        ValueError: if it is of another type, or a dataclass does not take it.
    """
    parts = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _parse_fields(kind, value, name)
    if origin in (types.UnionType, typing.Union):  # always of something and None
        return None if value is None else _parse(parts[0], value, name)
    if origin is tuple:
        items = _checked(list, value, name)
        return tuple(_parse(parts[0], item, f"{name}[{i}]") for i, item in enumerate(items))
    if origin is not None:  # a mapping
        items = _checked(dict, value, name)
        return {key: _parse(parts[1], item, f"{name}.{key}") for key, item in items.items()}
    return _checked(kind, value, name)


def _parse_fields(kind: typing.Any, value: object, name: str) -> typing.Any:
    values, hints = _checked(dict, value, name or "."), typing.get_type_hints(kind)
    prefix = f"{name}." if name else ""
    for key in hints:
        if key not in values:
            raise ValueError(
                f"must hold '{prefix}{key}', as `padless train` of this version writes it; "
                "it does not."
            )
    for key in values:
        if key not in hints:
            raise ValueError(
                f"must hold what `padless train` of this version writes, got the unknown key "
                f"'{prefix}{key}' with the value {values[key]!r}."
            )
    parsed = {key: _parse(hint, values[key], prefix + key) for key, hint in hints.items()}
    try:
        return kind(**parsed)
    except ValueError as error:
        raise ValueError(f"must hold valid options in {name!r}: {error}") from error


def _checked(kind: type, value: object, name: str) -> typing.Any:
    """Checks the type of a value; JSON writes a float without a fraction as an integer."""
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise ValueError(f"must hold {_JSON_NAMES[kind]} as {name!r}, got {value!r}.")
    return value
