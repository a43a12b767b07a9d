"""Figures that are drawn without a screen and saved as image files."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from etils import epath

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(**options: Any) -> Figure:
    """Returns a new figure, made without pyplot, which would keep it and ask for a screen."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "A picture needs matplotlib: install it with `pip install 'padless[plot]'`."
        ) from error
    return Figure(**options)


def save_figure(figure: Figure, file: epath.PathLike | io.BytesIO) -> None:
    """Writes a figure; the extension of a path decides the format."""
    with warnings.catch_warnings():
        # A key in a script that the font lacks is drawn as boxes; nothing more is to be done.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(file, dpi=110)
