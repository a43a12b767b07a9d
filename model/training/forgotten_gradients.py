"""A training leaves nothing of its graphs in the process.

TensorFlow registers the gradient of each `tf.custom_gradient` that is traced under a name of its
own, for as long as the process lives, and with it the graph, the model and the optimizer: some 45
MB per training, which a search over many models adds up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tensorflow.python.framework import ops

_PREFIX = "CustomGradient-"


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Forgets at its end the gradients that were registered within, whose traces are done with.

    A version of TensorFlow that keeps them elsewhere keeps them.
    """
    registered = getattr(ops.gradient_registry, "_registry", {})
    before = {*registered}
    try:
        yield
    finally:
        for name in {*registered} - before:
            if name.startswith(_PREFIX):
                registered.pop(name, None)
