"""System calls about mounts and roots. Chapters 02, 05, 06.

Two generations do the same work: mount(2) does all in one call; the new API (since
Linux 5.2) opens a file system, configures it, makes a mount and moves it into place.
Reading order: mount, umount2; chroot, pivot_root; then the new API.
"""

from __future__ import annotations

import ctypes

from labkit.linux.call import Caller
from labkit.linux.flags import AT, FSCONFIG, MNT, MOUNT_ATTR, MOVE_MOUNT, MS, OPEN_TREE
from labkit.linux.processes import _Pointed
from labkit.linux.structs import MountAttributes
from labkit.linux.table import AT_FDCWD

_NO_MS, _NO_MNT, _NO_ATTRIBUTES = MS(0), MNT(0), MOUNT_ATTR(0)


class Mounting(Caller):
    """The part of `linux` that is about mounts and roots."""

    def mount(
        self,
        source: str | None,
        target: str,
        fstype: str | None = None,
        flags: MS = _NO_MS,
        data: str | None = None,
    ) -> None:
        """Attach a file system, bind a directory, or change how a mount propagates.

        Args: source [device, directory or name, as this process sees it]; target [must
            exist]; fstype ["proc", "overlay"; None for a bind]; data [options].
        Raises: EPERM without the capability, ENOENT for a missing path, ENODEV for an
            unknown fstype, EINVAL when target is no mount point but must be.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: mount(2), mount_namespaces(7).
        """
        self._call("mount", source, target, fstype, flags, data)

    def umount2(self, target: str, flags: MNT = _NO_MNT) -> None:
        """Detach a mount from this process's mount namespace.

        Raises: EBUSY when it is in use (MNT.DETACH hides it at once, frees it later);
            EINVAL when target is no mount point.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: umount2(2).
        """
        self._call("umount2", target, flags)

    def chroot(self, path: str) -> None:
        """Write one field of this process: where its "/" is. Nothing else moves.

        The working directory stays where it was: chdir("/") after it.

        Raises: EPERM without the capability, ENOENT or ENOTDIR for a bad path.
        Needs: CAP_SYS_CHROOT in your user namespace.
        Kernel: chroot(2), path_resolution(7).
        """
        self._call("chroot", path)

    def chdir(self, path: str) -> None:
        """Set this process's working directory.

        Raises: ENOENT, ENOTDIR or EACCES for a bad path.
        Needs: nothing.
        Kernel: chdir(2).
        """
        self._call("chdir", path)

    def fchdir(self, fd: int) -> None:
        """Set this process's working directory to an open directory.

        Raises: ENOTDIR when fd is no directory.
        Needs: nothing.
        Kernel: fchdir(2).
        """
        self._call("fchdir", fd)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        """Swap the root mount of this mount namespace, for every process in it.

        Args: new_root [a mount point]; put_old [a directory at or below new_root, where
            the old root goes].
        Raises: EBUSY when new_root is no mount point on a private root mount; EINVAL
            when it isn't on another mount, or is shared; EPERM without the capability.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: pivot_root(2).
        """
        self._call("pivot_root", new_root, put_old)

    def open_tree(self, path: str | int, flags: OPEN_TREE) -> int:
        """Return a descriptor of a mount; with OPEN_TREE.CLONE of a detached copy.

        Args: path [or a descriptor of what is to be mounted].
        Raises: ENOENT for a bad path, EPERM without the capability for a copy.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: open_tree(2), since Linux 5.2.
        """
        place = (path, "") if isinstance(path, int) else (AT_FDCWD, path)
        if isinstance(path, int):
            flags |= OPEN_TREE.EMPTY_PATH
        return int(self._call("open_tree", *place, flags))

    def move_mount(self, mount_fd: int, target: str | int) -> None:
        """Attach a detached mount at a path, or where a descriptor leads.

        Args: target [a path, or a descriptor: that can't be exchanged meanwhile].
        Raises: EINVAL when mount_fd is no mount, ENOENT for a bad target.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: move_mount(2), since Linux 5.2.
        """
        how = MOVE_MOUNT.F_EMPTY_PATH
        if isinstance(target, int):
            how |= MOVE_MOUNT.T_EMPTY_PATH
        place = (target, "") if isinstance(target, int) else (AT_FDCWD, target)
        self._call("move_mount", mount_fd, "", *place, how)

    def fsopen(self, fstype: str) -> int:
        """Return a descriptor on which a new file system is configured.

        Raises: ENODEV for an unknown fstype, EPERM without the capability.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: fsopen(2), since Linux 5.2.
        """
        return int(self._call("fsopen", fstype, 0))

    def fsconfig(
        self,
        fs_fd: int,
        command: FSCONFIG,
        key: str | None = None,
        value: str | None = None,
    ) -> None:
        """Set one option of a file system being configured, or create it.

        Raises: EINVAL for an option that the file system doesn't know; the reason can
            be read from fs_fd.
        Needs: what the file system asks for.
        Kernel: fsconfig(2), since Linux 5.2.
        """
        self._call("fsconfig", fs_fd, command, key, value, 0)

    def fsmount(self, fs_fd: int, attributes: MOUNT_ATTR = _NO_ATTRIBUTES) -> int:
        """Make a detached mount of a configured file system; return its descriptor.

        Raises: EINVAL before FSCONFIG.CMD_CREATE, EPERM without the capability.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: fsmount(2), since Linux 5.2.
        """
        return int(self._call("fsmount", fs_fd, 0, attributes))

    def mount_setattr(
        self, path: str | int, attributes: MountAttributes, *, recursive: bool = False
    ) -> None:
        """Change attributes or propagation of a mount, or of all mounts below it.

        Args: path [or a descriptor of the mount]; recursive [those below it, too].
        Raises: EINVAL when path is no mount point, EPERM for a locked attribute.
        Needs: CAP_SYS_ADMIN in the user namespace that owns your mount namespace.
        Kernel: mount_setattr(2), since Linux 5.12.
        """
        struct = attributes.as_struct()
        flags = AT.RECURSIVE if recursive else AT(0)
        if isinstance(path, int):
            flags |= AT.EMPTY_PATH
        place = (path, "") if isinstance(path, int) else (AT_FDCWD, path)
        size = ctypes.sizeof(struct)
        self._call("mount_setattr", *place, flags, _Pointed(struct, attributes), size)
