"""Warns of public names that the pages of the site leave out; `make docs` takes it for an error.

A hook of mkdocs. The reference is made from the files alone, and a name that they do not lead to,
as one that is imported only when it is first used, would be left out silently.
"""

import ast
import logging
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACES = ("beam_jobs", "model", "pipeline")
_log = logging.getLogger("mkdocs.plugins.check_reference")


def public_names(face: str) -> list[str]:
    """Returns what `__all__` of one of the packages lists."""
    for node in ast.parse((ROOT / face / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"{face}/__init__.py has no `__all__`.")


def on_post_build(config) -> None:
    """Checks that every public name has a heading on the page of its package."""
    for face in FACES:
        page = pathlib.Path(config["site_dir"], "reference", f"{face}.html").read_text()
        for name in public_names(face):
            if f'id="padless.{face}.{name}"' not in page:
                _log.warning("padless.%s.%s is not in the reference.", face, name)
