"""A forked child that is an ordinary user, for tests that root runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from labkit.linux import Linux

NOBODY = 65534
_PR_SET_DUMPABLE = 4  # linux/prctl.h


def as_ordinary_user(
    function: Callable[[], object], before: Callable[[Linux], None] | None = None
) -> str:
    """Run a function as nobody, with a state of its own.

    Args: before [what root prepares, in the same child].
    Returns: the function's result as text, or the error that it raised.
    """
    read_fd, write_fd = os.pipe()
    # Beside the run's own state: on a disk, where an overlay's marks can be kept.
    place = os.path.dirname(os.environ["LABKIT_STATE"])
    with tempfile.TemporaryDirectory(prefix="user-", dir=place) as home:
        os.chown(home, NOBODY, NOBODY)
        child = os.fork()
        if child == 0:
            try:
                if before is not None:
                    before(Linux(forked=True))
                _become_nobody(home)
                os.write(write_fd, str(function()).encode())
            except BaseException as error:
                os.write(write_fd, f"{type(error).__name__}: {error}".encode())
            finally:
                os._exit(0)
        os.close(write_fd)
        with os.fdopen(read_fd) as answer:
            said = answer.read()
        os.waitpid(child, 0)
    return said


def _become_nobody(home: str) -> None:
    os.environ["LABKIT_STATE"] = home
    os.setgroups(())
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # A process that changed its user may not open its own files in /proc, until it
    # becomes a program; this one stays what it is.
    Linux(forked=True).prctl(_PR_SET_DUMPABLE, 1)  # type: ignore[arg-type]
