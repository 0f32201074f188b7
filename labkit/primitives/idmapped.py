"""Id-mapped mounts: files that have other owners when seen through a mount. Chapter 04.

    on the disk            through the mount       in the container
    uid 0         ----->   uid 100000      ----->  uid 0
                  map of the mount         map of the user namespace

So a directory can be shared by containers with different ranges of ids, and nobody has
to change the owner of each file in it. Linux takes the map from a user namespace: one
is made for it, by a process that does nothing else and ends.

Left out: Linux before 5.12, and file systems that can't (mount_setattr(2) says which).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from labkit.linux.flags import CLONE, MOUNT_ATTR
from labkit.linux.structs import CloneArgs, MountAttributes
from labkit.linux.syscalls import Linux
from labkit.primitives.ids import IdMapping

Mappings = tuple[tuple[IdMapping, ...], tuple[IdMapping, ...]]


def map_mount(
    linux: Linux, mount_fd: int, mappings: Mappings, *, below: bool = False
) -> None:
    """Give a detached mount an id map.

    Args: mount_fd [of open_tree with CLONE]; mappings [of uids, of gids: inside is the
        id on the disk]; below [the mounts below it, too].
    Raises: EINVAL for a file system that can't; EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that the file system belongs to.
    Kernel: mount_setattr(2), ID-mapped mounts; since Linux 5.12.
    """
    userns_fd = user_namespace(linux, mappings)
    attributes = MountAttributes(MOUNT_ATTR.IDMAP, userns_fd=userns_fd)
    linux.mount_setattr(mount_fd, attributes, recursive=below)
    linux.close(userns_fd)


def user_namespace(linux: Linux, mappings: Mappings) -> int:
    """Return a descriptor of a user namespace with these maps; nobody is in it.

    Args: mappings [of uids, of gids].
    Raises: EPERM for ids that aren't ours to map, EINVAL for ranges that overlap.
    Needs: CAP_SETUID and CAP_SETGID.
    Kernel: user_namespaces(7), clone3(2).
    """
    gate_read, gate_write = os.pipe()
    pid = linux.clone3(CloneArgs(CLONE.NEWUSER, signal.SIGCHLD))
    if pid == 0:
        linux.close(gate_write)
        linux.read(gate_read)  # until its parent has what it wants
        os._exit(0)
    try:
        place = _place_in_proc(linux, pid)
        for name, rows in zip(("uid_map", "gid_map"), mappings, strict=True):
            linux.write_file(f"{place}/{name}", _lines(rows))
        return linux.open(f"{place}/ns/user")
    finally:
        for fd in (gate_read, gate_write):
            linux.close(fd)
        linux.waitpid(pid)


def _place_in_proc(linux: Linux, pid: int) -> str:
    # proc counts as the namespace that it was mounted in does: not as ours, perhaps.
    pidfd = linux.pidfd_open(pid)
    told = linux.read_file(f"/proc/self/fdinfo/{pidfd}")
    linux.close(pidfd)
    rows = dict(line.split(":", 1) for line in told.splitlines())
    return f"/proc/{rows['Pid'].strip()}"


def _lines(rows: Iterable[IdMapping]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in rows)
