"""System calls that walk a path from an open directory on. Chapter 05.

A path that somebody else can change while it is walked leads elsewhere: `openat2` walks
it within one directory, and what it opened can't be exchanged any more.
"""

from __future__ import annotations

import ctypes
import os

from labkit.linux.call import Caller
from labkit.linux.processes import _Pointed
from labkit.linux.structs import OpenHow


class Walking(Caller):
    """The part of `linux` that begins at a directory's descriptor."""

    def openat2(self, dir_fd: int, path: str, how: OpenHow) -> int:
        """Return a descriptor of a file, walked to as `how` says.

        Args: dir_fd [where the path begins, AT_FDCWD for the working directory]; how
            [RESOLVE.IN_ROOT makes that directory "/" for links and ".."].
        Raises: ENOENT, ENOTDIR, EACCES; EXDEV, ELOOP for a way that is forbidden;
            EAGAIN when a directory on the way was moved meanwhile.
        Needs: nothing beyond the permissions.
        Kernel: openat2(2), since Linux 5.6.
        """
        struct = how.as_struct()
        size = ctypes.sizeof(struct)
        return int(self._call("openat2", dir_fd, path, _Pointed(struct, how), size))

    def mkdirat(self, dir_fd: int, path: str, mode: int = 0o755) -> None:
        """Make a directory in an open one.

        Raises: EEXIST, ENOENT, EACCES, EROFS.
        Needs: nothing beyond the directory's permissions.
        Kernel: mkdirat(2).
        """
        self._call("mkdirat", dir_fd, path, mode)

    def mknodat(self, dir_fd: int, path: str, mode: int, device: int = 0) -> None:
        """Make a device, a fifo or an empty file in an open directory.

        Args: mode [stat.S_IFREG and so on, with permissions]; device [os.makedev].
        Raises: EEXIST, EPERM for a device without the capability.
        Needs: CAP_MKNOD in the first user namespace, for devices.
        Kernel: mknodat(2).
        """
        self._call("mknodat", dir_fd, path, mode, device)

    def getdents(self, dir_fd: int) -> list[str]:
        """Return the names in an open directory.

        Raises: ENOTDIR.
        Needs: nothing.
        Kernel: getdents(2).
        """
        names: list[str] = self._call("getdents", dir_fd)
        return names

    def fstat(self, fd: int) -> os.stat_result:
        """Return what an open file is.

        Raises: EBADF.
        Needs: nothing.
        Kernel: fstat(2).
        """
        about: os.stat_result = self._call("fstat", fd)
        return about

    def fstatat(self, dir_fd: int, path: str) -> os.stat_result:
        """Return what a file in an open directory is; a link is itself.

        Raises: ENOENT.
        Needs: nothing.
        Kernel: fstatat(2), AT_SYMLINK_NOFOLLOW.
        """
        about: os.stat_result = self._call("fstatat", dir_fd, path)
        return about

    def sendfile(self, out_fd: int, in_fd: int, count: int) -> int:
        """Copy bytes from one file into another; return how many, 0 at the end.

        Raises: EINVAL, ENOSPC.
        Needs: nothing.
        Kernel: sendfile(2).
        """
        return int(self._call("sendfile", out_fd, in_fd, count))

    def symlinkat(self, target: str, dir_fd: int, path: str) -> None:
        """Make a symbolic link in an open directory.

        Raises: EEXIST, ENOENT.
        Needs: nothing beyond the directory's permissions.
        Kernel: symlinkat(2).
        """
        self._call("symlinkat", target, dir_fd, path)

    def readlinkat(self, dir_fd: int, path: str) -> str:
        """Return what a symbolic link in an open directory says.

        Raises: EINVAL when it is no link, ENOENT.
        Needs: nothing.
        Kernel: readlinkat(2).
        """
        return str(self._call("readlinkat", dir_fd, path))
