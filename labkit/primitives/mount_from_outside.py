"""A bind mount whose source the container's root may not reach. Chapter 09.

In a user namespace root inside is nobody special outside, and a source behind a
directory of mode 0700 is out of its reach. So the outside, which is root, goes into the
inside's mount namespace for a moment, and binds it there. There, and not in the host's:
what the host's mounts forbid stays locked in a copy that was made in the namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from labkit.linux.flags import CLONE, O
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import Where
from labkit.primitives.mount_inside import BindInside
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class BindFromOutside(BindInside):
    """Show a host's directory or file at a place in the root, by the outside's rights.

    Args: as BindInside has them; rootfs [host path: where the inside has its new root].
    Raises: what BindInside raises.
    Needs: CAP_SYS_ADMIN and CAP_SYS_CHROOT outside; a process with one thread.
    Kernel: setns(2); mount_namespaces(7), "Restrictions on mount namespaces".
    """

    rootfs: HostPath = HostPath(".")

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("setns(2)", "open_tree(2)")
    needs: ClassVar[str] = "CAP_SYS_ADMIN and CAP_SYS_CHROOT outside"

    def describe(self) -> str:
        return f"bind {self.source} to {self.target}, as the outside's root"

    def apply(self, linux: Linux) -> int | None:
        with _in_its_mount_namespace(linux):
            linux.chdir(self.rootfs)
            BindInside.apply(self, linux)
        return None


@contextmanager
def _in_its_mount_namespace(linux: Linux) -> Iterator[None]:
    there = linux.open(f"/proc/{linux.inside}/ns/mnt")
    here = linux.open("/proc/self/ns/mnt")
    directory = linux.open(".", O.PATH | O.DIRECTORY)
    try:
        linux.setns(there, CLONE.NEWNS)
        yield
    finally:  # it goes on as it was
        linux.setns(here, CLONE.NEWNS)
        linux.fchdir(directory)
        for fd in (there, here, directory):
            linux.close(fd)
