"""Files with holes: an empty disk of a gigabyte takes the space of its contents.

    copy(source, target)     where the source has a hole, the copy has one, too
    hollow(path)             nothing but a hole, of the same size

Kernel: lseek(2), SEEK_DATA and SEEK_HOLE; copy_file_range(2).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


def copy(source: Path, target: Path) -> None:
    """Copy a file; where the source has a hole, the copy has one, too."""
    with open(source, "rb") as there, open(target, "wb") as here:
        size = os.fstat(there.fileno()).st_size
        here.truncate(size)
        position = 0
        while (position := _next_data(there.fileno(), position)) < size:
            end = os.lseek(there.fileno(), position, os.SEEK_HOLE)
            os.lseek(here.fileno(), position, os.SEEK_SET)
            os.lseek(there.fileno(), position, os.SEEK_SET)
            while position < end:
                position += os.sendfile(
                    here.fileno(), there.fileno(), None, end - position
                )


def hollow(path: Path) -> None:
    """Make a file one hole: who has it mapped gives the memory back and reads zeros."""
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.truncate(0)
        file.truncate(size)


def _next_data(fd: int, position: int) -> int:
    try:
        return os.lseek(fd, position, os.SEEK_DATA)
    except OSError as nothing:
        if nothing.errno != errno.ENXIO:
            raise
        return os.fstat(fd).st_size  # ENXIO: only a hole is left
