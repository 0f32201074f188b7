"""A directory that nothing gets out of: names are looked up inside it only. Chapter 11.

    openat2(root, "usr/lib/x", {resolve=RESOLVE_IN_ROOT})

A layer may hold a link to /etc and then a file below that link: the kernel is told to
take the directory for the root of everything, for links as well. So that file lands in
the layer's own etc, and never in the host's.

Reading order: Root, clean.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from dataclasses import dataclass

from labkit.errors import DocumentError, NoSuchPath, syscall_error
from labkit.layers.below import Below
from labkit.layers.tar_member import broken
from labkit.linux.flags import RESOLVE, O
from labkit.linux.structs import OpenHow
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.text import one_line

_INSIDE = OpenHow(O.DIRECTORY, resolve=RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS)
_MOST_LINKS = 40  # path_resolution(7)
# Whoever removes such a tree goes down and up again; real ones have twenty levels.
_DEEPEST = 250


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a directory shall be when the layer is complete."""

    path: str
    times_ns: tuple[int, int]
    mode: int | None = None  # None: it stays as it is


class Root:
    """A directory on the disk, changed by names that somebody else has chosen.

    Args: path [host path]; below [the layers that it is mounted over; none when it is a
        complete tree by itself].
    """

    def __init__(self, path: HostPath, below: Below) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._place = os.readlink(f"/proc/self/fd/{self.fd}")
        self._below = below
        self._last = ("", os.dup(self.fd))
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._keep_times(self.fd)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.fd)
        os.close(self._last[1])

    def folder(self, path: str) -> int:
        """Return a descriptor of a directory, made with those above it if need be.

        Args: path [inside, without "..", see `clean`].
        Returns: a descriptor that stays open until the next call.
        Raises: ENOTDIR for a file in its place, ELOOP, ENAMETOOLONG.
        Needs: write permission where something must be made.
        Kernel: openat2(2), since Linux 5.6.
        """
        if path != self._last[0]:
            fd = self._open(path, _MOST_LINKS)
            os.close(self._last[1])
            self._last = (path, fd)
            self._keep_times(fd)
        return self._last[1]

    def remove(self, folder_fd: int, name: str) -> None:
        """Remove what has a name in a directory: a file, a link, or a whole tree."""
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder_fd).st_mode):
            shutil.rmtree(name, dir_fd=folder_fd)
        else:
            os.unlink(name, dir_fd=folder_fd)
        # The open directory may have gone, or its path lead elsewhere.
        os.close(self._last[1])
        self._last = ("", os.dup(self.fd))

    def finish_directory(self, fd: int, mode: int, time_ns: int) -> None:
        """Say what a directory shall be at the end.

        Each name in it changes its time, and an ordinary user can't add a name to one
        that is read-only.
        """
        self._kept[_identity(fd)] = _Kept(self._path(fd), (time_ns, time_ns), mode)

    def finish(self) -> None:
        """Give directories their modes and times, the innermost first."""
        for key, kept in reversed(self._kept.items()):
            fd = self._reopen(kept.path)
            if fd is not None:
                try:
                    _settle(fd, key, kept)
                finally:
                    os.close(fd)

    def bring_up(self, folder_fd: int, name: str) -> None:
        """Copy a file of a layer below into this one: another name for it is coming.

        Raises: ENOENT when no layer has it.
        """
        path = f"{self._path(folder_fd)}/{name}".lstrip("/")
        place = self._below.find(path)
        if place is None or not os.path.isfile(place) or os.path.islink(place):
            raise syscall_error(f'link("{path}")', errno.ENOENT)
        copy = f"/proc/self/fd/{folder_fd}/{name}"
        shutil.copyfile(place, copy, follow_symlinks=False)
        copy_attributes(place, copy)

    def _open(self, path: str, links: int) -> int:
        try:
            return Linux().openat2(self.fd, path or ".", _INSIDE)
        except NoSuchPath:
            return self._make(path, links)

    def _make(self, path: str, links: int) -> int:
        _must_be_shallow(path)
        above, _, name = path.rpartition("/")
        parent = self._open(above, links)
        try:
            real = f"{self._path(parent)}/{name}".lstrip("/")
            _must_be_shallow(real)  # which is another one behind a link
            place = self._below.find(real)
            target = _link_target(parent, name) or _link_target(None, place)
            if target is not None:
                if not links:
                    raise syscall_error(f'open("{path}")', errno.ELOOP)
                return self._open(_resolved(real, target), links - 1)
            self._keep_times(parent)
            os.mkdir(name, dir_fd=parent)
            os.chmod(name, 0o755, dir_fd=parent)  # whatever the umask is
            if place is not None and os.path.isdir(place):
                copy_attributes(place, f"/proc/self/fd/{parent}/{name}")
            return self._open(real, links)
        finally:
            os.close(parent)

    def _keep_times(self, fd: int) -> None:
        found = os.fstat(fd)
        times = (found.st_atime_ns, found.st_mtime_ns)
        self._kept.setdefault(_identity(fd), _Kept(self._path(fd), times))

    def _path(self, fd: int) -> str:
        # As it is without links: only so the layers below have it.
        real = os.readlink(f"/proc/self/fd/{fd}")
        return real.removeprefix(self._place).lstrip("/")

    def _reopen(self, path: str) -> int | None:
        try:
            return Linux().openat2(self.fd, path or ".", _INSIDE)
        except OSError as gone:
            if gone.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None  # the layer has removed what it had made itself
            raise


def clean(name: str) -> str:
    """Return a member's name as a path inside the root.

    Raises: DocumentError for "..": nobody needs it, and the host is what it looks for.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DocumentError(
            f'layer: the name "{one_line(name, 200)}" leads out of the root',
            "don't use this image: its maker made a mistake, or worse",
            "chapter 11",
            meaning='a name in a layer is inside the root, and ".." has no place in it',
        )
    path = "/".join(parts)
    _must_be_shallow(path)
    return path


def _must_be_shallow(path: str) -> None:
    if path.count("/") >= _DEEPEST:
        raise broken(f'"{path[:200]}": more than {_DEEPEST} directories deep')


def _settle(fd: int, key: tuple[int, int], kept: _Kept) -> None:
    if _identity(fd) != key:
        return  # another directory has taken its place meanwhile
    if kept.mode is not None:
        os.fchmod(fd, kept.mode)
    os.utime(fd, ns=kept.times_ns)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def copy_attributes(source: str, target: str) -> None:
    """Copy owner, mode, extended attributes and times; the marks of overlays stay."""
    found = os.lstat(source)
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if ".overlay." not in name:
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _link_target(folder_fd: int | None, name: str | None) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder_fd) if name is not None else None
    except OSError as other:
        # ENOENT: there is nothing; EINVAL: it is no link; the next call will tell.
        if other.errno in (errno.ENOENT, errno.EINVAL):
            return None
        raise


def _resolved(link: str, target: str) -> str:
    # What a link means when the root is this directory: of a layer below, or of this
    # one where it leads to nothing yet.
    start = "/" if target.startswith("/") else f"/{os.path.dirname(link)}"
    return os.path.normpath(f"{start}/{target}").lstrip("/")
