"""Keeps TFDS from importing the modules that a `features.json` names."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_PACKAGE = "tensorflow_datasets"
_LOCK = threading.RLock()


@contextlib.contextmanager
def own_classes_only() -> Iterator[None]:
    """Restricts TFDS to feature classes of its own while the context lasts.

    TFDS imports the module of every class that `features.json` names, which runs its code. Older
    forms of the file name classes in other keys and in JSON within a string, so they are checked
    where TFDS looks a class up, and not in the file.

    Raises:
        ValueError: in place of looking up a class of another package.
    """
    import tensorflow_datasets as tfds

    connector = tfds.features.FeatureConnector
    with _LOCK:
        original = vars(connector)["cls_from_name"]
        look_up = connector.cls_from_name

        def look_up_own(name: str) -> Any:
            if name.partition(".")[0] != _PACKAGE:
                raise ValueError(
                    f"each class that features.json names must be one of {_PACKAGE}, got {name!r}."
                )
            return look_up(name)

        connector.cls_from_name = staticmethod(look_up_own)
        try:
            yield
        finally:
            connector.cls_from_name = original
