"""Figures that are drawn without a screen and saved as image files."""

from __future__ import annotations

import io
import pathlib
import warnings
from typing import TYPE_CHECKING, Any

from etils import epath

from padless.pipeline.protected import check_output_file
from padless.pipeline.wording import list_names
from padless.pipeline.written_whole import written_whole

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


def check_picture(path: epath.PathLike) -> None:
    """Checks that a picture can be written there, before any work is done for it.

    Raises:
        FileNotFoundError: if its folder is missing.
        ImportError: if matplotlib is not installed.
        IsADirectoryError: if it is a folder itself.
        ValueError: if its extension names no format, or it is inside a dataset or a training run.
    """
    check_output_file(path, "picture")
    formats = sorted(new_figure().canvas.get_supported_filetypes())
    extension = pathlib.Path(path).suffix
    if extension[1:].lower() not in formats:
        raise ValueError(
            f"{path}: the extension of `picture` must be one of {list_names(formats, most=20)}, "
            f"got {extension!r}."
        )


def save_figure(figure: Figure, file: epath.PathLike | io.BytesIO) -> None:
    """Writes a figure, whole or not at all; the extension of a path decides the format.

    Raises:
        FileNotFoundError, IsADirectoryError, ValueError: as `check_picture`.
    """
    if not isinstance(file, io.BytesIO):
        check_picture(file)
        with written_whole(pathlib.Path(file), shared=True) as beside:
            _save(figure, beside)
    else:
        _save(figure, file)


def _save(figure: Figure, file: pathlib.Path | io.BytesIO) -> None:
    with warnings.catch_warnings():
        # A key in a script that the font lacks is drawn as boxes; nothing more is to be done.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure.savefig(file, dpi=110)
