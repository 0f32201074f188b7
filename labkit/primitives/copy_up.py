"""CopyUp: a tmpfs that begins with what it hides. Chapter 05.

    image     /run/nginx/       tmpfs on /run: empty, the program misses its folder
    CopyUp    what the image has there is copied into it before anybody looks

Docker's and podman's word for it in mount options is tmpcopyup.
Left out: hard links and extended attributes; times of files.
"""

from __future__ import annotations

import os
import stat

from labkit.linux.flags import RESOLVE, O
from labkit.linux.structs import OpenHow
from labkit.linux.syscalls import Linux
from labkit.primitives.inside_root import through

_AT_ONCE = 1 << 20
_ITSELF = RESOLVE.NO_SYMLINKS | RESOLVE.BENEATH
_READ = OpenHow(O.NOFOLLOW, 0, _ITSELF)
_LIST = OpenHow(O.DIRECTORY | O.NOFOLLOW, 0, _ITSELF)
_NEW = OpenHow(O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW, 0o600, _ITSELF)


def copy_up(linux: Linux, source_fd: int, target_fd: int) -> None:
    """Copy what is in one directory into another: files, directories, links, devices.

    Args: source_fd, target_fd [of two directories, open for reading].
    Raises: ENOSPC when the target is full, EPERM for a device in a user namespace.
    Needs: CAP_CHOWN for files of others.
    Kernel: openat2(2), sendfile(2), mknodat(2).
    """
    for name in linux.getdents(source_fd):
        about = linux.fstatat(source_fd, name)
        if stat.S_ISDIR(about.st_mode):
            _directory(linux, source_fd, target_fd, name)
        elif stat.S_ISLNK(about.st_mode):
            linux.symlinkat(linux.readlinkat(source_fd, name), target_fd, name)
            continue  # a link has no permissions, and root's it may be
        elif stat.S_ISREG(about.st_mode):
            _file(linux, source_fd, target_fd, name)
        else:
            linux.mknodat(target_fd, name, about.st_mode, about.st_rdev)
        _owned(linux, f"{through(target_fd)}/{name}", about)


def _directory(linux: Linux, source_fd: int, target_fd: int, name: str) -> None:
    linux.mkdirat(target_fd, name, 0o700)
    inner = [linux.openat2(fd, name, _LIST) for fd in (source_fd, target_fd)]
    copy_up(linux, *inner)
    for fd in inner:
        linux.close(fd)


def _file(linux: Linux, source_fd: int, target_fd: int, name: str) -> None:
    source = linux.openat2(source_fd, name, _READ)
    target = linux.openat2(target_fd, name, _NEW)
    while linux.sendfile(target, source, _AT_ONCE):
        pass
    linux.close(source)
    linux.close(target)


def _owned(linux: Linux, path: str, about: os.stat_result) -> None:
    # The owner first, because a change of owner clears the set-uid bit.
    linux.chown(path, about.st_uid, about.st_gid)
    linux.chmod(path, stat.S_IMODE(about.st_mode))
