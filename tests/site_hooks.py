"""What `make docs` adds to mkdocs: the help of each command, and a check of the reference.

The reference is made from the files alone, and a name that they do not lead to, such as one that is
imported only when it is first used, would be left out silently. A warning fails the build.
"""

import ast
import logging
import os
import pathlib
import subprocess
import sys

from padless.cli.main import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parent.parent
FACES = ("beam_jobs", "estimators", "model", "pipeline")
_COMMANDS_PAGE = "reference/commands.md"
_COLUMNS = "80"
_log = logging.getLogger("mkdocs.plugins.site_hooks")


def on_page_markdown(markdown, page, **_) -> str:
    """Adds the help of each command to the page of the commands."""
    if page.file.src_uri != _COMMANDS_PAGE:
        return markdown
    sections = (f"## padless {name}\n\n```text\n{help_of(name)}```\n" for name in COMMANDS)
    return "\n".join([markdown, *sections])


def help_of(command: str) -> str:
    """Returns what a command prints with `--help`."""
    return subprocess.run(
        [sys.executable, "-m", "padless.cli.main", command, "--help"],
        env={**os.environ, "COLUMNS": _COLUMNS, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def on_post_build(config) -> None:
    """Checks that every public name has a heading on the page of its package."""
    for face in FACES:
        page = pathlib.Path(config["site_dir"], "reference", f"{face}.html").read_text()
        for name in public_names(face):
            if f'id="padless.{face}.{name}"' not in page:
                _log.warning("padless.%s.%s is not in the reference.", face, name)


def public_names(face: str) -> list[str]:
    """Returns what `__all__` of one of the packages lists."""
    for node in ast.parse((ROOT / face / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise ValueError(f"{face}/__init__.py has no `__all__`.")
