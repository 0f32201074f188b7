"""System calls that walk a path from an open directory on. Chapter 05.

A path that somebody else can change while it is walked leads elsewhere: `openat2` walks
it within one directory, and what it opened can't be exchanged any more.
"""

from __future__ import annotations

import ctypes

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
