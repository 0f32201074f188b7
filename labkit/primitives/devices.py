"""The minimal /dev: six devices, five links, terminals and shared memory. Chapter 05.

    null zero full random urandom tty     made anew, or the host's own, bound
    pts/ ptmx                             a devpts of its own, and a link into it
    shm/                                  a tmpfs
    fd stdin stdout stderr                links to /proc/self/fd

A device is two numbers in the file system; the driver behind them is the kernel's, the
same one inside and outside. Making one (mknod) would let root read any disk, so it
takes a capability in the first user namespace; where that is missing, the host's device
is bound over an empty file.

Reading order: DEVICES, MakeDevice, BindDevice, MakeLink, minimal_dev.
Left out: /dev/console, which needs a terminal, and the device cgroup. A root whose dev
is a link to elsewhere is followed: the lab's own roots have none.
"""

from __future__ import annotations

import os
import stat
from typing import ClassVar, NamedTuple

from labkit.host import Host
from labkit.linux.flags import CAP, CLONE, MS, NamespaceType, O
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.plan import Plan
from labkit.plan.step import Before, Requires, Rule, Step
from labkit.primitives.mounts import MountFilesystem
from labkit.primitives.namespaces import Unshare
from labkit.primitives.root import Chroot, MakeDir, PivotRoot
from labkit.values import dataclass


class Device(NamedTuple):
    """A character device by its numbers: Documentation/admin-guide/devices.txt."""

    name: str
    major: int
    minor: int


DEVICES = (
    Device("null", 1, 3),
    Device("zero", 1, 5),
    Device("full", 1, 7),
    Device("random", 1, 8),
    Device("urandom", 1, 9),
    Device("tty", 5, 0),
)
"""What every container finds in /dev. OCI runtime spec, Default Devices."""

LINKS = (
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)
"""Name and target. OCI runtime spec, Dev symbolic links."""

_GROUP_TTY = 5  # on Debian, Alpine and most others; a terminal belongs to it


@dataclass(frozen=True, slots=True, repr=False)
class MakeDevice(Step):
    """Make a character device that everybody may use.

    Args: path [as the inside sees it at that moment]; major, minor [which driver].
    Raises: EPERM without the capability or in a user namespace, EEXIST, ENOENT.
    Needs: CAP_MKNOD in the first user namespace.
    Kernel: mknod(2), null(4), full(4), random(4), tty(4).
    Spec: OCI runtime, linux.devices.
    """

    path: str
    major: int
    minor: int

    man: ClassVar[tuple[str, ...]] = ("mknod(2)",)
    needs: ClassVar[str] = "CAP_MKNOD in the first user namespace"

    def describe(self) -> str:
        return f"make the device {self.path}, {self.major}:{self.minor}"

    def apply(self, linux: Linux) -> int | None:
        device = os.makedev(self.major, self.minor)
        linux.mknod(self.path, stat.S_IFCHR | 0o666, device)
        linux.chmod(self.path, 0o666)  # because mknod leaves out what the umask says
        return None


@dataclass(frozen=True, slots=True, repr=False)
class BindDevice(Step):
    """Show a device of the host's at a second place.

    It can still be used though its new directory is mounted with MS_NODEV or by a user
    namespace: what counts is the file system that it comes from.

    Args: source, path [as the inside sees them at that moment; path is made].
    Raises: ENOENT when the host has no such device, EPERM without the capability.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: mount(2). Spec: OCI runtime, linux.devices.
    """

    source: str
    path: str

    man: ClassVar[tuple[str, ...]] = ("mount(2)",)
    needs: ClassVar[str] = "CAP_SYS_ADMIN in the owner of the mount namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            Unshare(CLONE.NEWNS),
            "without a mount namespace of its own it would mount for everyone",
        ),
        Before(PivotRoot, "the host's devices can't be seen after it"),
        Before(Chroot, "the host's devices can't be seen after it"),
    )

    def describe(self) -> str:
        return f"bind the host's {self.source} to {self.path}"

    def apply(self, linux: Linux) -> int | None:
        linux.close(linux.open(self.path, O.WRONLY | O.CREAT))  # something to cover
        linux.mount(self.source, self.path, None, MS.BIND)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MakeLink(Step):
    """Make a symbolic link.

    Args: target [what it says; need not exist]; path [as the inside sees it].
    Raises: EEXIST, ENOENT when the directory is missing.
    Needs: nothing beyond the directory's permissions.
    Kernel: symlink(2).
    """

    target: str
    path: str

    man: ClassVar[tuple[str, ...]] = ("symlink(2)",)

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def apply(self, linux: Linux) -> int | None:
        linux.symlink(self.target, self.path)
        return None


def minimal_dev(
    root: str | os.PathLike[str], host: Host, *, user_namespace: bool = False
) -> Plan:
    """Return the steps that give a root its /dev. They come before PivotRoot.

    Args: root [as the inside sees it at that moment; it has a directory dev]; host
        [decides between making devices and binding the host's]; user_namespace [True
        when the plan unshares one: then they are bound in any case].
    Returns: a plan, to be joined with others.
    Raises: the steps raise EPERM and ENOENT.
    Needs: CAP_SYS_ADMIN in the user namespace that owns the mount namespace.
    Kernel: tmpfs(5), pts(4). Spec: OCI runtime, Default Filesystems, Default Devices.
    """
    dev = os.path.join(os.fspath(root), "dev")
    making = may_make_devices(host) and not user_namespace
    # gid=5 can't be said where only one's own ids are mapped.
    terminals = "newinstance,ptmxmode=0666,mode=0620"
    terminals += f",gid={_GROUP_TTY}" if making else ""
    return Plan(
        # Not MS_NODEV, or what is made in it would be names without drivers.
        MountFilesystem("tmpfs", dev, MS.NOSUID, "mode=755,size=64k"),
        *(_device(one, dev, making) for one in DEVICES),
        MakeDir(f"{dev}/pts"),
        MountFilesystem("devpts", f"{dev}/pts", MS.NOSUID | MS.NOEXEC, terminals),
        MakeDir(f"{dev}/shm"),
        MountFilesystem("tmpfs", f"{dev}/shm", data="mode=1777,size=64m"),
        *(MakeLink(target, f"{dev}/{name}") for name, target in LINKS),
    )


def may_make_devices(host: Host) -> bool:
    """Say whether mknod of a device would succeed: once, for a whole plan."""
    privilege = host.privilege
    return privilege.has(CAP.MKNOD) and NamespaceType.USER not in privilege.inner


def _device(device: Device, dev: str, making: bool) -> Step:
    path = HostPath(f"{dev}/{device.name}")
    if making:
        return MakeDevice(path, device.major, device.minor)
    return BindDevice(f"/dev/{device.name}", path)
