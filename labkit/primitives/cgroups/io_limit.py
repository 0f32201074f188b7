"""IoLimit: how fast a group may read and write one disk. Chapter 03.

    IoLimit.on("/var/lib/labkit", write="8M")    8 MiB a second, on that path's disk

Linux limits a whole disk and knows it by two numbers, so the path leads to them: the
file system's device, and from a partition to its disk.

    path -> stat(2) st_dev 254:1 -> /sys/dev/block/254:1/partition -> the disk 254:0
"""

from __future__ import annotations

import os

from labkit.errors import HostError
from labkit.linux.proc import mounts
from labkit.linux.views import HostPath
from labkit.primitives.cgroups.amounts import bytes_of, size_text
from labkit.values import dataclass

_DISKS = "/sys/dev/block"


@dataclass(frozen=True, slots=True)
class IoLimit:
    """Bytes a second that may be read from a disk and written to it; None: no limit."""

    device: str  # "254:0", a whole disk
    read: int | None = None
    write: int | None = None

    @classmethod
    def on(
        cls,
        path: str | os.PathLike[str],
        *,
        read: int | str | None = None,
        write: int | str | None = None,
    ) -> IoLimit:
        """Return a limit for the disk that a path lies on; without numbers, no limit.

        Args: path [host path, must exist]; read, write [bytes a second, or "8M"].
        Raises: HostError when no disk is behind it, as with a tmpfs; DocumentError for
            a size that can't be understood.
        Needs: nothing.
        Kernel: Documentation/admin-guide/cgroup-v2.rst, "io.max".
        """
        return cls(
            disk_of(HostPath(os.fspath(path))),
            None if read is None else bytes_of(read),
            None if write is None else bytes_of(write),
        )

    def __repr__(self) -> str:
        # Without the device, whose numbers are another machine's elsewhere.
        given = (("read", self.read), ("write", self.write))
        shown = [f"{name}={size_text(n)}/s" for name, n in given if n is not None]
        return f"IoLimit({', '.join(shown) or 'no limit'})"


def disk_of(path: HostPath, disks: str = _DISKS) -> str:
    """Return the disk that a path lies on, as "major:minor".

    Args: path [host path, must exist]; disks [/sys/dev/block, or a fixture].
    Returns: the numbers of the whole disk, also for a partition.
    Raises: HostError when the file system has no disk; FileNotFoundError.
    Needs: nothing.
    Kernel: stat(2), sysfs(5).
    Left out: file systems on several disks; the first counts.
    """
    from pathlib import Path  # here, because a runtime waits for its import in vain

    device = os.stat(path).st_dev
    if os.major(device) == 0:  # tmpfs, overlay; btrfs numbers itself, too
        device = _device_of_source(path)
    found = Path(disks, f"{os.major(device)}:{os.minor(device)}")
    if not found.exists():
        raise HostError(
            f"{path}: no disk behind it",
            "choose a path on a disk: df -h shows which file systems have one",
            "stat(2)",
            meaning="I/O limits are for disks; a tmpfs or an overlay isn't one",
        )
    disk = found.resolve().parent if (found / "partition").exists() else found
    return (disk / "dev").read_text().strip()


def _device_of_source(path: HostPath) -> int:
    from pathlib import Path

    # The nearest mount's source is a device node; where it isn't, there is no disk.
    real = Path(os.path.realpath(path))
    above = [mount for mount in mounts() if real.is_relative_to(mount.target)]
    source = max(above, key=lambda mount: len(mount.target)).source
    return os.stat(source).st_rdev if source.startswith("/dev/") else 0
