"""A file that somebody asked for: there as a whole, or not at all.

Reading order: whole_file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from labkit.errors import LabError, syscall_error


@contextmanager
def whole_file(path: str) -> Iterator[BinaryIO]:
    """Give a file to write to, which gets its name at the end.

    Args: path [host path; what isn't a regular file, as /dev/null or a pipe, is written
        to as it is].
    Raises: a SyscallError: ENOSPC, EACCES, ENOENT; no half file is left then.
    Kernel: rename(2).
    """
    special = os.path.exists(path) and not os.path.isfile(path)
    fresh = path if special else f"{path}.{os.getpid()}.new"
    try:
        with open(fresh, "wb" if special else "xb") as file:
            yield file
        if not special:
            os.rename(fresh, path)
    except BaseException as problem:
        if not special and os.path.exists(fresh):
            os.unlink(fresh)
        if isinstance(problem, OSError) and not isinstance(problem, LabError):
            raise syscall_error(f'write("{path}")', problem.errno or 0) from problem
        raise
