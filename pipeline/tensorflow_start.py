"""Starts TensorFlow without the notes that its native parts print whatever the log level.

`padless.pipeline` and `padless.model` do so before they import the first of their names that needs
TensorFlow. A module inside them that is imported first, by its full path, shows the notes.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_QUIET, _QUIETER = "2", "3"


def start_tensorflow() -> None:
    """Imports TensorFlow and finds the devices; what it prints is shown only if that fails.

    A user who has set a lower `TF_CPP_MIN_LOG_LEVEL` wants to see, and sees, what TensorFlow has to
    say. Where TensorFlow has been imported before, nothing is left to do.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault(LOG_LEVEL, _QUIET) not in (_QUIET, _QUIETER):
        return
    with _stderr_held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Holds back what the process writes to its standard error, native code included."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
