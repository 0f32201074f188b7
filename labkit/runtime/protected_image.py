"""An interpreter that no container can overwrite: CVE-2019-5736. Chapter 09.

A process that becomes a container is, up to its execve, this Python. A container that
makes it execute /proc/self/exe, or opens /proc/PID/exe in time, holds a descriptor of
the host's own interpreter, and root inside is root: it writes into it, and owns the
host when it is next started. runc had that hole in 2019.

So what is executed here is a file that can't be written through that link: the same
interpreter on a mount that is read-only and that nobody else has; or, where this user
can't mount, a sealed copy in memory.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence

from labkit.errors import NotPermitted, NotSupported
from labkit.linux.flags import MOUNT_ATTR, OPEN_TREE
from labkit.linux.structs import MountAttributes
from labkit.linux.syscalls import Linux

_EXE = "/proc/self/exe"
# memfd_create(2): no more writing, growing or shrinking, and no way back.
_SEALS = (
    fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
)


def is_protected() -> bool:
    """Say whether this process's interpreter can't be written through /proc.

    Kernel: statvfs(3), fcntl(2), File Sealing.
    """
    if os.statvfs(_EXE).f_flag & os.ST_RDONLY:
        return True
    fd = os.open(_EXE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False  # EINVAL: a file of a file system, which has no seals
    finally:
        os.close(fd)


def become_protected(argv: Sequence[str]) -> None:
    """Execute a protected copy of this interpreter, unless this is one.

    Args: argv [what the interpreter gets, with its own name first: by that name it
        finds its libraries].
    Raises: OSError when neither way is there.
    Needs: CAP_SYS_ADMIN for the mount; nothing for the copy.
    Kernel: open_tree(2), mount_setattr(2) since Linux 5.12; memfd_create(2).
    """
    if not is_protected():
        os.execve(_protected_file(), list(argv), dict(os.environ))


def own_argv() -> list[str]:
    """Return the words with which this interpreter was started."""
    return [sys.executable, *sys.orig_argv[1:]]


def _protected_file() -> int:
    linux = Linux()
    try:
        fd = linux.open_tree(_EXE, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC)
        linux.mount_setattr(fd, MountAttributes(attr_set=MOUNT_ATTR.RDONLY))
    except (NotPermitted, NotSupported):
        return _sealed_copy()
    return fd


def _sealed_copy() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    copy = os.memfd_create("labkit-python", flags)
    with open(_EXE, "rb") as source:
        while os.sendfile(copy, source.fileno(), None, 1 << 30):
            pass
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    return copy
