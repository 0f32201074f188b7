"""The learner's folder: where my_container.py and my_progress.json are.

LABKIT_WORK           if it is set
the project's root    for a notebook of a checkout
the current folder    otherwise
"""

from __future__ import annotations

import os
from pathlib import Path

from labkit import state
from labkit.errors import HostError
from labkit.linux.views import HostPath

VARIABLE = "LABKIT_WORK"
_FOLDERS_OF_NOTEBOOKS = ("notebooks", "exercises", "solutions")


def folder() -> Path:
    """Return the learner's folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser().absolute()
    here = Path.cwd()
    # Jupyter starts a notebook's kernel in the folder of the notebook.
    if here.name in _FOLDERS_OF_NOTEBOOKS and (here.parent / "labkit").is_dir():
        return here.parent
    return here


def write(name: str, content: str | bytes) -> Path:
    """Replace a file of the learner's as a whole; return its path.

    Raises: HostError when the folder can't be written.
    """
    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        state.write(HostPath(str(path)), content)
    except (HostError, OSError) as refused:
        raise HostError(
            f"{path}: can't be written",
            f"set {VARIABLE} to a folder that you can write, and restart the kernel",
            meaning="your work is kept in this folder, and it refuses a new file",
        ) from refused
    return path
