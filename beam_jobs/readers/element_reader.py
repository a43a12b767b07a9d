"""Sequences that come as elements of a Beam pipeline instead of from files."""

from __future__ import annotations

import numpy as np

from padless.beam_jobs.fragments import Item, Place, RejectionError, Whole, shorten
from padless.beam_jobs.readers.values import check_sequence, parse_key, parse_label

# A PCollection has no order, so an element has no position.
PLACE = Place(0, 0, "the PCollection", "element")


def element_item(element: object, *, has_label: bool) -> Item:
    """Makes a fragment of `(key, sequence)`, or of `(key, sequence, label)`.

    Args:
        element: key, a string, UTF-8 bytes or an integer; sequence, anything that NumPy turns into
            numbers `(timesteps, features)`; label, a string or a number.
        has_label: whether there must be a label.

    Example:
        >>> key, whole = element_item(("a", [[1, 2], [3, 4]]), has_label=False)
        >>> key, whole.values.shape
        (b'a', (2, 2))
    """
    parts = 3 if has_label else 2
    try:
        if not isinstance(element, tuple) or len(element) != parts:
            raise RejectionError(
                "bad_element", f"an element must be a tuple of {parts}, got {shorten(element)}."
            )
        key = parse_key(_decode(element[0]))
    except RejectionError as rejection:
        return rejection.reject(PLACE)
    try:
        label = parse_label(_decode(element[2])) if has_label else None
        return key, Whole(PLACE, check_sequence(_as_array(element[1])), label)
    except RejectionError as rejection:
        return key, rejection.reject_part(PLACE, whole=True)


def _decode(value: object) -> object:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value


def _as_array(sequence: object) -> np.ndarray:
    try:
        return np.asarray(sequence)
    except (ValueError, TypeError, OverflowError) as error:
        raise RejectionError("bad_shape", f"a sequence must be an array: {error}.") from error
