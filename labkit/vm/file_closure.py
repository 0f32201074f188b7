"""The files that programs need, found from the programs: links, loaders, libraries.

    Closure(root).add("/usr/bin/mount")     the file, each symbolic link on its path
    Closure(root).add_libraries()           what the loader says that all of it needs

Nothing is known about where a distribution, a version manager or conda keeps its
files: what is added has the same path in the VM as here.

Kernel: path_resolution(7). Left out: what a program opens by itself while it runs.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

_BATCH = 200  # files for each call of ldd, because a command line has an end
_TIMEOUT_S = 120
_LIBRARY = re.compile(r"(/\S+) \(0x")


class Closure:
    """A tree of copies, each at its own path below a root.

    Args: root [an empty directory].
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._programs: list[str] = []  # and libraries: files that ldd can be asked of
        self._asked: set[str] = set()

    def add(self, path: str | Path) -> bool:
        """Copy a file or link, with all links that lead to it; say if it is there."""
        plain = self._resolve_directories(os.path.abspath(path))
        if not os.path.lexists(plain):
            return False
        place = self.place(plain)
        if os.path.lexists(place):
            return True
        if os.path.islink(plain):
            target = os.readlink(plain)
            os.symlink(target, place)
            return self.add(os.path.join(os.path.dirname(plain), target))
        if os.path.isdir(plain):
            place.mkdir(exist_ok=True)
        elif not os.access(plain, os.R_OK):
            return False
        else:
            shutil.copy(plain, place)
            if is_elf(place):
                self._programs.append(plain)
        return True

    def add_tree(self, directory: Path, *, leave_out: Iterable[str] = ()) -> None:
        """Copy a directory with everything in it, but for names that are left out."""
        names = set(leave_out)
        for here, folders, files in os.walk(directory):
            folders[:] = [name for name in folders if name not in names]
            self.add(here)
            for name in files:
                if name not in names:
                    self.add(os.path.join(here, name))
            for name in folders:  # os.walk doesn't go into links
                if os.path.islink(os.path.join(here, name)):
                    self.add(os.path.join(here, name))

    def add_libraries(self) -> None:
        """Copy the libraries of everything so far, and theirs."""
        while todo := [path for path in self._programs if path not in self._asked]:
            batch = todo[:_BATCH]
            self._asked.update(batch)
            for library in libraries(batch):
                self.add(library)

    def write(self, path: str, text: str) -> None:
        """Write a file that the machine has none, or another one, of."""
        self.place(path).write_text(text)

    def place(self, path: str) -> Path:
        """Return where a path lies below the root; make the directories above it."""
        place = Path(f"{self.root}{path}")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _resolve_directories(self, path: str) -> str:
        # /lib64/x where /lib64 is a link to usr/lib64: the link is copied, and x goes
        # to where the link leads.
        directory, name = os.path.split(os.path.normpath(path))
        if directory == "/" or not name:
            return path
        parent = self._resolve_directories(directory)
        if os.path.islink(parent):
            self.add(parent)
            parent = os.path.realpath(parent)
        return os.path.join(parent, name)


def libraries(programs: Iterable[str]) -> set[str]:
    """Ask the loader which libraries some programs would be given.

    Kernel: ld.so(8), ldd(1). Programs without any are no error.
    """
    done = subprocess.run(
        ["ldd", *programs],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        timeout=_TIMEOUT_S,
        check=False,
    )
    return set(_LIBRARY.findall(done.stdout))


def is_elf(path: Path) -> bool:
    """Say whether a file is a program or a library."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"
