"""What must be so before a report in HTML is worked for: packages and the place of the file."""

from __future__ import annotations

import importlib.util
import pathlib

from etils import epath

from padless.pipeline.protected import check_output_file

_SUFFIXES = (".html", ".htm")
# Name of a module -> what is installed.
_NEEDED = {"jinja2": "jinja2", "plotly": "plotly", "sklearn": "scikit-learn"}


def check_html(path: epath.PathLike) -> None:
    """Checks that a report can be written there, before any work is done for it.

    Raises:
        FileNotFoundError: if its folder is missing.
        ImportError: if a package that it needs is not installed.
        IsADirectoryError: if it is a folder itself.
        ValueError: if its suffix is another one, or it is inside a dataset or a training run.
    """
    if pathlib.Path(path).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"`html` must end with .html, got {path}.")
    check_output_file(path, "html")
    missing = [name for module, name in _NEEDED.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ImportError(
            f"A report in HTML needs {' and '.join(missing)}: install it with "
            "`pip install 'padless[html]'`."
        )
