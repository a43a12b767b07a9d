"""Counts the rejects of a preprocessing job in their file."""

from __future__ import annotations

import collections
import json

from etils import epath


def count_rejects(path: epath.Path) -> dict[str, int]:
    """Counts the rejects by reason.

    Raises:
        ValueError: if a line is not a reject.
    """
    counts: collections.Counter[str] = collections.Counter()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                counts[str(json.loads(line)["reason"])] += 1
            except (LookupError, TypeError, ValueError) as error:
                raise ValueError(
                    f"line {number} must be a JSON object with a `reason`, got {error!r}."
                ) from error
    return counts
