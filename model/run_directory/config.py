"""The configuration of a run: what was asked for, and what must be the same when it is resumed."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Mapping

import tensorflow as tf
from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.run_directory.training_options import FREE_TO_CHANGE, TrainingOptions
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.fingerprint import changed_parts, fingerprint
from padless.pipeline.planning.batch_time import BatchCost
from padless.pipeline.planning.plan import BatchPlan

_PACKAGES = ("padless", "tensorflow", "keras", "numpy")


def describe_run(
    directory: epath.PathLike,
    dataset: SequenceDataset,
    *,
    architecture: Architecture,
    options: TrainingOptions,
    strategy: tf.distribute.Strategy,
) -> dict:
    """Describes a run as JSON can hold it, before its batches are planned.

    Args:
        directory: dataset directory.
        dataset: the opened dataset.
        architecture: what is built.
        options: how it is trained.
        strategy: on which devices.
    """
    config = {
        "dataset": str(epath.Path(directory).resolve()),
        "fingerprint": fingerprint(dataset),
        "num_features": dataset.record_format.num_features,
        "feature_names": dataset.feature_names,
        "architecture": dataclasses.asdict(architecture),
        "training": dataclasses.asdict(options),
        "replicas": strategy.num_replicas_in_sync,
        "devices": list(strategy.extended.worker_devices),
        "versions": {name: _version(name) for name in _PACKAGES},
    }
    return json.loads(json.dumps(config))


def describe_plans(plans: Mapping[str, BatchPlan], cost: BatchCost) -> dict:
    """Describes what the plans were made by, and what they came to."""
    return {
        "batch_cost": dataclasses.asdict(cost),
        "steps_per_epoch": {split: plan.steps_per_epoch for split, plan in plans.items()},
    }


def check_same_run(run, begun: Mapping, now: Mapping) -> None:
    """Checks that a run can go on as what is asked for now.

    Args:
        run: the run directory, for messages.
        begun: its configuration.
        now: the configuration of what is asked for.

    Raises:
        ValueError: if the data, the model, or an option that changes the result is another.
    """
    if changed := changed_parts(begun["fingerprint"], now["fingerprint"]):
        raise ValueError(_say_other_data(run, begun["dataset"], now["dataset"], changed))
    for group in ("architecture", "training"):
        for name, value in now[group].items():
            if value != (before := begun[group].get(name)) and not _is_free(name, begun):
                raise ValueError(
                    f"{run}: `{name}` must be {before!r} as in the run that is resumed, got "
                    f"{value!r}.{_why_not_free(name, begun)}"
                )


def _say_other_data(run, begun_on, asked_for, changed: list[str]) -> str:
    differing = ", ".join(changed)
    if begun_on == asked_for:
        return (
            f"{asked_for}: the dataset has changed since the run {run} began (what differs: "
            f"{differing}). Bring it back, or train a new run."
        )
    return (
        f"{run}: the run was begun on {begun_on}, and can only be resumed with the same data; "
        f"{asked_for} holds other (what differs: {differing})."
    )


def _is_free(name: str, begun: Mapping) -> bool:
    return name in FREE_TO_CHANGE and not _why_not_free(name, begun)


def _why_not_free(name: str, begun: Mapping) -> str:
    """Explains why an option that is free otherwise is not."""
    schedule = begun["training"]["schedule"]
    if name == "epochs" and schedule != "constant":
        return f" The schedule {schedule!r} runs along all epochs."
    return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # run from a checkout that is not installed
