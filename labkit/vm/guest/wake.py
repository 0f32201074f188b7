"""What a VM can know only when it is used: a saved one slept for hours.

    the time        its clock stands where it was saved
    entropy         its random numbers would be those of every VM from the same state
    disks           the learner's folder, which must not be mounted while saving, and
                    a disk of its own for the lab's state

Kernel: random(4); Documentation/filesystems/9p.rst.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from typing import Any

from labkit.linux.flags import OPEN_TREE
from labkit.linux.syscalls import Linux
from labkit.state import location

_RNDRESEEDCRNG = 0x5207  # linux/random.h
# cache=none: what Jupyter saves on the other side is seen at once.
_9P = "trans=virtio,version=9p2000.L,msize=262144,cache=none"
_DRIFT_S = 0.5
WORK_TAG = "labwork"
SCRATCH_DISK = "/dev/vdb"


def wake(message: dict[str, Any]) -> None:
    """Set the clock, mix entropy in, mount the disks.

    Args: message [time: seconds since 1970; entropy: hexadecimal; work: the shared
        folder's path, the same as outside].
    Raises: SyscallError when a disk can't be mounted.
    """
    set_clock(message["time"])
    _stir(bytes.fromhex(message["entropy"]))
    linux = Linux(forked=True)  # PID 1 is here to be changed
    os.makedirs(location(), exist_ok=True)
    linux.mount(SCRATCH_DISK, location(), "ext4")
    if message["work"]:
        _share(linux, message["work"])


def set_clock(now: float) -> None:
    """Set the VM's clock where it differs: a laptop that slept stopped it, too.

    Args: now [seconds since 1970, outside].
    """
    if abs(time.time() - now) > _DRIFT_S:
        time.clock_settime(time.CLOCK_REALTIME, now)


def _share(linux: Linux, work: str) -> None:
    os.makedirs(work, exist_ok=True)
    # A checkout has its Python environment inside: the image's copy is quicker than
    # the shared one, so it goes on top.
    inside = [path for path in {sys.prefix, sys.base_prefix} if _lies_in(path, work)]
    flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC
    copies = [(linux.open_tree(path, flags), path) for path in inside]
    linux.mount(WORK_TAG, work, "9p", data=_9P)
    for copy_fd, path in copies:
        linux.move_mount(copy_fd, path)
        linux.close(copy_fd)


def _lies_in(path: str, folder: str) -> bool:
    return path != folder and os.path.commonpath((path, folder)) == folder


def _stir(entropy: bytes) -> None:
    fd = os.open("/dev/urandom", os.O_RDWR)
    try:
        os.write(fd, entropy)
        fcntl.ioctl(fd, _RNDRESEEDCRNG)
    finally:
        os.close(fd)
