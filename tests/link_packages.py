"""Links the folders of the checkout into one package, for tools that read files.

python tests/link_packages.py build/typing    # makes build/typing/padless
"""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("beam_jobs", "cli", "estimators", "model", "pipeline")


def link_packages(folder: pathlib.Path) -> None:
    """Makes `folder/padless`, whose files and folders are links into the checkout."""
    package = folder / "padless"
    package.mkdir(parents=True, exist_ok=True)
    for source in [*map(ROOT.joinpath, FOLDERS), *(ROOT / "padless").glob("*.*")]:
        link = package / source.name
        link.unlink(missing_ok=True)
        link.symlink_to(source)


if __name__ == "__main__":
    link_packages(pathlib.Path(sys.argv[1]))
