"""`model.keras`, looked at before Keras reads it: someone may have edited it.

Keras may import the modules that the file names, unpacks what is compressed without a limit, and
builds a model of any size before it reads weights. padless compresses nothing, and a model has the
weights that are beside it, so that a file takes about as much memory as disk.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
from etils import epath

from padless.model.network.architecture import Architecture
from padless.model.run_directory.stored_arrays import check_stored
from padless.pipeline.wording import list_names

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {"metadata.json", _CONFIG, _WEIGHTS}
_PACKAGES = {"builtins", "keras", "padless"}
_BYTES = 4  # of a weight


def check_model_file(path: epath.Path) -> None:
    """Checks that a file holds what `padless train` writes, as far as its form goes.

    Raises:
        KeyError, OSError, RecursionError, TypeError, ValueError, zipfile.BadZipFile: if not.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        if (members := set(archive.namelist())) != _MEMBERS:
            raise ValueError(
                f"it must hold {list_names(sorted(_MEMBERS))}, got {list_names(sorted(members))}."
            )
        check_stored(archive)
        config = json.loads(archive.read(_CONFIG))
        for module in _list_modules(config):
            if str(module).partition(".")[0] not in _PACKAGES:
                raise ValueError(
                    f"each module that {_CONFIG} names must be one of "
                    f"{list_names(sorted(_PACKAGES))}, got {module!r}."
                )
        weights = archive.read(_WEIGHTS)
        _check_weights(weights)
        _check_size(config, len(weights) // _BYTES)


def _list_modules(content: Any) -> Iterator[Any]:
    """Yields the modules that the configuration of a model names, wherever."""
    if isinstance(content, dict):
        if content.get("module") is not None:
            yield content["module"]
        content = list(content.values())
    if isinstance(content, list):
        for item in content:
            yield from _list_modules(item)


def _check_size(config: dict[str, Any], held: int) -> None:
    """Checks that a model is an autoencoder which is not larger than its weights.

    Args:
        config: what the file holds of the model.
        held: number of weights that the file can hold.
    """
    if (name := config["class_name"]) != "SequenceAutoencoder":
        raise ValueError(f"it must hold a SequenceAutoencoder, got {name}.")
    arguments = config["config"]
    architecture = Architecture(**arguments["architecture"])
    if (needed := architecture.count_weights_at_least(arguments["num_features"])) > held:
        raise ValueError(
            f"the architecture in {_CONFIG} has at least {needed:,} weights, but {_WEIGHTS} can "
            f"hold only {held:,}."
        )


def _check_weights(data: bytes) -> None:
    """Checks that each array takes as many bytes in the file as in memory, and is in no other."""

    def check(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.is_virtual or item.external or item.id.get_storage_size() != item.nbytes:
            raise ValueError(f"{name} of {_WEIGHTS} must be in the file as it is in memory.")

    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(check)
