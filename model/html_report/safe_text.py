"""Keys, labels and names of features are data: no markup in them reaches the page as markup.

| where text goes | what makes it safe |
|---|---|
| the page itself | jinja2 escapes it |
| a chart, which reads `<b>`, `<a href>` and `&amp;` as markup | `as_chart_text` |
| JSON in a script element | `as_embedded_json` |
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

_MOST_CHARACTERS = 60
# What would end a script element or begin a comment in it; JSON reads the escapes as the same.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_CHART_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def shorten(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Shortens a long text in its middle, as its end often is what tells it from others.

    Example:
        >>> shorten("a" * 50 + "b" * 50, 11)
        'aaaaa…bbbbb'
    """
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[-end:]}"


def as_chart_text(text: str) -> str:
    """Returns a text that a chart shows as it is; what cannot be printed is shown as an escape.

    Example:
        >>> as_chart_text("<b>a & b</b>")
        '&lt;b&gt;a &amp; b&lt;/b&gt;'
    """
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shorten(text))
    return printable.translate(_CHART_ESCAPES)


def as_embedded_json(content: Any) -> str:
    r"""Returns content as JSON that may be a part of a page, in a script element.

    Numbers that are not finite become null.

    Example:
        >>> as_embedded_json({"key": "</script>", "p": float("nan")})
        '{"key":"\\u003c/script\\u003e","p":null}'
    """
    encoded = json.dumps(_as_json(content), allow_nan=False, separators=(",", ":"))
    return encoded.translate(_ESCAPES)


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _as_json(value.tolist())
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def significant(values: np.ndarray, digits: int = 4) -> list[float]:
    """Rounds numbers to some significant digits, as more of them make a page larger.

    Example:
        >>> significant(np.array([1234.56, 0.000123456, 0.0]))
        [1235.0, 0.0001235, 0.0]
    """
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, np.float64).tolist()]
