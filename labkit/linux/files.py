"""System calls about files: cgroups and id maps are files. Chapters 03, 04, 06."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from labkit.errors import SyscallError, syscall_error
from labkit.linux.call import Caller
from labkit.linux.flags import O
from labkit.linux.privilege_flags import CLOSE_RANGE, TIOC
from labkit.linux.table import DATA

_READ_AT_ONCE = 65536
_FLAGS_NONE = O(0)


class Files(Caller):
    """The part of `linux` that is about files; descriptors are close-on-exec."""

    def open(self, path: str, flags: O = _FLAGS_NONE, mode: int = 0o644) -> int:
        """Return a descriptor of a file.

        Args: path [as this process sees it]; mode [permissions of a file that O.CREAT
            makes].
        Raises: ENOENT, EACCES, EEXIST (O.EXCL), ELOOP (O.NOFOLLOW), EMFILE.
        Needs: nothing beyond the file's permissions.
        Kernel: open(2).
        """
        return int(self._call("open", path, flags, mode))

    def close(self, fd: int) -> None:
        """Give a descriptor back.

        Raises: EBADF when it isn't open.
        Needs: nothing.
        Kernel: close(2).
        """
        self._call("close", fd)

    def read(self, fd: int, count: int = _READ_AT_ONCE) -> bytes:
        """Return at most count bytes; none at the end.

        Raises: EIO, EISDIR; EOPNOTSUPP from some cgroup files.
        Needs: nothing.
        Kernel: read(2).
        """
        data: bytes = self._call("read", fd, count)
        return data

    def write(self, fd: int, data: bytes) -> int:
        """Write bytes; return how many went. For a cgroup file this is the whole act.

        Raises: EBUSY, EINVAL, ENOSPC, EPERM, each with a meaning of the file's own.
        Needs: what the file asks for.
        Kernel: write(2).
        """
        return int(self._call("write", fd, data))

    def dup2(self, fd: int, fd2: int) -> None:
        """Make fd2 mean what fd means, and keep it over exec.

        Raises: EBADF when fd isn't open.
        Needs: nothing.
        Kernel: dup2(2).
        """
        self._call("dup2", fd, fd2)

    def close_range(self, first: int, last: int, flags: CLOSE_RANGE) -> None:
        """Close a range of descriptors, or with CLOSE_RANGE.CLOEXEC: at the next exec.

        Raises: EINVAL for last before first.
        Needs: nothing.
        Kernel: close_range(2), since Linux 5.9; CLOEXEC since 5.11.
        """
        self._call("close_range", first, last, flags)

    def ioctl(self, fd: int, request: TIOC, argument: bytes | int = 0) -> bytes | int:
        """Ask a device for something that is no reading and no writing.

        Args: argument [a structure as bytes, or a number].
        Returns: the structure as it is afterwards, or the call's number.
        Raises: ENOTTY when the file is no such device, EPERM, EIO.
        Needs: depends on the request.
        Kernel: ioctl(2), ioctl_tty(2).
        """
        answer: bytes | int = self._call("ioctl", fd, request, argument)
        return answer

    def sendmsg(self, fd: int, data: bytes, descriptors: Sequence[int]) -> int:
        """Send bytes and descriptors over a Unix socket; return how many bytes went.

        Raises: EPIPE, ECONNRESET when nobody listens; EBADF.
        Needs: nothing.
        Kernel: sendmsg(2), unix(7), SCM_RIGHTS.
        """
        return int(self._call("sendmsg", fd, data, descriptors))

    def getcwd(self) -> str:
        """Return this process's working directory.

        Raises: ENOENT when no path leads there: it was removed, or is outside the root.
        Needs: nothing.
        Kernel: getcwd(2).
        """
        return str(self._call("getcwd"))

    def access(self, path: str, mode: int) -> bool:
        """Say whether this process, as it is now, may do something with a file.

        Args: mode [os.X_OK: run it; os.W_OK: write it].
        Raises: nothing: what can't be done is False.
        Needs: nothing.
        Kernel: access(2), which asks for the real user. A filter of system calls may
            not know the newer faccessat2(2).
        """
        return bool(self._call("access", path, mode))

    def memfd_create(self, name: str) -> int:
        """Return a descriptor of a file that has no path and goes with its last one.

        Raises: EMFILE.
        Needs: nothing.
        Kernel: memfd_create(2).
        """
        return int(self._call("memfd_create", name, os.MFD_CLOEXEC))

    def lseek(self, fd: int, offset: int) -> None:
        """Set where the next read or write of a file begins, from its start.

        Raises: ESPIPE for a pipe.
        Needs: nothing.
        Kernel: lseek(2).
        """
        self._call("lseek", fd, offset, os.SEEK_SET)

    def poll(self, fd: int, timeout_ms: int) -> bool:
        """Wait until a descriptor can be read, or its process has ended; say whether.

        Args: timeout_ms [-1 waits for ever].
        Raises: nothing a learner meets.
        Needs: nothing.
        Kernel: poll(2).
        """
        return bool(self._call("poll", fd, timeout_ms))

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a directory. In a cgroup file system: a cgroup.

        Raises: EEXIST, ENOENT (a parent is missing), EACCES, EROFS.
        Needs: nothing beyond the parent's permissions.
        Kernel: mkdir(2), cgroups(7).
        """
        self._call("mkdir", path, mode)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. In a cgroup file system: an empty cgroup.

        Raises: ENOTEMPTY, EBUSY (a mount point, or a cgroup in use), ENOENT.
        Needs: nothing beyond the parent's permissions.
        Kernel: rmdir(2).
        """
        self._call("rmdir", path)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        """Make a device, a fifo or an empty file.

        Args: mode [stat.S_IFCHR and so on, with permissions]; device [os.makedev].
        Raises: EPERM for a device without the capability, EEXIST.
        Needs: CAP_MKNOD in the first user namespace, for devices.
        Kernel: mknod(2).
        """
        self._call("mknod", path, mode, device)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link at path that says target, whatever target is.

        Raises: EEXIST, ENOENT.
        Needs: nothing beyond the parent's permissions.
        Kernel: symlink(2).
        """
        self._call("symlink", target, path)

    def readlink(self, path: str) -> str:
        """Return what a symbolic link says.

        Raises: EINVAL when path is no link, ENOENT.
        Needs: nothing.
        Kernel: readlink(2).
        """
        return str(self._call("readlink", path))

    def link(self, path: str, new_path: str) -> None:
        """Give a file a second name on the same file system.

        Raises: EXDEV across file systems, EEXIST, EPERM for a directory.
        Needs: nothing beyond the permissions.
        Kernel: link(2).
        """
        self._call("link", path, new_path)

    def unlink(self, path: str) -> None:
        """Remove a name; the file goes with its last name and last descriptor.

        Raises: ENOENT, EISDIR, EBUSY (a mount point).
        Needs: nothing beyond the parent's permissions.
        Kernel: unlink(2).
        """
        self._call("unlink", path)

    def rename(self, path: str, new_path: str) -> None:
        """Put a file under another name, at once: no moment without one of the two.

        Raises: EXDEV across file systems, ENOTEMPTY, EBUSY.
        Needs: nothing beyond the parents' permissions.
        Kernel: rename(2).
        """
        self._call("rename", path, new_path)

    def chmod(self, path: str, mode: int) -> None:
        """Set a file's permissions.

        Raises: EPERM when the file isn't yours, EROFS.
        Needs: CAP_FOWNER for another owner's file.
        Kernel: chmod(2).
        """
        self._call("chmod", path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Set a file's owner and group.

        Args: uid, gid [in this process's user namespace; -1 leaves it].
        Raises: EPERM without the capability, EINVAL for an id that isn't mapped.
        Needs: CAP_CHOWN in the user namespace that the file's owner is mapped in.
        Kernel: chown(2).
        """
        self._call("chown", path, uid, gid)

    def fchown(self, fd: int, uid: int, gid: int) -> None:
        """Set the owner and group of an open file.

        Args: uid, gid [in this process's user namespace; -1 leaves it].
        Raises: EPERM without the capability, EINVAL for an id that isn't mapped.
        Needs: CAP_CHOWN in the user namespace that the file's owner is mapped in.
        Kernel: fchown(2).
        """
        self._call("fchown", fd, uid, gid)

    def read_file(self, path: str) -> str:
        """Return a whole small file as text: open, read to the end, close.

        Raises: what open and read raise.
        Needs: nothing beyond the file's permissions.
        Kernel: open(2), read(2), close(2).
        """
        fd, parts = self.open(path), []
        try:
            while part := self.read(fd):
                parts.append(part)
        finally:
            self.close(fd)
        return b"".join(parts).decode(errors="surrogateescape")

    def write_file(self, path: str, *texts: str) -> None:
        """Write each text into an existing file by one write(2): open, write, close.

        One write, because a cgroup file or an id map takes its value in one piece.

        Raises: what open and write raise; an errno of write is never lost in a buffer.
        Needs: what the file asks for.
        Kernel: open(2), write(2), close(2).
        """
        fd = self.open(path, O.WRONLY)
        try:
            for text in texts:
                self._write_one(fd, path, text.encode(errors="surrogateescape"))
        finally:
            self.close(fd)

    def _write_one(self, fd: int, path: str, data: bytes) -> None:
        try:
            self.write(fd, data)
        except SyscallError as refused:
            # The file's name says more than a descriptor's number: hints go by it.
            call = f'write("{_without_pid(path)}", {DATA.show(data)})'
            raise syscall_error(call, refused.errno or 0) from None


def _without_pid(path: str) -> str:
    # An error's text is the same in every run.
    return re.sub(r"^/proc/\d+/", "/proc/PID/", path)
