"""Locks of an image store: many may read or add, one may remove. Chapter 11.

A lock is on an open file, so a process that is killed gives it back. Processes and
threads that hold it shared don't disturb one another; who wants it alone waits.

Reading order: hold, try_hold.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.errors import StateError

_POLL_S = 0.02


@contextmanager
def hold(path: str, *, alone: bool, timeout_s: float = 60) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be; others wait.

    Args: path [host path]; alone [True: nobody else holds it meanwhile]; timeout_s [how
        long to wait].
    Raises: StateError when somebody else keeps it longer.
    Needs: write permission in its directory.
    Kernel: flock(2).
    Left out: filesystems on which flock(2) isn't seen by other machines.
    """
    owner = os.getpid()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        # Polled instead of waiting in the kernel, so that Ctrl-C works.
        while not try_hold(fd, alone=alone):
            if time.monotonic() > deadline:
                raise _held(path, timeout_s)
            time.sleep(_POLL_S)
        yield
    finally:
        # A forked child shares the open file: it must not give back its parent's lock.
        if os.getpid() == owner:
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def try_hold(fd: int, *, alone: bool) -> bool:
    """Take the lock of an open file, unless somebody else has it."""
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _held(path: str, timeout_s: float) -> StateError:
    return StateError(
        f"{path}: in use for more than {timeout_s:g} s",
        "wait until no image is being pulled, loaded or built, then try again",
        "flock(2)",
        meaning="another labkit process works with the same images",
    )
