"""A layer's archive becomes files: everything inside the root. Chapter 11.

    apply_layer(blob, target)                 over a complete tree, layer after layer
    apply_layer(blob, target, InOverlay())    a layer alone, to be mounted by OverlayFS

Reading order: apply_layer, Limits, Applied, then a method for each kind of member.
Left out: what a name that the file system can't tell from another one overwrites (case,
Unicode forms): Linux's file systems can.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from typing import TypeVar

from labkit.errors import LabError, syscall_error
from labkit.host.probing import is_root
from labkit.layers.below import Below
from labkit.layers.compression import Decompressed
from labkit.layers.root import Root, clean
from labkit.layers.tar_member import Kind, Member, broken
from labkit.layers.tar_reader import TarReader
from labkit.layers.whiteouts import META, OPAQUE, PREFIX, InTree, Removed
from labkit.linux.views import HostPath
from labkit.text import one_line

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Made = TypeVar("_Made")
_TYPES = {
    Kind.CHARACTER_DEVICE: stat.S_IFCHR,
    Kind.BLOCK_DEVICE: stat.S_IFBLK,
    Kind.FIFO: stat.S_IFIFO,
}
# Marks of an overlay that an image must not bring: they redirect to other files. And
# labels of a security module that only the machine they were made on knows.
_FOREIGN = ("trusted.overlay.", "user.overlay.", "security.selinux")
# What Linux refuses because of what the archive says, and not because of the machine.
_ITS_OWN_FAULT = {
    errno.ELOOP: "links on the way to it lead in a circle",
    errno.ENAMETOOLONG: "a name is longer than a file system takes",
    errno.ENOTDIR: "what should be a directory on the way to it is a file",
    errno.ENOENT: "it is a hard link to a name that isn't there",
    errno.EFBIG: "it is longer than a file can be",
    errno.ERANGE: "an extended attribute's name is none",
    errno.E2BIG: "an extended attribute is longer than Linux takes",
    errno.EOPNOTSUPP: "no file system here takes one of its extended attributes",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one layer may at most become on the disk."""

    bytes: int = 64 << 30  # of the archive
    names: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What a layer was: its digest without compression, names, and bytes of files."""

    diff_id: str
    names: int
    bytes: int


def apply_layer(
    blob: BufferedReader,
    target: HostPath,
    removed: Removed | None = None,
    below: Below | None = None,
    limits: Limits | None = None,
) -> Applied:
    """Unpack a layer into a directory.

    Args: blob [compressed or not; it is closed]; target [host path, a directory that
        nobody else changes meanwhile]; removed [what whiteouts become; None: they
        remove, as in a complete tree]; below [the layers that this one is mounted
        over]; limits [None: the usual ones].
    Returns: what the layer was; it is for the caller to compare the diff_id.
    Raises: DocumentError for an archive that is none, leads out of the target or is too
        long; DigestMismatch; a SyscallError with the name for which Linux refused.
    Needs: CAP_CHOWN, CAP_MKNOD and the like for what isn't the caller's own; an
        ordinary user owns everything, and no file has capabilities.
    Kernel: openat2(2). Spec: image-spec, layer.md.
    """
    limits = limits or Limits()
    root = Root(target, below or Below())
    with closing(root), Decompressed(blob, limits.bytes) as archive:
        layer = _Layer(root, removed or InTree(), TarReader(archive))
        names, size = layer.unpack(limits.names)
        archive.drain()
    return Applied(archive.digest, names, size)


class _Layer:
    """One archive on its way into a root."""

    def __init__(self, root: Root, removed: Removed, reader: TarReader) -> None:
        self._root, self._removed, self._reader = root, removed, reader
        self._owners = is_root()

    def unpack(self, most_names: int) -> tuple[int, int]:
        names, size = 0, 0
        for member in self._reader:
            names, size = names + 1, size + member.size
            if names > most_names:
                raise broken(f"more than {most_names} names")
            try:
                self._put(member)
            except OSError as refused:
                raise _refusal(member.name, refused) from refused
            except ValueError as problem:  # a NUL byte within a name
                raise broken(f'"{member.name}": {problem}') from None
        self._root.finish()
        return names, size

    def _put(self, member: Member) -> None:
        path = clean(member.name)
        folder, _, name = path.rpartition("/")
        if name.startswith(PREFIX):
            self._remove(folder, name)
        elif not path:
            self._put_root(member)
        else:
            self._removed.added(path)
            _MAKE[Kind(member.kind)](self, path, member)

    def _remove(self, folder: str, name: str) -> None:
        if name == OPAQUE:
            self._removed.opaque(self._root, folder)
        elif not name.startswith(META):
            hidden = name.removeprefix(PREFIX)
            if hidden in ("", ".", ".."):
                raise broken(f'the whiteout "{folder}/{name}" removes no name')
            self._removed.whiteout(self._root, f"{folder}/{hidden}".lstrip("/"))

    def _put_root(self, member: Member) -> None:
        if member.kind is not Kind.DIRECTORY:
            raise broken("the root itself isn't a directory")
        self._own_directory(os.dup(self._root.fd), member)

    def _file(self, path: str, member: Member) -> None:
        name = path.rpartition("/")[2]
        fd = self._new(lambda at: os.open(name, _NEW, 0o600, dir_fd=at), path)
        try:
            for offset, data in self._reader.pieces(member):
                _write(fd, data, offset)
            if member.parts is not None:
                os.ftruncate(fd, member.real_size)
            # Owner first, because chown(2) takes setuid and capabilities away.
            if self._owners:
                os.fchown(fd, member.uid, member.gid)
            os.fchmod(fd, member.mode)
            _set_xattrs(fd, member, owners=self._owners)
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)

    def _hard_link(self, path: str, member: Member) -> None:
        target = clean(member.link)
        above, _, old = target.rpartition("/")
        if target == path:
            return  # a name of its own
        name = path.rpartition("/")[2]
        # A second descriptor, because `folder` keeps only one open.
        above_fd = os.dup(self._root.folder(above))
        try:
            if not _exists(above_fd, old):
                self._root.bring_up(above_fd, old)
            self._new(lambda at: _link(above_fd, old, at, name), path)
        finally:
            os.close(above_fd)

    def _symlink(self, path: str, member: Member) -> None:
        name = path.rpartition("/")[2]
        self._new(lambda at: os.symlink(member.link, name, dir_fd=at), path)
        self._own(path, member)

    def _node(self, path: str, member: Member) -> None:
        name, mode = path.rpartition("/")[2], _TYPES[Kind(member.kind)] | 0o600
        self._new(lambda at: os.mknod(name, mode, member.device, dir_fd=at), path)
        self._own(path, member)

    def _directory(self, path: str, member: Member) -> None:
        folder, _, name = path.rpartition("/")
        opaque = False
        try:
            os.mkdir(name, 0o700, dir_fd=self._root.folder(folder))
        except FileExistsError:
            found = os.lstat(name, dir_fd=self._root.folder(folder))
            if not stat.S_ISDIR(found.st_mode):
                opaque = self._removed.directory_over(found)
                self._new(lambda at: os.mkdir(name, 0o700, dir_fd=at), path)
        fd = os.open(name, _DIRECTORY, dir_fd=self._root.folder(folder))
        self._own_directory(fd, member)
        if opaque:
            self._removed.opaque(self._root, path)

    def _own_directory(self, fd: int, member: Member) -> None:
        try:
            if self._owners:
                os.fchown(fd, member.uid, member.gid)
            _set_xattrs(fd, member, owners=self._owners)
            self._root.finish_directory(fd, member.mode, member.mtime_ns)
        finally:
            os.close(fd)

    def _new(self, make: Callable[[int], _Made], path: str) -> _Made:
        # Tried first: nearly always the name is free.
        folder, _, name = path.rpartition("/")
        try:
            return make(self._root.folder(folder))
        except FileExistsError:
            self._root.remove(self._root.folder(folder), name)
            return make(self._root.folder(folder))

    def _own(self, path: str, member: Member) -> None:
        folder, _, name = path.rpartition("/")
        at = self._root.folder(folder)
        if self._owners:
            os.chown(name, member.uid, member.gid, dir_fd=at, follow_symlinks=False)
        if member.kind is not Kind.SYMLINK:  # which has no mode; and chmod would follow
            os.chmod(name, member.mode, dir_fd=at)
        _set_xattrs(f"/proc/self/fd/{at}/{name}", member, owners=self._owners)
        times = (member.mtime_ns, member.mtime_ns)
        os.utime(name, ns=times, dir_fd=at, follow_symlinks=False)


_MAKE = {
    Kind.FILE: _Layer._file,
    Kind.HARD_LINK: _Layer._hard_link,
    Kind.SYMLINK: _Layer._symlink,
    Kind.CHARACTER_DEVICE: _Layer._node,
    Kind.BLOCK_DEVICE: _Layer._node,
    Kind.FIFO: _Layer._node,
    Kind.DIRECTORY: _Layer._directory,
}


def _refusal(name: str, refused: OSError) -> LabError:
    fault = _ITS_OWN_FAULT.get(refused.errno or 0)
    if fault is not None:
        return broken(f'"{name[:100]}": {fault}')
    return syscall_error(f'unpack("{one_line(name)}")', refused.errno or 0)


def _write(fd: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def _link(above_fd: int, old: str, folder_fd: int, name: str) -> None:
    os.link(old, name, src_dir_fd=above_fd, dst_dir_fd=folder_fd, follow_symlinks=False)


def _exists(folder_fd: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return False
    return True


def _set_xattrs(target: int | str, member: Member, *, owners: bool) -> None:
    for name, value in member.xattrs.items():
        # As with owners: capabilities and the like are root's to give.
        if (owners or name.startswith("user.")) and not name.startswith(_FOREIGN):
            # Of a link itself, not of what it points to; a descriptor has no choice.
            follow = isinstance(target, int)
            os.setxattr(target, name, value, follow_symlinks=follow)
