"""Devices and links in a root that isn't ours yet. Chapter 05.

    Chdir(rootfs)
    MakeDevices(DEFAULT_DEVICES)     mknod, where that is allowed; else BindInside each
    MakeLinks(DEV_LINKS)             /dev/fd -> /proc/self/fd and so on

Left out: fifos that are in the image already.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

from labkit.linux.syscalls import Linux
from labkit.plan.step import Before, Requires, Rule, Step
from labkit.primitives.inside_root import directory_in_root, through
from labkit.primitives.root import Chdir, PivotRoot
from labkit.values import dataclass

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_RULES: tuple[Rule, ...] = (
    Requires(Chdir, "the working directory is the root that the paths are walked in"),
    Before(PivotRoot, "the host's devices can't be seen after it"),
)


class DeviceFile(NamedTuple):
    """A device, or a fifo, as config.json describes it."""

    path: str
    kind: str = "c"  # c, u: character; b: block; p: fifo
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


DEFAULT_DEVICES = (
    DeviceFile("/dev/null", "c", 1, 3),
    DeviceFile("/dev/zero", "c", 1, 5),
    DeviceFile("/dev/full", "c", 1, 7),
    DeviceFile("/dev/random", "c", 1, 8),
    DeviceFile("/dev/urandom", "c", 1, 9),
    DeviceFile("/dev/tty", "c", 5, 0),
)
"""What every container finds in /dev. OCI runtime spec, Default Devices."""

DEV_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
)
"""What each says, and where it is. OCI runtime spec, Dev symbolic links."""


@dataclass(frozen=True, slots=True, repr=False)
class MakeDevices(Step):
    """Make devices in the root that is the working directory.

    One that is there already stays: an image may bring its own /dev.

    Args: devices.
    Raises: EPERM without the capability or in a user namespace.
    Needs: CAP_MKNOD in the first user namespace.
    Kernel: mknod(2). Spec: OCI runtime, linux.devices and Default Devices.
    """

    devices: tuple[DeviceFile, ...] = DEFAULT_DEVICES

    man: ClassVar[tuple[str, ...]] = ("mknod(2)",)
    needs: ClassVar[str] = "CAP_MKNOD in the first user namespace"
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return f"make {', '.join(device.path for device in self.devices)}"

    def apply(self, linux: Linux) -> int | None:
        for parent, devices in _by_directory(self.devices).items():
            with _opened(linux, parent) as dir_fd:
                for device in devices:
                    _make(linux, dir_fd, device)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MakeLinks(Step):
    """Make symbolic links in the root that is the working directory.

    One that is there already stays.

    Args: links [what it says, container path].
    Raises: EROFS, EACCES.
    Needs: nothing beyond the directories' permissions.
    Kernel: symlink(2). Spec: OCI runtime, Dev symbolic links.
    """

    links: tuple[tuple[str, str], ...] = DEV_LINKS

    man: ClassVar[tuple[str, ...]] = ("symlinkat(2)",)
    rules: ClassVar[tuple[Rule, ...]] = _RULES

    def describe(self) -> str:
        return f"link {', '.join(path for _, path in self.links)}"

    def apply(self, linux: Linux) -> int | None:
        for target, path in self.links:
            with _opened(linux, os.path.dirname(path)) as dir_fd:
                _link(linux, target, dir_fd, os.path.basename(path))
        return None


def _by_directory(devices: tuple[DeviceFile, ...]) -> dict[str, list[DeviceFile]]:
    found: dict[str, list[DeviceFile]] = {}
    for device in devices:
        found.setdefault(os.path.dirname(device.path), []).append(device)
    return found


@contextmanager
def _opened(linux: Linux, directory: str) -> Iterator[int]:
    dir_fd = directory_in_root(linux, directory)
    try:
        yield dir_fd
    finally:
        linux.close(dir_fd)


def _make(linux: Linux, dir_fd: int, device: DeviceFile) -> None:
    name, number = os.path.basename(device.path), os.makedev(device.major, device.minor)
    try:
        linux.mknodat(dir_fd, name, _KINDS[device.kind] | device.mode, number)
    except FileExistsError:
        return  # EEXIST: the image, or a mount, has brought it
    path = f"{through(dir_fd)}/{name}"
    linux.chmod(path, device.mode)  # because mknod leaves out what the umask says
    if device.uid or device.gid:
        linux.chown(path, device.uid, device.gid)


def _link(linux: Linux, target: str, dir_fd: int, name: str) -> None:
    try:
        linux.symlinkat(target, dir_fd, name)
    except FileExistsError:
        return  # EEXIST: what was wanted is there, or the image's own
