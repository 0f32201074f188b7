"""Readers of /proc: what Linux says about a process, as frozen values. Chapter 01.

All of them take a pid as the reader's own PID namespace counts, or "self", and a root
directory for fixtures. Nothing here changes anything.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator

from labkit.errors import StateError
from labkit.linux.flags import CAP, NamespaceType
from labkit.linux.views import HostPath, HostPid
from labkit.values import dataclass

PROC = HostPath("/proc")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: a mount as one process sees it."""

    mount_id: int
    parent_id: int
    root: str  # which part of the file system is mounted
    target: str  # where, as the process sees it
    options: tuple[str, ...]
    propagation: str  # "private", "shared", "slave" or "unbindable"
    fstype: str
    source: str
    super_options: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Mount({self.fstype} on {self.target}, {self.propagation})"


@dataclass(frozen=True, slots=True)
class Process:
    """What /proc/PID says about one process, with the reader's pids."""

    pid: HostPid
    parent: HostPid
    name: str
    state: str  # R running, S sleeping, D waiting for a device, T stopped, Z zombie
    argv: tuple[str, ...]
    pids: tuple[int, ...]  # one for each PID namespace it is in, the reader's first

    def __repr__(self) -> str:
        # Running, sleeping, waiting for a device: that changes from moment to moment.
        return f"Process({self.name}, {_LASTING_STATES.get(self.state, 'alive')})"


_LASTING_STATES = {"T": "stopped", "t": "traced", "Z": "zombie"}


def mounts(pid: int | str = "self", proc: str = PROC) -> tuple[Mount, ...]:
    """Return the mounts that a process sees, in the order in which they were made.

    Raises: StateError when the process has ended.
    Kernel: proc_pid_mountinfo(5).
    """
    lines = _read(proc, pid, "mountinfo").splitlines()
    return tuple(_mount(line.split(" ")) for line in lines)


def process(pid: int | str = "self", proc: str = PROC) -> Process:
    """Return one process.

    Raises: StateError when it has ended.
    Kernel: proc_pid_status(5), proc_pid_cmdline(5).
    """
    status = dict(
        line.split(":\t", 1)
        for line in _read(proc, pid, "status").splitlines()
        if ":\t" in line
    )
    argv = _read(proc, pid, "cmdline").rstrip("\0")
    pids = tuple(map(int, status.get("NSpid", status["Pid"]).split()))
    return Process(
        HostPid(int(status["Pid"])),
        HostPid(int(status["PPid"])),
        status["Name"],
        status["State"][0],
        tuple(argv.split("\0")) if argv else (),
        pids,
    )


def children(pid: int, proc: str = PROC) -> tuple[Process, ...]:
    """Return the children of a process, of all its threads.

    Kernel: proc_pid_task(5), the file children.
    """
    try:
        threads = os.listdir(f"{proc}/{pid}/task")
    except FileNotFoundError:
        return ()
    found: list[Process] = []
    for thread in threads:
        with contextlib.suppress(StateError):  # it ended since it was listed
            listing = _read(proc, f"{pid}/task/{thread}", "children")
            found += _all_that_are_there(listing.split(), proc)
    return tuple(found)


def root_of(pid: int | str = "self", proc: str = PROC) -> str:
    """Return the root directory of a process, as the reader sees it.

    Kernel: proc_pid_root(5), path_resolution(7).
    """
    return os.readlink(f"{proc}/{pid}/root")


def cwd_of(pid: int | str = "self", proc: str = PROC) -> str:
    """Return the working directory of a process, as the reader sees it.

    Kernel: proc_pid_cwd(5).
    """
    return os.readlink(f"{proc}/{pid}/cwd")


def namespace_ids(
    pid: int | str = "self", proc: str = PROC
) -> dict[NamespaceType, int]:
    """Return the inode number of each namespace that a process is in.

    Two processes with the same number share the namespace.

    Kernel: namespaces(7), The /proc/pid/ns/ directory.
    """
    found = {}
    for kind in NamespaceType:
        link = f"{proc}/{pid}/ns/{kind.proc}"
        if os.path.islink(link):  # an older Linux has no time namespace
            found[kind] = int(re.findall(r"\d+", os.readlink(link))[0])
    return found


def cgroups_of(pid: int | str = "self", proc: str = PROC) -> dict[str, str]:
    """Return the cgroup of a process by controller; "" is the v2 hierarchy.

    Kernel: cgroups(7), /proc/pid/cgroup.
    """
    found = {}
    for line in _read(proc, pid, "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def capabilities_of(
    pid: int | str = "self", proc: str = PROC
) -> dict[str, frozenset[CAP]]:
    """Return the five sets of capabilities of a process.

    Args: pid [host pid, or "self"].
    Returns: "effective", "permitted", "inheritable", "bounding" and "ambient".
    Raises: StateError when there is no such process.
    Needs: nothing.
    Kernel: proc_pid_status(5), capabilities(7).
    """
    lines = _read(proc, pid, "status").splitlines()
    bits = dict(line.split(":\t", 1) for line in lines if line.startswith("Cap"))
    return {
        name: frozenset(cap for cap in CAP if int(bits[field], 16) >> cap & 1)
        for name, field in _CAPABILITY_SETS.items()
    }


_CAPABILITY_SETS = {
    "effective": "CapEff",
    "permitted": "CapPrm",
    "inheritable": "CapInh",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}


def _all_that_are_there(pids: list[str], proc: str) -> Iterator[Process]:
    for pid in pids:
        with contextlib.suppress(StateError):
            yield process(pid, proc)


def _read(proc: str, pid: int | str, name: str) -> str:
    try:
        with open(f"{proc}/{pid}/{name}", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        raise StateError(
            f"the process whose {name} was asked for has ended", "start it again"
        ) from None


def _mount(words: list[str]) -> Mount:
    dash = words.index("-")
    optional = words[6:dash]
    tags = [tag.partition(":")[0] for tag in optional]
    kinds = {"shared": "shared", "master": "slave", "unbindable": "unbindable"}
    propagation = next((kinds[tag] for tag in tags if tag in kinds), "private")
    return Mount(
        int(words[0]),
        int(words[1]),
        _unescape(words[3]),
        _unescape(words[4]),
        tuple(words[5].split(",")),
        propagation,
        words[dash + 1],
        _unescape(words[dash + 2]),
        tuple(words[dash + 3].split(",")),
    )


def _unescape(text: str) -> str:
    # mountinfo writes space, tab, newline and backslash as octal.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
