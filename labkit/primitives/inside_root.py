"""Paths in a root that isn't ours yet: walked so that no link leads out. Chapter 05.

An image, or another container that shares a volume, may hold a link where a mount is to
go: /data -> /etc. Followed by us, who still see the host, it would mean the host's /etc
(CVE-2021-30465). openat2 with RESOLVE_IN_ROOT walks as the container itself will, and
the descriptor that it returns can't be exchanged for another place any more.

    the working directory is the new root:  linux.chdir(rootfs)
    directory_in_root(linux, "/data")       a descriptor; made where it is missing
    file_in_root(linux, "/etc/hosts")       the same for a file
    through(fd)                             a path that leads there: /proc/self/fd/7

Reading order as above. Left out: Linux before 5.6, which has no openat2.
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cache
from typing import ClassVar

from labkit.errors import LimitReached, StateError, SyscallError
from labkit.linux.flags import RESOLVE, O
from labkit.linux.structs import OpenHow
from labkit.linux.syscalls import Linux
from labkit.linux.table import AT_FDCWD
from labkit.plan.step import Before, Requires, Rule, Step
from labkit.primitives.root import Chdir, PivotRoot
from labkit.values import dataclass

_SAFELY = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS
_DIRECTORY = O.PATH | O.DIRECTORY
_IS_DIRECTORY = OpenHow(_DIRECTORY)
_NO_LINK = OpenHow(O.PATH, 0, RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS)
_MOST_LINKS = 40  # path_resolution(7)
# EAGAIN: something was moved or mounted somewhere while a ".." was walked.
_TRIES = 32


def open_in_root(linux: Linux, path: str, flags: O = O.PATH) -> int:
    """Return a descriptor of what a path means once the working directory is the root.

    Args: path [container path]; flags [O.PATH by default].
    Raises: ENOENT, ENOTDIR; ELOOP for a magic link of proc.
    Needs: nothing beyond the permissions.
    Kernel: openat2(2), since Linux 5.6.
    """
    how, below = _how(flags), path.lstrip("/") or "."
    for _ in range(_TRIES):
        try:
            return linux.openat2(AT_FDCWD, below, how)
        except LimitReached as refused:
            if refused.errno != errno.EAGAIN:
                raise
    return linux.openat2(AT_FDCWD, below, how)


@cache
def _how(flags: O) -> OpenHow:
    return OpenHow(flags, 0, _SAFELY)


def refuse_link(linux: Linux, path: str) -> None:
    """Refuse a place to which a link leads: what lies there would be elsewhere, too.

    Args: path [container path, which exists].
    Raises: StateError.
    Needs: nothing beyond the permissions.
    Kernel: openat2(2), RESOLVE_NO_SYMLINKS.
    """
    try:
        linux.close(linux.openat2(AT_FDCWD, path.lstrip("/") or ".", _NO_LINK))
    except SyscallError as refused:
        if refused.errno != errno.ELOOP:
            raise
        raise StateError(
            f"{path} must be mounted on ordinary directory: a link leads there",
            "make it a directory in the image",
            meaning="masked paths below it could be reached beside their masks",
        ) from None


def directory_in_root(linux: Linux, path: str, links: int = _MOST_LINKS) -> int:
    """Return a descriptor of a directory in the root; make what is missing of its way.

    Args: path [container path]; links [how many dangling links are followed].
    Raises: ENOTDIR when a part of the way is a file, EROFS, EACCES, ELOOP.
    Needs: write permission where something is missing.
    Kernel: openat2(2), mkdirat(2).
    """
    try:
        return open_in_root(linux, path, _DIRECTORY)
    except FileNotFoundError:
        # ENOENT: made from the first missing part on. A root is there itself.
        if not path.strip("/") or not links:
            raise
    parent, name = os.path.split(path.rstrip("/"))
    parent_fd = directory_in_root(linux, parent, links)
    try:
        linux.mkdirat(parent_fd, name)
    except FileExistsError:  # EEXIST: a link whose target is missing
        target = os.path.join(parent, linux.readlinkat(parent_fd, name))
        linux.close(directory_in_root(linux, target, links - 1))
    finally:
        linux.close(parent_fd)
    return open_in_root(linux, path, _DIRECTORY)


def file_in_root(linux: Linux, path: str) -> int:
    """Return a descriptor of a file in the root; make an empty one where there is none.

    Args: path [container path].
    Raises: ENOTDIR, EROFS, EACCES.
    Needs: write permission where something is missing.
    Kernel: openat2(2), mknodat(2).
    """
    try:
        return open_in_root(linux, path)
    except FileNotFoundError:  # ENOENT
        parent, name = os.path.split(path.rstrip("/"))
    parent_fd = directory_in_root(linux, parent)
    try:
        linux.mknodat(parent_fd, name, stat.S_IFREG | 0o755)
    except FileExistsError:  # EEXIST: a link whose target is missing
        target = os.path.join(parent, linux.readlinkat(parent_fd, name))
        linux.close(file_in_root(linux, target))
    finally:
        linux.close(parent_fd)
    return open_in_root(linux, path)


def through(fd: int) -> str:
    """Return a path that leads where a descriptor leads, for calls that want a path."""
    return f"/proc/self/fd/{fd}"


def is_directory(linux: Linux, fd: int) -> bool:
    """Say whether a descriptor is a directory's.

    Raises: what openat2 raises, but for ENOTDIR.
    Needs: nothing.
    Kernel: openat2(2).
    """
    try:
        linux.close(linux.openat2(fd, ".", _IS_DIRECTORY))
    except NotADirectoryError:
        return False
    return True


@dataclass(frozen=True, slots=True, repr=False)
class MakeDirectoryInside(Step):
    """Make a directory in the root that is the working directory, where it is missing.

    Args: path [container path].
    Raises: ENOTDIR when a part of the way is a file, EROFS, EACCES.
    Needs: write permission where something is missing.
    Kernel: openat2(2), mkdirat(2). Spec: OCI runtime, process.cwd.
    """

    path: str

    man: ClassVar[tuple[str, ...]] = ("openat2(2)", "mkdirat(2)")
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Chdir, "the working directory is the root that the path is walked in"),
        Before(PivotRoot, "after it a read-only root may have become read-only"),
    )

    def describe(self) -> str:
        return f"make the directory {self.path} where it is missing"

    def apply(self, linux: Linux) -> int | None:
        linux.close(directory_in_root(linux, self.path))
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MakeFileInside(MakeDirectoryInside):
    """Make an empty file in the root that is the working directory, if need be.

    Args: path [container path].
    Raises: ENOTDIR when a part of the way is a file, EROFS, EACCES.
    Needs: write permission where something is missing.
    Kernel: openat2(2), mknodat(2). Spec: OCI runtime, mounts.
    """

    man: ClassVar[tuple[str, ...]] = ("openat2(2)", "mknodat(2)")

    def describe(self) -> str:
        return f"make the file {self.path} where it is missing"

    def apply(self, linux: Linux) -> int | None:
        linux.close(file_in_root(linux, self.path))
        return None
