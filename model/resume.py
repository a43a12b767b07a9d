"""What must be the same when a run is resumed, and what may be another."""

from __future__ import annotations

from collections.abc import Mapping

from padless.model.options import FREE_TO_CHANGE
from padless.pipeline.fingerprint import changed_parts


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
            if value != (before := begun[group].get(name)) and not _is_free(name, now["training"]):
                raise ValueError(
                    f"{run}: `{name}` must be {before!r} as in the run that is resumed, got "
                    f"{value!r}.{_why_not_free(name, now['training'])}"
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


def _is_free(name: str, training: Mapping) -> bool:
    return name in FREE_TO_CHANGE and not _why_not_free(name, training)


def _why_not_free(name: str, training: Mapping) -> str:
    """Explains why an option that is free otherwise is not."""
    if name == "epochs" and training["schedule"] != "constant":
        return f" The schedule {training['schedule']!r} runs along all epochs."
    return ""
