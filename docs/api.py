"""The API reference from the docstrings, as a site: `make docs`."""

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import flows
import retrieval_core
import tasks

PACKAGES = (retrieval_core, tasks, flows)


def module_names() -> list[str]:
    """Every module of the three packages, also those that a package does not export."""
    names = []
    for package in PACKAGES:
        found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        names += [package.__name__, *(module.name for module in found)]
    return names


def build(folder: Path) -> None:
    """Write the site.

    Args:
        folder: created if absent; its `index.html` is the start.
    """
    # a package brings some of its modules along, which are then named twice
    warnings.filterwarnings("ignore", "The module specification")
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*module_names(), output_directory=folder)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
